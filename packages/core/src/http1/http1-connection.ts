import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import type { EventEmitter } from "node:events";
import { appendBytes } from "../net/append-bytes.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { writeLater, type LateWriter } from "../net/late-writes.ts";
import { latin1 } from "../net/latin1.ts";
import { readRest } from "../net/read-rest.ts";
import { OWNER } from "../net/stream-owner.ts";
import { WriteWatch, type WriteLimits } from "./write-watch.ts";

/** Unread bytes at which we stop reading the socket. */
const MAX_WAITING_BYTES = 65_536;
/** Beside a head of the largest size: the empty lines before it, and a byte too many, which tells that it is too large. */
const BESIDE_HEAD_BYTES = 64;
/** A chunk up to this size is copied behind the text that is held, so that both leave in one write. */
const MAX_COPIED_BYTES = 4096;
/** A larger chunk is given to the stream in pieces, so that it shows how much of it was taken. */
const MAX_PIECE_BYTES = 262_144;
/** Bytes that the system did not take yet at which the peer counts as slow. */
const MAX_UNSENT_BYTES = 65_536;
/** Held text leaves at this size; up to 16 KiB Node writes a string from a stack buffer, without allocating. */
const MAX_HELD_CHARS = 16_000;

type OwnedStream = ByteStream & { [OWNER]?: Http1Connection };

/**
 * What both sides of HTTP/1 share over a stream: bytes that arrived and were not used yet, text that waits to leave
 * together with what follows, back-pressure in both directions.
 */
export abstract class Http1Connection implements LateWriter {
  protected readonly stream: ByteStream;
  /** Holds what arrived and is not used yet, from `inputAt` to `inputEnd`; `undefined` when all is used. */
  protected input: Buffer | undefined = undefined;
  protected inputAt = 0;
  protected inputEnd = 0;
  /** The peer ended its direction. */
  protected peerEnded = false;
  /** The stream closed; nothing can be written or read. */
  protected closed = false;
  /** Our direction is ended: what is still written goes nowhere. */
  protected ended = false;
  /** The error that the stream reported before it closed. */
  protected streamError: Error | undefined = undefined;
  /** Asked not to read, by back-pressure. */
  protected readingPaused = false;
  /** `write` said to wait, and `drain` has not come. */
  protected congested = false;
  #held = "";
  /** Characters of what is held, from its begin, that are complete, and leave with this turn of the event loop. */
  #lateLength = 0;
  /** Where in what is held begins what {@link holdBack} was given last; -1: some of it has left, or other text is before it. */
  #takeableAt = -1;
  /** The stream is corked until {@link flush}. */
  #gathering = false;
  #streamPaused = false;
  #pumping = false;
  /** Made when the peer falls behind for the first time. */
  #writeWatch: WriteWatch | undefined = undefined;
  /** Unread bytes at which we stop reading the stream. */
  readonly #maxWaitingBytes: number;

  /** @param maxHeadBytes A head must be able to arrive whole. */
  protected constructor(stream: ByteStream, maxHeadBytes: number) {
    this.stream = stream;
    this.#maxWaitingBytes = Math.max(MAX_WAITING_BYTES, maxHeadBytes + BESIDE_HEAD_BYTES);
    (stream as OwnedStream)[OWNER] = this;
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("error", onError);
    stream.on("close", onClose);
  }

  /** Goes on reading while it is paused, until something comes: the end of the connection shows only to who reads. */
  protected get readsAhead(): boolean {
    return false;
  }

  /** Uses what arrived before the stream closed also after it did. */
  protected get outlivesStream(): boolean {
    return false;
  }

  /** Uses some of the input; returns whether to call it again. */
  protected abstract consume(): boolean;
  /** All input that could be used now was used. */
  protected abstract onConsumed(): void;
  protected abstract onPeerEnd(): void;
  protected abstract onStreamClosed(): void;
  protected abstract onDrained(): void;
  protected abstract get writeLimits(): WriteLimits;
  /** The peer takes our bytes too slowly. */
  protected abstract onStalled(): void;
  /** The stream failed to write; it is still open, and will close at once. */
  protected onWriteFailed(): void {}

