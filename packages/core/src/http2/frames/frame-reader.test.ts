import { array, assert, constant, nat, oneof, property, record, uint8Array, type Arbitrary } from "fast-check";
import { describe, expect, test } from "vitest";
import { FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "../error-codes.ts";
import { frameBytes } from "../../testing/index.ts";
import { FrameReader, type FrameReceiver } from "./frame-reader.ts";
import { DATA, END_STREAM, PADDED, PING } from "./frame-types.ts";

const MAX_FRAME_BYTES = 300;

/** Writes down what a reader tells; DATA that comes in pieces is one entry. */
class Recorder implements FrameReceiver {
  readonly told: unknown[] = [];
  readonly pieces: number[] = [];
  #data = "";

  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, from: number, end: number): void {
    this.told.push([type, flags, streamId, buffer.toString("hex", from, end)]);
  }

  onDataStart(flags: number, streamId: number, bytes: number): void {
    this.told.push(["start", flags, streamId, bytes]);
    this.#data = "";
  }

  onDataPiece(buffer: Buffer, from: number, end: number): void {
    if (end <= from) throw new Error("a piece of no bytes");
    this.pieces.push(end - from);
    this.#data += buffer.toString("hex", from, end);
  }

  onDataEnd(): void {
    this.told.push(["data", this.#data]);
  }
}

function read(bytes: Buffer, cuts: readonly number[] = []): Recorder {
  const recorder = new Recorder();
  const reader = new FrameReader(recorder, MAX_FRAME_BYTES);
  let from = 0;
  for (const cut of [...cuts.filter((at) => at < bytes.length).toSorted((a, b) => a - b), bytes.length]) {
    // As a socket does: the same memory is used for the next read.
    const memory = Buffer.alloc(cut - from + 20, 0xee);
    bytes.copy(memory, 7, from, cut);
    reader.read(memory, 7, 7 + cut - from);
    memory.fill(0xdd);
    from = cut;
  }
  return recorder;
}

interface AnyFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly content: Uint8Array;
  readonly padding: number;
}

const anyFrame: Arbitrary<AnyFrame> = record({
  type: oneof(constant(DATA), nat(255)),
  flags: nat(255),
  streamId: nat(2 ** 31 - 1),
  content: uint8Array({ maxLength: 40 }),
  padding: nat(255),
});

function bytesOf({ type, flags, streamId, content, padding }: AnyFrame): Buffer {
  if (type !== DATA || (flags & PADDED) === 0) return frameBytes(type, flags, streamId, content);
  return frameBytes(
    type,
    flags,
    streamId,
    Buffer.concat([Buffer.from([padding]), content, Buffer.alloc(padding, 0xaa)]),
  );
}

function expectedOf({ type, flags, streamId, content, padding }: AnyFrame): unknown[] {
  const hex = Buffer.from(content).toString("hex");
  if (type !== DATA) return [[type, flags, streamId, hex]];
  const bytes = content.length + ((flags & PADDED) === 0 ? 0 : padding + 1);
  return [
    ["start", flags, streamId, bytes],
    ["data", hex],
  ];
}

describe("frames", () => {
  test("are the same, wherever what was read is cut", () => {
    assert(
      property(array(anyFrame, { maxLength: 8 }), array(nat(600), { maxLength: 30 }), (frames, cuts) => {
        expect(read(Buffer.concat(frames.map(bytesOf)), cuts).told).toEqual(frames.flatMap(expectedOf));
      }),
      { numRuns: 500 },
    );
  });

  test("are the same byte by byte", () => {
    assert(
      property(array(anyFrame, { minLength: 1, maxLength: 4 }), (frames) => {
        const bytes = Buffer.concat(frames.map(bytesOf));
        expect(read(bytes, [...bytes.keys()]).told).toEqual(frames.flatMap(expectedOf));
      }),
    );
  });

  test("of any bytes are told, or refused, in the same way however they are cut", () => {
    assert(
      property(uint8Array({ maxLength: 400 }), array(nat(400)), (bytes, cuts) => {
        const outcome = (at: readonly number[]): unknown => {
          const recorder = new Recorder();
          try {
            recorder.told.push(...read(Buffer.from(bytes), at).told);
          } catch (error) {
            return String(error);
          }
          return recorder.told;
        };
        expect(outcome(cuts)).toEqual(outcome([]));
      }),
    );
  });
});

test("the content of DATA is told as it comes, without waiting for all of it", () => {
  const bytes = frameBytes(DATA, END_STREAM, 1, Buffer.alloc(100));
  expect(read(bytes, [9 + 30, 9 + 31]).pieces).toEqual([30, 1, 69]);
});

test.each<[what: string, bytes: Buffer, code: number]>([
  ["a frame that is too large", frameBytes(PING, 0, 0, Buffer.alloc(MAX_FRAME_BYTES + 1)), FRAME_SIZE_ERROR],
  ["DATA that is too large", frameBytes(DATA, 0, 1, Buffer.alloc(MAX_FRAME_BYTES + 1)), FRAME_SIZE_ERROR],
  ["DATA with more padding than payload", frameBytes(DATA, PADDED, 1, Buffer.from([4, 0, 0, 0])), PROTOCOL_ERROR],
  ["DATA without the length of its padding", frameBytes(DATA, PADDED, 1), FRAME_SIZE_ERROR],
])("%s is refused as soon as that is known", (_, bytes, code) => {
  // Of a frame that is too large no more than its head has to come.
  const known = code === FRAME_SIZE_ERROR ? 9 : 10;
  expect(() => read(bytes.subarray(0, known))).toThrow(expect.objectContaining({ code }));
});

test("what comes after it was stopped, by a frame not least, is dropped", () => {
  const recorder = new Recorder();
  const reader = new FrameReader(
    {
      onFrame: (...frame) => {
        recorder.onFrame(...frame);
        reader.stop();
      },
      onDataStart: () => undefined,
      onDataPiece: () => undefined,
      onDataEnd: () => undefined,
    },
    MAX_FRAME_BYTES,
  );
  const bytes = Buffer.concat([frameBytes(PING, 0, 0, Buffer.alloc(8)), frameBytes(PING, 0, 0, Buffer.alloc(8))]);
  reader.read(bytes, 0, bytes.length);
  reader.read(bytes, 0, bytes.length);
  expect(recorder.told).toHaveLength(1);
});
