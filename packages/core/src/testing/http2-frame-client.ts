import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { encodeHeaderBlock, statusOfBlock } from "./header-block.ts";

/** A frame of HTTP/2 (RFC 9113, section 4.1). */
export interface Http2Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** The types of frames by their names (RFC 9113, section 6). */
export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** Flags of frames. */
export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES = 9;

export interface Http2FrameClientOptions {
  /** Of our first SETTINGS frame, by their numbers. Default none: the server may send 65,535 bytes on a stream. */
  settings?: readonly (readonly [id: number, value: number])[];
  /** Send the preface and SETTINGS at once. Default true. */
  preface?: boolean;
  /** Acknowledge SETTINGS and PING of the server. Default true. */
  acknowledge?: boolean;
}

/**
 * A client of HTTP/2 that does what a test says, frame by frame, also what no client may do. It has no state of streams, no flow
 * control and no header compression; what comes it only collects.
 */
export class Http2FrameClient implements AsyncDisposable {
  /** Every frame that came. */
  readonly frames: Http2Frame[] = [];
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  readonly stream: Duplex;
  readonly #acknowledge: boolean;
  #buffer: Buffer = Buffer.alloc(0);
  #over = false;
  #checks: Set<() => void> = new Set();

  /** @param stream Connected to a server; over TLS, with the handshake done. */
  constructor(stream: Duplex, options: Http2FrameClientOptions = {}) {
    this.stream = stream;
    this.#acknowledge = options.acknowledge ?? true;
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        this.#over = true;
        resolve();
        this.#check();
      };
      stream.once("end", end).once("close", end);
    });
    if (options.preface === false) return;
    this.sendBytes(PREFACE);
    this.settings(options.settings ?? []);
  }

  /** Connects to `host:port`. */
  static async connect(address: string, options: Http2FrameClientOptions = {}): Promise<Http2FrameClient> {
    const at = address.lastIndexOf(":");
    const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)), noDelay: true });
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Http2FrameClient(socket, options);
  }

  sendBytes(bytes: Uint8Array | string): this {
    if (this.stream.writable) this.stream.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    return this;
  }

  send(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): this {
    return this.sendBytes(frameBytes(type, flags, streamId, payload));
  }

  settings(values: readonly (readonly [id: number, value: number])[]): this {
    const payload = Buffer.alloc(values.length * 6);
    for (const [index, [id, value]] of values.entries()) {
      payload.writeUInt16BE(id, index * 6);
      payload.writeUInt32BE(value, index * 6 + 2);
    }
    return this.send(FRAME.SETTINGS, 0, 0, payload);
  }

  /** HEADERS with all fields. @param flags Default: END_HEADERS and END_STREAM. */
  headers(
    streamId: number,
    fields: readonly (readonly [name: string, value: string])[],
    flags: number = FLAG.END_HEADERS | FLAG.END_STREAM,
  ): this {
    return this.send(FRAME.HEADERS, flags, streamId, encodeHeaderBlock(fields));
  }

  /** A GET for `http://test` + `path`. */
  get(streamId: number, path = "/", more: readonly (readonly [string, string])[] = []): this {
    return this.headers(streamId, [...requestFields("GET", path), ...more]);
  }

  data(streamId: number, payload: Uint8Array | string, end = false): this {
    const bytes = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
    return this.send(FRAME.DATA, end ? FLAG.END_STREAM : 0, streamId, bytes);
  }

  rstStream(streamId: number, code = 8): this {
    return this.send(FRAME.RST_STREAM, 0, streamId, uint32(code));
  }

  windowUpdate(streamId: number, increment: number): this {
    return this.send(FRAME.WINDOW_UPDATE, 0, streamId, uint32(increment));
  }

  ping(payload: Uint8Array = Buffer.alloc(8)): this {
    return this.send(FRAME.PING, 0, 0, payload);
  }

  /** The first frame that came, or comes, and is wanted. Rejects when the connection ends without one. */
  async next(
    type: number,
    streamId?: number,
    wanted: (frame: Http2Frame) => boolean = () => true,
  ): Promise<Http2Frame> {
    const isIt = (frame: Http2Frame): boolean =>
      frame.type === type && (streamId === undefined || frame.streamId === streamId) && wanted(frame);
    return await new Promise((resolve, reject) => {
      const look = (): void => {
        const frame = this.frames.find(isIt);
        if (frame !== undefined) resolve(frame);
        else if (this.#over) reject(new Error(`the connection ended; frames: ${this.describe()}`));
        else return;
        this.#checks.delete(look);
      };
      this.#checks.add(look);
      look();
    });
  }

  /** The code of the GOAWAY that came, or comes. @param code Waits for one with this code. */
  async goaway(code?: number): Promise<{ code: number; lastStreamId: number }> {
    const frame = await this.next(
      FRAME.GOAWAY,
      0,
      ({ payload }) => code === undefined || payload.readUInt32BE(4) === code,
    );
    return { code: frame.payload.readUInt32BE(4), lastStreamId: frame.payload.readUInt32BE(0) };
  }

  /** The code of the RST_STREAM of a stream. */
  async reset(streamId: number): Promise<number> {
    return (await this.next(FRAME.RST_STREAM, streamId)).payload.readUInt32BE(0);
  }

  /** The status of a response. Works for the first field of a block only, and for one that needs no earlier one. */
  async status(streamId: number): Promise<number> {
    return statusOfBlock((await this.next(FRAME.HEADERS, streamId)).payload);
  }

  /** Bytes of DATA that came on a stream so far. */
  dataBytes(streamId: number): number {
    return this.frames
      .filter((frame) => frame.type === FRAME.DATA && frame.streamId === streamId)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  }

  /** The last frames that came, for error messages. */
  describe(): string {
    return this.frames
      .slice(-20)
      .map(({ type, flags, streamId, payload }) => `${FRAME_NAMES[type]} ${streamId} +${flags} (${payload.length})`)
      .join(", ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stream.destroy();
    await this.closed;
  }

  #onData(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const length = this.#buffer.length < FRAME_HEAD_BYTES ? Infinity : this.#buffer.readUIntBE(0, 3);
      if (this.#buffer.length < FRAME_HEAD_BYTES + length) break;
      const frame: Http2Frame = {
        type: this.#buffer[3]!,
        flags: this.#buffer[4]!,
        streamId: this.#buffer.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(this.#buffer.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + length)),
      };
      this.#buffer = this.#buffer.subarray(FRAME_HEAD_BYTES + length);
      this.frames.push(frame);
      this.#answer(frame);
    }
    this.#check();
  }

  #answer({ type, flags, payload }: Http2Frame): void {
    if (!this.#acknowledge || (flags & FLAG.ACK) !== 0) return;
    if (type === FRAME.SETTINGS) this.send(FRAME.SETTINGS, FLAG.ACK, 0);
    else if (type === FRAME.PING) this.send(FRAME.PING, FLAG.ACK, 0, payload);
  }

  #check(): void {
    for (const look of this.#checks) look();
  }
}

/** The bytes of a frame, right or wrong. */
export function frameBytes(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, FRAME_HEAD_BYTES);
  return bytes;
}

/** The pseudo-header fields of a request. */
export function requestFields(method: string, path = "/", authority = "test"): [name: string, value: string][] {
  return [
    [":method", method],
    [":scheme", "http"],
    [":authority", authority],
    [":path", path],
  ];
}

const FRAME_NAMES = Object.keys(FRAME);

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
