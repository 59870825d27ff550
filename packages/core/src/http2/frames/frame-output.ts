import type { Buffer } from "node:buffer";
import type { ByteStream } from "../../net/byte-stream.ts";
import { writeLater, type LateWriter } from "../../net/late-writes.ts";
import { latin1 } from "../../net/latin1.ts";
import { giveSlab, SLAB_BYTES, takeSlab } from "../slabs.ts";
import {
  ACK,
  DATA,
  END_STREAM,
  FRAME_HEAD_BYTES,
  GOAWAY,
  PING,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "./frame-types.ts";

/** Up to 16 KiB Node writes a string from a stack buffer: nothing has to be kept until the system has it. */
const MAX_TEXT_BYTES = 16_000;
/** Bytes that the system did not take yet at which the peer counts as slow. */
const MAX_UNSENT_BYTES = 65_536;
/** A head of usual size fits behind what is there. */
const USUAL_HEAD_BYTES = 2048;

/**
 * Frames on their way to a stream. All that one turn of the event loop brings leaves by one write, behind the last event of the turn
 * (eight responses that eight upstreams gave at the same time: one system call instead of eight), in a longer turn as {@link writeLater}
 * says, or when a slab is full.
 */
export class FrameOutput implements LateWriter {
  /** Changes when what was framed is given away: only until then a frame can still be changed. */
  epoch = 0;
  /** The peer takes less than it is sent. */
  congested = false;
  readonly #stream: ByteStream;
  #slab: Buffer | undefined = undefined;
  #end = 0;
  #closed = false;
  /** The last {@link epoch} whose frames were given to the stream. */
  #givenEpoch = -1;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Bytes that the system has not taken yet. */
  get unsentBytes(): number {
    return this.#stream.writableLength + this.#end;
  }

  /** Memory in which at least `bytes` fit behind {@link end}. */
  reserve(bytes: number): Buffer {
    if (this.#slab !== undefined && this.#end + bytes > SLAB_BYTES) this.flush();
    if (this.#slab === undefined) {
      this.#slab = takeSlab();
      writeLater(this);
    }
    return this.#slab;
  }

  /** For a head, whose size nobody knows yet. */
  reserveForHead(): Buffer {
    return this.reserve(USUAL_HEAD_BYTES);
  }

  /** Where the next frame begins. */
  get end(): number {
    return this.#end;
  }

  /** What was put into the reserved memory ends there. */
  set end(end: number) {
    this.#end = end;
  }

  /** Writes the head of a frame for whose payload there is room. Gives where the payload begins. */
  frameHead(bytes: number, type: number, flags: number, streamId: number): number {
    const slab = this.reserve(FRAME_HEAD_BYTES + bytes);
    putFrameHead(slab, this.#end, bytes, type, flags, streamId);
    this.#end += FRAME_HEAD_BYTES;
    return this.#end;
  }

  /** DATA with some of `chunk`. Gives where its flags stand, while {@link epoch} is the same. */
  data(streamId: number, chunk: Uint8Array, from: number, end: number, endStream: boolean): number {
    const bytes = end - from;
    const at = this.frameHead(bytes, DATA, endStream ? END_STREAM : 0, streamId);
    if (bytes > 0) {
      const slab = this.#slab!;
      // `set` of all of it makes no view.
      if (bytes === chunk.length) slab.set(chunk, at);
      else slab.set(chunk.subarray(from, end), at);
    }
    this.#end = at + bytes;
    return at - 5;
  }

  /** Makes a frame that has not left the last of its stream. */
  markEnd(flagsAt: number): void {
    this.#slab![flagsAt]! |= END_STREAM;
  }

  /** A frame of any type with a payload that is there. */
  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    const at = this.frameHead(payload.length, type, flags, streamId);
    this.#slab!.set(payload, at);
    this.#end = at + payload.length;
  }

  /** What is no frame. */
  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes, this.#end);
    this.#end += bytes.length;
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    let at = this.frameHead(values.length * 6, SETTINGS, 0, 0);
    for (const [id, value] of values) {
      this.#slab![at] = id >> 8;
      this.#slab![at + 1] = id & 255;
      putUint32(this.#slab!, at + 2, value);
      at += 6;
    }
    this.#end = at;
  }

  acknowledgeSettings(): void {
    this.frameHead(0, SETTINGS, ACK, 0);
  }

  ping(flags: number, payload: Uint8Array): void {
    this.frame(PING, flags, 0, payload);
  }

  resetStream(streamId: number, code: number): void {
    const at = this.frameHead(4, RST_STREAM, 0, streamId);
    putUint32(this.#slab!, at, code);
    this.#end = at + 4;
  }

  windowUpdate(streamId: number, bytes: number): void {
    const at = this.frameHead(4, WINDOW_UPDATE, 0, streamId);
    putUint32(this.#slab!, at, bytes);
    this.#end = at + 4;
  }

  /** @param debug For whoever reads the other side's log (RFC 9113, section 6.8). */
  goaway(lastStreamId: number, code: number, debug: string): void {
    const at = this.frameHead(8 + debug.length, GOAWAY, 0, 0);
    const slab = this.#slab!;
    putUint32(slab, at, lastStreamId);
    putUint32(slab, at + 4, code);
    slab.write(debug, at + 8, "latin1");
    this.#end = at + 8 + debug.length;
  }

  writeLate(): void {
    this.flush();
  }

  /** Gives what was framed to the stream. */
  flush(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    const end = this.#end;
    this.#slab = undefined;
    this.#end = 0;
    this.epoch++;
    if (this.#closed || this.#stream.destroyed) {
      giveSlab(slab);
      return;
    }
    this.#givenEpoch = this.epoch - 1;
    if (end <= MAX_TEXT_BYTES) {
      const text = latin1(slab, 0, end);
      giveSlab(slab);
      this.#wrote(this.#stream.write(text, "latin1"));
    } else {
      // Over TLS the system has it a turn later.
      this.#wrote(
        this.#stream.write(slab.subarray(0, end), (error) => {
          // Of a stream that was destroyed the system may still have bytes to send.
          if (error === undefined || error === null) giveSlab(slab);
        }),
      );
    }
  }

  /** The stream told that all has left. */
  drained(): void {
    this.congested = false;
  }

  /** Nothing leaves any more. */
  close(): void {
    this.#closed = true;
    if (this.#slab !== undefined) giveSlab(this.#slab);
    this.#slab = undefined;
    this.#end = 0;
    this.epoch++;
  }

  /** What was framed in that {@link epoch} has not left, and never will. */
  isLost(epoch: number): boolean {
    return this.#closed && epoch > this.#givenEpoch;
  }

  /** A stream refuses by what it was given, not by what is left: a large write that the system took at once is no reason to wait. */
  #wrote(accepted: boolean): void {
    if (!accepted && this.#stream.writableLength >= MAX_UNSENT_BYTES) this.congested = true;
  }
}

export function putFrameHead(
  target: Buffer,
  at: number,
  bytes: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  target[at] = bytes >> 16;
  target[at + 1] = (bytes >> 8) & 255;
  target[at + 2] = bytes & 255;
  target[at + 3] = type;
  target[at + 4] = flags;
  putUint32(target, at + 5, streamId);
}

function putUint32(target: Buffer, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = (value >>> 16) & 255;
  target[at + 2] = (value >>> 8) & 255;
  target[at + 3] = value & 255;
}
