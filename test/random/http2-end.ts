import type { Duplex } from "node:stream";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { HpackDecoder } from "../../packages/core/src/http2/hpack/decoder.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  GOAWAY,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  numbers,
  PING,
  PREFACE,
  readFrames,
  RST_STREAM,
  SETTINGS,
  settingsFrame,
  WINDOW_UPDATE,
  type Frame,
} from "../../packages/core/test/http2-frames.ts";
import type { Fields } from "./plan.ts";
import { cut, oneOf, type Below } from "./random.ts";

const DEFAULT_WINDOW_BYTES = 65_535;
const MAX_FRAME_SIZE = 5;
const PADDED = 8;
/** Bytes that wait for the system, beyond which a stream waits too. */
const MAX_UNSENT_BYTES = 100_000;
/** What a receiver of much says at first, and may say again at any time. */
const WINDOWS = [1, 100, 5000, 16_384, 65_535, 65_535, 1_000_000];

export interface Http2EndOptions {
  readonly role: "client" | "server";
  readonly below: Below;
  /** What the other side does wrong. */
  readonly fail: (what: string) => void;
  /** Server: a request has begun. */
  readonly onStream?: (stream: Http2EndStream) => void;
}

/**
 * One end of a connection of HTTP/2, frame by frame, which does at random what an end may do as it likes: sizes of frames, padding,
 * fields in more than one frame, windows and when they open again, and where the bytes are cut. The other side has to keep to windows
 * and to how many streams it may open, and to say no more on a stream behind its end.
 */
export class Http2End {
  readonly streams: Map<number, Http2EndStream> = new Map();
  readonly below: Below;
  /** The connection is gone. */
  over = false;
  /** Flow control of the connection: what may be sent, and the most that there was. */
  sendWindowBytes: number = DEFAULT_WINDOW_BYTES;
  mostSendWindowBytes: number = DEFAULT_WINDOW_BYTES;
  /** The highest stream that was opened. */
  lastStreamId = 0;
  /** A GOAWAY came. */
  goneAway = false;
  peerWindowBytes: number = DEFAULT_WINDOW_BYTES;
  peerFrameBytes = 16_384;
  /** What the other side has agreed to as the window of new streams. */
  windowBytes: number = DEFAULT_WINDOW_BYTES;
  readonly #options: Http2EndOptions;
  readonly #socket: Duplex;
  readonly #decoder = new HpackDecoder();
  readonly #windowsAsked: number[] = [];
  /** Streams that the other side may have open. */
  readonly #maxStreams: number;
  #receiveWindowBytes = DEFAULT_WINDOW_BYTES;
  #awaitsPreface: boolean;
  #rest: Buffer = Buffer.alloc(0);
  /** HEADERS whose fields are not all there. */
  #begun: { streamId: number; flags: number; parts: Buffer[] } | undefined = undefined;
  #out: Buffer[] = [];
  #flushing = false;
  readonly #waiters = new Set<() => void>();

  constructor(socket: Duplex, options: Http2EndOptions, settings: Readonly<Record<number, number>> = {}) {
    const { below, role } = options;
    this.#socket = socket;
    this.#options = options;
    this.below = below;
    this.#maxStreams = settings[MAX_CONCURRENT_STREAMS] ?? Number.POSITIVE_INFINITY;
    this.#awaitsPreface = role === "server";
    const onOver = (): void => {
      this.over = true;
      this.wake();
    };
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", () => undefined);
    socket.on("end", onOver).on("close", onOver);
    socket.on("drain", () => this.wake());
    if (role === "client") this.write(Buffer.from(PREFACE));
    const windowBytes = oneOf(below, WINDOWS);
    this.#windowsAsked.push(windowBytes);
    const largest = { [MAX_FRAME_SIZE]: oneOf(below, [16_384, 65_536]) };
    this.write(settingsFrame({ [INITIAL_WINDOW_SIZE]: windowBytes, ...largest, ...settings }));
    if (below(2) === 0) this.#grantConnection(below(1_000_000) + 1);
  }

  /** Opens a stream by a head. */
  open(fields: Fields, end: boolean): Http2EndStream {
    const stream = this.#newStream(this.lastStreamId === 0 ? 1 : this.lastStreamId + 2);
    stream.head(fields, end);
    return stream;
  }