  /** Uses the input as far as possible, without recursion when an event asks for more. */
  protected pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.input !== undefined && (!this.closed || this.outlivesStream) && this.consume());
    } finally {
      this.#pumping = false;
    }
    this.onConsumed();
    this.updateReading();
  }

  /** Marks the input as used up to `at`. */
  protected usedUpTo(at: number): void {
    this.inputAt = at;
    if (at === this.inputEnd) this.input = undefined;
  }

  /** Reads the stream, or not, as the state asks. */
  protected updateReading(): void {
    const waiting = this.input === undefined ? 0 : this.inputEnd - this.inputAt;
    const pause = waiting >= this.#maxWaitingBytes || (this.readingPaused && (waiting > 0 || !this.readsAhead));
    if (pause === this.#streamPaused || this.closed) return;
    this.#streamPaused = pause;
    if (pause) this.stream.pause();
    else this.stream.resume();
  }

  /** The stream holds bytes that it was given, and needs their memory; while they are gathered that is not known yet. */
  get holdsBytes(): boolean {
    const { stream } = this;
    return !this.#gathering && (stream.lentLength ?? stream.writableLength) > 0;
  }

  /** The peer takes what it is given. */
  get writable(): boolean {
    return !this.congested;
  }

  /** Holds text back until bytes, {@link flush} or too much of it. */
  protected hold(text: string): void {
    this.#held += text;
    // Not by `flush`, which may be what holds it.
    if (this.#held.length > MAX_HELD_CHARS) this.#writeHeld();
  }

  /** As {@link hold}, what {@link takeBack} takes back: however much it is, it does not leave by itself. */
  protected holdBack(text: string): void {
    this.#takeableAt = this.#held.length === this.#lateLength ? this.#lateLength : -1;
    this.#held += text;
  }

  /** Drops what is held from the last {@link holdBack} on; `false` if any of it has left, or is complete, and as good as sent. */
  protected takeBack(): boolean {
    const at = this.#takeableAt;
    if (!this.holdsAll || this.#lateLength > at) return false;
    this.#held = this.#held.slice(0, at);
    this.#takeableAt = -1;
    return true;
  }

  /** Nothing has left of what the last {@link holdBack} was given. */
  protected get holdsAll(): boolean {
    return this.#takeableAt >= 0 && this.#held.length > this.#takeableAt;
  }

  /** Writes bytes behind what is held. Returns `false` to ask to wait for {@link onDrained}. */
  protected send(chunk: Uint8Array): boolean {
    if (chunk.length <= MAX_COPIED_BYTES && this.#held.length > 0) {
      this.hold(latin1(asBuffer(chunk), 0, chunk.length));
      return !this.congested;
    }
    if (this.closed) return false;
    if (this.#held.length > 0) {
      this.stream.cork();
      this.#writeHeld();
      this.#sendBytes(chunk);
      this.stream.uncork();
      if (this.stream.errored) this.onWriteFailed();
    } else {
      this.#sendBytes(chunk);
    }
    return !this.congested;
  }

  /**
   * As {@link send}, but until {@link flush}, so that what one read brought leaves by one system call, in however many chunks.
   * (Four chunks of 16 KB that came together took four: 15 % of what a chunked upload costs.)
   */
  protected gather(chunk: Uint8Array): void {
    if (this.closed) return;
    if (!this.#gathering) {
      this.#gathering = true;
      this.stream.cork();
    }
    this.#writeHeld();
    this.#sendBytes(chunk);
  }

  #sendBytes(chunk: Uint8Array): void {
    if (this.ended) return;
    for (let at = 0; at < chunk.length; at += MAX_PIECE_BYTES) {
      const piece = chunk.length <= MAX_PIECE_BYTES ? chunk : chunk.subarray(at, at + MAX_PIECE_BYTES);
      this.#wrote(this.stream.write(piece), piece.length);
    }
  }

  /** Writes what is held or gathered. Returns `false` to ask to wait for {@link onDrained}. */
  flush(): boolean {
    this.#writeAll();
    return !this.congested;
  }

  /** As {@link flush}, for the end of a message: it leaves behind what else comes in this turn of the event loop. */
  protected flushLater(): boolean {
    // Behind what the system does not take yet it waits anyway.
    if (this.#gathering || this.stream.writableLength > 0 || this.#held.length > MAX_HELD_CHARS) this.#writeAll();
    else {
      if (this.#lateLength === 0 && this.#held.length > 0) writeLater(this);
      this.#lateLength = this.#held.length;
    }
    return !this.congested;
  }

  /** Writes what {@link flushLater} left, if it has not left since; what is held behind it stays. */
  writeLate(): void {
    const late = this.#lateLength;
    if (late > 0) this.#writeFirst(late);
  }

  /** Bytes that the system has not been given, or has not taken. */
  protected get unsentBytes(): number {
    return this.#held.length + this.stream.writableLength;
  }

  #writeAll(): void {
    this.#writeHeld();
    if (!this.#gathering) return;
    this.#gathering = false;
    this.stream.uncork();
    this.#wrote(false, 0);
  }

  #writeHeld(): void {
    if (this.#held.length > 0) this.#writeFirst(this.#held.length);
  }

  /** Writes the first `length` characters of what is held. */
  #writeFirst(length: number): void {
    const held = this.#held;
    const all = length === held.length;
    this.#held = all ? "" : held.slice(length);
    this.#lateLength = 0;
    this.#takeableAt = Math.max(this.#takeableAt - length, -1);
    if (!this.closed && !this.ended && !this.stream.destroyed)
      this.#wrote(this.stream.write(all ? held : held.slice(0, length), "latin1"), length);
  }

  /** Bytes arrived: the first `end` of `buffer`. */
  onData(buffer: Buffer, end: number): void {
    this.addInput(buffer, end);
    this.pump();
  }

  /** Puts the first `end` bytes of `buffer` behind what is not used yet. */
  protected addInput(buffer: Buffer, end: number): void {
    const held = this.input;
    if (held === undefined) {
      this.input = buffer;
      this.inputAt = 0;
      this.inputEnd = end;
      return;
    }
    this.input = appendBytes(held, this.inputAt, this.inputEnd, buffer, end);
    this.inputEnd += end;
    if (this.input === held) return;
    this.inputEnd -= this.inputAt;
    this.inputAt = 0;
  }

  /** Adds what the system has received for a socket that failed to write: Node closes it, and that throws it away. */
  protected rescueInput(): number {
    let bytes = 0;
    for (const piece of readRest(this.stream)) {
      bytes += piece.length;
      this.addInput(piece, piece.length);
    }
    return bytes;
  }

  /** Moves what is not used yet to memory of its own. */
  protected copyInput(): Buffer {
    const copied = Buffer.from(this.input!.subarray(this.inputAt, this.inputEnd));
    this.input = copied;
    this.inputAt = 0;
    this.inputEnd = copied.length;
    return copied;
  }

  /** Leaves the stream to another protocol, with what came and was not used. */
  protected leave(): Buffer {
    const { input, stream } = this;
    const rest = input === undefined ? Buffer.alloc(0) : Buffer.from(input.subarray(this.inputAt, this.inputEnd));
    this.input = undefined;
    this.closed = true;
    this.#writeWatch?.dispose();
    const emitter = stream as ByteStream & Pick<EventEmitter, "off">;
    emitter.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose).off("drain", onDrain);
    return rest;
  }

  /** The peer's end was not told by TLS: anybody may have ended it, anywhere (RFC 9112, section 9.8). */
  protected get truncated(): boolean {
    return this.stream.truncated === true;
  }

  onEnd(): void {
    this.peerEnded = true;
    this.onPeerEnd();
  }

  onDrain(): void {
    this.congested = false;
    this.#writeWatch?.stop();
    this.onDrained();
  }

  onError(error: Error): void {
    this.streamError ??= error;
  }

  onClose(): void {
    this.closed = true;
    this.#gathering = false;
    this.#writeWatch?.dispose();
    this.onStreamClosed();
    this.#held = "";
  }

  /** Closes so that what was sent cannot look like a complete message that ends with the connection: by a reset. */
  protected reset(): void {
    const stream = this.stream as ByteStream & { resetAndDestroy?: () => unknown };
    try {
      stream.resetAndDestroy?.();
    } catch {
      // Node throws for what is not TCP: a Unix socket knows no reset, and TLS is cut by the lack of its own end.
    }
    stream.destroy();
  }

  /** Watches that what the stream holds leaves in time, little as it may be; until it is told, or all is gone. */
  protected watchUnsent(): void {
    if (this.stream.writableLength > 0) this.#watch();
  }

  /** The limits that the peer is held to because it is behind; `undefined` while it keeps up. */
  protected get watchedLimits(): WriteLimits | undefined {
    return this.#writeWatch?.limits;
  }

  /**
   * A stream refuses by what it was given, not by what is left: a large chunk that the system took at once is no reason to
   * stop the other side, which would cost two system calls each time.
   */
  #wrote(accepted: boolean, bytes: number): void {
    this.#writeWatch?.add(bytes);
    if (accepted || this.#gathering) return;
    if (this.stream.errored) this.onWriteFailed();
    if (this.stream.writableLength < MAX_UNSENT_BYTES) return;
    this.congested = true;
    this.#watch();
  }

  #watch(): void {
    if (this.#writeWatch === undefined) {
      // Most peers never fall behind: what is for those that do, an idle connection need not hold.
      this.#writeWatch = new WriteWatch(this.stream, () => this.onStalled());
      this.stream.on("drain", onDrain);
    }
    this.#writeWatch.start(this.writeLimits);
  }
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

function onData(this: OwnedStream, chunk: Buffer): void {
  const connection = this[OWNER]!;
  if (Buffer.isBuffer(chunk)) {
    connection.onData(chunk, chunk.length);
    return;
  }
  // An encoding that was set meanwhile: what was lost by it, nobody can tell.
  const error = new TypeError(`the stream of a connection must give bytes; it gave ${typeof chunk}`);
  connection.onError(error);
  this.destroy(error);
}

function onEnd(this: OwnedStream): void {
  this[OWNER]!.onEnd();
}

function onDrain(this: OwnedStream): void {
  this[OWNER]!.onDrain();
}

function onError(this: OwnedStream, error: Error): void {
  this[OWNER]!.onError(error);
}

function onClose(this: OwnedStream): void {
  this[OWNER]!.onClose();
}