  /** Another window for streams, those that are open too. */
  changeWindow(): void {
    const windowBytes = oneOf(this.below, WINDOWS);
    this.#windowsAsked.push(windowBytes);
    this.write(settingsFrame({ [INITIAL_WINDOW_SIZE]: windowBytes }));
  }

  /** Streams above `lastStreamId` are not looked at. */
  goAway(lastStreamId: number, code = 0): void {
    this.write(frame(GOAWAY, 0, 0, numbers(lastStreamId, code)));
  }

  /** Ends the connection behind what was said. */
  async finish(): Promise<void> {
    while (!this.over && (this.#out.length > 0 || this.#flushing)) await turn();
    this.#socket.end();
  }

  /** Resolves with `false` when the connection is gone before. */
  async until(isSo: () => boolean): Promise<boolean> {
    while (!isSo()) {
      if (this.over) return false;
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
    return true;
  }

  wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  get full(): boolean {
    return this.#socket.writableLength > MAX_UNSENT_BYTES || this.#out.length > 50;
  }

  write(...frames: Buffer[]): void {
    this.#out.push(...frames);
    if (!this.#flushing) void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    await turn();
    while (this.#out.length > 0 && !this.over) {
      const bytes = Buffer.concat(this.#out.splice(0));
      for (const piece of this.below(4) === 0 ? cut(this.below, bytes) : [bytes]) {
        if (this.over || this.#socket.writableEnded) break;
        this.#socket.write(piece);
        if (this.below(3) === 0) await turn();
      }
      // Who waits for room hears of it.
      await this.until(() => !this.#socket.writableNeedDrain);
      this.wake();
    }
    this.#flushing = false;
  }

  #newStream(id: number): Http2EndStream {
    this.lastStreamId = id;
    const stream = new Http2EndStream(this, id, this.peerWindowBytes, this.windowBytes);
    this.streams.set(id, stream);
    return stream;
  }

  #fail(what: string): void {
    this.#options.fail(what);
  }

  #onData(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#awaitsPreface && bytes.length >= PREFACE.length) {
      this.#awaitsPreface = false;
      bytes = bytes.subarray(PREFACE.length);
    }
    if (this.#awaitsPreface) {
      this.#rest = bytes;
      return;
    }
    const { frames, rest } = readFrames(bytes);
    this.#rest = Buffer.from(rest);
    for (const one of frames) this.#onFrame(one);
    this.wake();
  }

  #onFrame({ type, flags, streamId, payload }: Frame): void {
    const stream = this.streams.get(streamId);
    switch (type) {
      case SETTINGS:
        if ((flags & ACK) === 0) this.#onSettings(payload);
        else this.#onAgreed();
        break;
      case PING:
        if ((flags & ACK) === 0) this.write(frame(PING, ACK, 0, payload));
        break;
      case GOAWAY:
        this.goneAway = true;
        break;
      case WINDOW_UPDATE:
        if (stream !== undefined) stream.sendWindowBytes += payload.readUInt32BE(0);
        if (streamId === 0) this.sendWindowBytes += payload.readUInt32BE(0);
        this.mostSendWindowBytes = Math.max(this.mostSendWindowBytes, this.sendWindowBytes);
        break;
      case RST_STREAM:
        stream?.onReset(payload.readUInt32BE(0));
        break;
      case HEADERS:
        this.#begun = { streamId, flags, parts: [payload] };
        if ((flags & END_HEADERS) !== 0) this.#onFields();
        break;
      case CONTINUATION:
        this.#begun!.parts.push(payload);
        if ((flags & END_HEADERS) !== 0) this.#onFields();
        break;
      case DATA:
        this.#onContent(stream, payload, (flags & END_STREAM) !== 0);
        break;
      default:
        break;
    }
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      const id = payload.readUInt16BE(at);
      if (id === MAX_FRAME_SIZE) this.peerFrameBytes = value;
      if (id !== INITIAL_WINDOW_SIZE) continue;
      for (const stream of this.streams.values()) stream.sendWindowBytes += value - this.peerWindowBytes;
      this.peerWindowBytes = value;
    }
    this.write(frame(SETTINGS, ACK, 0));
  }

  #onAgreed(): void {
    const windowBytes = this.#windowsAsked.shift();
    if (windowBytes === undefined) return this.#fail("agrees to settings that nobody has sent");
    for (const stream of this.streams.values()) stream.widen(windowBytes - this.windowBytes);
    this.windowBytes = windowBytes;
  }

  #onFields(): void {
    const { flags, parts, streamId } = this.#begun!;
    this.#begun = undefined;
    const fields: [string, string][] = [];
    const block = Buffer.concat(parts);
    this.#decoder.decode(block, 0, block.length, { field: (name, value) => void fields.push([name, value]) });
    const ends = (flags & END_STREAM) !== 0;
    const known = this.streams.get(streamId);
    if (known !== undefined) known.onFields(fields, ends, this.#options.role);
    else if (this.#options.role === "server" && streamId > this.lastStreamId) {
      if (this.streams.size >= this.#maxStreams) this.#fail(`opens more than ${this.#maxStreams} streams`);
      const stream = this.#newStream(streamId);
      stream.onFields(fields, ends, "server");
      this.#options.onStream?.(stream);
    }
  }

  #onContent(stream: Http2EndStream | undefined, content: Buffer, ends: boolean): void {
    this.#receiveWindowBytes -= content.length;
    if (this.#receiveWindowBytes < 0) this.#fail("sends beyond the window of the connection");
    if (content.length > 0) this.#grantConnection(content.length);
    stream?.onContent(content, ends);
  }

  #grantConnection(bytes: number): void {
    this.#receiveWindowBytes += bytes;
    this.write(frame(WINDOW_UPDATE, 0, 0, numbers(bytes)));
  }

  /** @internal Of a stream. */
  failed(id: number, what: string): void {
    this.#fail(`stream ${id} ${what}`);
  }
}

/** One stream of a {@link Http2End}. */
export class Http2EndStream {
  readonly id: number;
  /** The head, for a client the one that is final, and those before it. */
  fields: Fields | undefined = undefined;
  readonly interim: Fields[] = [];
  trailers: Fields = [];
  /** END_STREAM came. */
  ended = false;
  /** RST_STREAM came. */
  resetCode: number | undefined = undefined;
  sendWindowBytes: number;
  bodyBytes = 0;
  /** Stops giving back what it receives. */
  stalled = false;
  readonly #end: Http2End;
  #receiveWindowBytes: number;
  #pieces: Buffer[] = [];
  #owedBytes = 0;
  #localEnded = false;
  #left = false;

  constructor(end: Http2End, id: number, sendWindowBytes: number, receiveWindowBytes: number) {
    this.#end = end;
    this.id = id;
    this.sendWindowBytes = sendWindowBytes;
    this.#receiveWindowBytes = receiveWindowBytes;
  }

  /** Nothing more comes. */
  get over(): boolean {
    return this.ended || this.gone;
  }

  /** Nothing more can be sent. */
  get gone(): boolean {
    return this.resetCode !== undefined || this.#left || this.#end.over;
  }

  get body(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0]!;
  }

  /** Waits for that, or for its end. */
  async until(isSo: () => boolean): Promise<void> {
    await this.#end.until(() => isSo() || this.over);
  }

  /** A head or trailers, in as many frames as it likes. */
  head(fields: Fields, end: boolean): void {
    if (this.gone) return;
    const { below } = this.#end;
    const block = fieldBlock(fields);
    const parts = below(3) > 0 ? [block] : [...cut(below, block)];
    const frames = (parts.length > 20 ? [block] : parts).map((part, index, all) => {
      const flags = (index === all.length - 1 ? END_HEADERS : 0) | (index === 0 && end ? END_STREAM : 0);
      return frame(index === 0 ? HEADERS : CONTINUATION, flags, this.id, part);
    });
    this.#end.write(...frames);
    if (end) this.#endLocal();
  }

  /** Content as far as windows allow; resolves when it is on its way, or never will be. */
  async send(content: Buffer, end: boolean): Promise<void> {
    const connection = this.#end;
    const { below } = connection;
    for (let at = 0; at < content.length;) {
      await connection.until(
        () => this.gone || (this.sendWindowBytes > 0 && connection.sendWindowBytes > 0 && !connection.full),
      );
      if (this.gone) return;
      const most = Math.min(this.sendWindowBytes, connection.sendWindowBytes, connection.peerFrameBytes);
      const padding = below(8) === 0 && most > 40 ? below(30) : -1;
      const bytes = Math.min(
        content.length - at,
        most - padding - 1,
        1 + below(oneOf(below, [7, 1000, 20_000, 70_000])),
      );
      const piece = content.subarray(at, at + bytes);
      at += bytes;
      const isLast = end && at === content.length && below(2) === 0;
      this.#content(piece, padding, isLast);
      if (isLast) return;
      const pause = below(12);
      if (pause === 0) await delay(1);
      else if (pause < 4) await turn();
    }
    if (end && !this.gone) this.#content(Buffer.alloc(0), -1, true);
  }

  /** RST_STREAM. */
  reset(code: number): void {
    if (this.gone) return;
    this.#end.write(frame(RST_STREAM, 0, this.id, numbers(code)));
    this.#left = true;
    this.#end.streams.delete(this.id);
    this.#end.wake();
  }

  /** Gives back what it kept back while it was stalled. */
  goOn(): void {
    this.stalled = false;
    this.#grant();
  }

  widen(bytes: number): void {
    this.#receiveWindowBytes += bytes;
  }

  onFields(fields: Fields, ends: boolean, role: "client" | "server"): void {
    if (this.ended) this.#end.failed(this.id, "has fields behind its end");
    const status = role === "server" ? 200 : Number(fields.find(([name]) => name === ":status")?.[1]);
    if (this.fields !== undefined) {
      if (!ends) this.#end.failed(this.id, "has trailers that are not its end");
      this.trailers = fields;
    } else if (status < 200) this.interim.push(fields);
    else this.fields = fields;
    if (ends) this.#onEnd();
  }

  onContent(content: Buffer, ends: boolean): void {
    if (this.ended) this.#end.failed(this.id, "has content behind its end");
    if (this.fields === undefined) this.#end.failed(this.id, "has content before its head");
    if (content.length > 0 && content.length > this.#receiveWindowBytes)
      this.#end.failed(this.id, `has ${content.length} bytes, of ${this.#receiveWindowBytes} that its window allows`);
    this.#receiveWindowBytes -= content.length;
    this.#owedBytes += content.length;
    this.bodyBytes += content.length;
    this.#pieces.push(content);
    if (ends) this.#onEnd();
    else if (!this.stalled && content.length > 0) this.#grant();
  }

  onReset(code: number): void {
    this.resetCode = code;
    this.#end.streams.delete(this.id);
  }

  #onEnd(): void {
    this.ended = true;
    if (this.#localEnded) this.#end.streams.delete(this.id);
  }

  #content(piece: Buffer, padding: number, end: boolean): void {
    const padded = padding >= 0;
    const payload = padded ? Buffer.concat([Buffer.from([padding]), piece, Buffer.alloc(padding)]) : piece;
    this.sendWindowBytes -= payload.length;
    this.#end.sendWindowBytes -= payload.length;
    this.#end.write(frame(DATA, (padded ? PADDED : 0) | (end ? END_STREAM : 0), this.id, payload));
    if (end) this.#endLocal();
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.ended) this.#end.streams.delete(this.id);
  }

  /** Opens its window again: at once, or later. */
  #grant(): void {
    const { below } = this.#end;
    const pause = below(8);
    if (pause === 0) void delay(below(5)).then(() => this.#grantNow());
    else if (pause < 3) setImmediate(() => this.#grantNow());
    else this.#grantNow();
  }

  #grantNow(): void {
    if (this.over || this.stalled || this.#owedBytes === 0) return;
    const bytes = this.#owedBytes + (this.#receiveWindowBytes < 60_000 ? this.#end.below(30_000) : 0);
    this.#owedBytes = 0;
    this.#receiveWindowBytes += bytes;
    this.#end.write(frame(WINDOW_UPDATE, 0, this.id, numbers(bytes)));
  }
}

export function settingsOfOrigin(below: Below): Readonly<Record<number, number>> {
  return { [MAX_CONCURRENT_STREAMS]: oneOf(below, [1, 3, 20, 100]) };
}
