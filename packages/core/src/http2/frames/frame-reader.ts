import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { Http2ConnectionError } from "../connection/http2-connection-error.ts";
import { FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "../error-codes.ts";
import { DATA, FRAME_HEAD_BYTES, PADDED } from "./frame-types.ts";

/** `HTT`, taken for the length of a frame. */
const HTTP1_BYTES = 0x485454;

/** Whoever frames are for. Bytes are valid during the call. */
export interface FrameReceiver {
  /** A whole frame that is not DATA; its payload stands from `from` to `end`. */
  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, from: number, end: number): void;
  /** DATA begins. @param bytes Of its payload, padding and all: what flow control counts (RFC 9113, section 6.9.1). */
  onDataStart(flags: number, streamId: number, bytes: number): void;
  /** Some of its content; at least a byte. */
  onDataPiece(buffer: Buffer, from: number, end: number): void;
  /** All of it came. */
  onDataEnd(): void;
}

/**
 * Cuts bytes into frames (RFC 9113, section 4.1), straight from where they were read. Of DATA the content is passed on as it comes;
 * of other frames, a part that is not whole is kept in memory of its own, at most a frame of the largest size.
 */
export class FrameReader {
  readonly #receiver: FrameReceiver;
  readonly #maxFrameBytes: number;
  /** A frame of which not all is there; of DATA the head only. */
  #kept: Buffer | undefined = undefined;
  #keptBytes = 0;
  /** In DATA: content and padding that are still to come. */
  #inData = false;
  #contentLeft = 0;
  #paddingLeft = 0;
  /** Its first byte, which is to come, tells the padding. */
  #paddingUnknown = false;
  #stopped = false;

  /** @param maxFrameBytes The largest payload that is taken. */
  constructor(receiver: FrameReceiver, maxFrameBytes: number) {
    this.#receiver = receiver;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** What comes from now on is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#kept = undefined;
  }

  /** @throws Http2ConnectionError for a frame that is too large, or whose padding is; and what the receiver throws. */
  read(buffer: Buffer, from: number, end: number): void {
    let at = from;
    while (at < end && !this.#stopped) {
      if (this.#inData) {
        at = this.#readData(buffer, at, end);
      } else if (this.#kept !== undefined) {
        at = this.#complete(buffer, at, end);
      } else {
        const next = end - at < FRAME_HEAD_BYTES ? -1 : this.#readFrame(buffer, at, end);
        if (next < 0) {
          this.#keep(buffer, at, end);
          return;
        }
        at = next;
      }
    }
  }

  /** Reads a frame whose head is there. Gives where it ends, or -1 if more of it is to come. */
  #readFrame(buffer: Buffer, at: number, end: number): number {
    const bytes = (buffer[at]! << 16) | (buffer[at + 1]! << 8) | buffer[at + 2]!;
    if (bytes > this.#maxFrameBytes) throw this.#tooLarge(bytes);
    const type = buffer[at + 3]!;
    const flags = buffer[at + 4]!;
    // The first bit is reserved, and ignored.
    const streamId =
      ((buffer[at + 5]! & 0x7f) << 24) | (buffer[at + 6]! << 16) | (buffer[at + 7]! << 8) | buffer[at + 8]!;
    const from = at + FRAME_HEAD_BYTES;
    if (type === DATA) {
      this.#startData(flags, streamId, bytes);
      return from;
    }
    if (end - from < bytes) return -1;
    this.#receiver.onFrame(type, flags, streamId, buffer, from, from + bytes);
    return from + bytes;
  }

  #startData(flags: number, streamId: number, bytes: number): void {
    this.#receiver.onDataStart(flags, streamId, bytes);
    this.#contentLeft = bytes;
    this.#paddingLeft = 0;
    this.#paddingUnknown = (flags & PADDED) !== 0;
    if (this.#paddingUnknown && bytes === 0)
      throw new Http2ConnectionError(FRAME_SIZE_ERROR, "padded DATA of no bytes");
    this.#inData = true;
    this.#endDataIfOver();
  }

  #readData(buffer: Buffer, from: number, end: number): number {
    let at = from;
    if (this.#paddingUnknown) {
      this.#paddingUnknown = false;
      this.#paddingLeft = buffer[at++]!;
      this.#contentLeft -= 1 + this.#paddingLeft;
      if (this.#contentLeft < 0) throw new Http2ConnectionError(PROTOCOL_ERROR, "DATA with more padding than payload");
    }
    const content = Math.min(this.#contentLeft, end - at);
    if (content > 0) {
      this.#contentLeft -= content;
      this.#receiver.onDataPiece(buffer, at, at + content);
      at += content;
    }
    if (this.#contentLeft === 0) {
      const padding = Math.min(this.#paddingLeft, end - at);
      this.#paddingLeft -= padding;
      at += padding;
    }
    this.#endDataIfOver();
    return at;
  }

  #endDataIfOver(): void {
    if (this.#contentLeft > 0 || this.#paddingLeft > 0 || this.#paddingUnknown) return;
    this.#inData = false;
    this.#receiver.onDataEnd();
  }

  #keep(buffer: Buffer, at: number, end: number): void {
    const bytes = end - at;
    this.#kept = Buffer.allocUnsafe(bytes < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : sizeAt(buffer, at));
    buffer.copy(this.#kept, 0, at, end);
    this.#keptBytes = bytes;
  }

  /** Adds to what is kept no more than the frame has. */
  #complete(buffer: Buffer, from: number, end: number): number {
    let kept = this.#kept!;
    const copied = Math.min(kept.length - this.#keptBytes, end - from);
    buffer.copy(kept, this.#keptBytes, from, from + copied);
    this.#keptBytes += copied;
    const at = from + copied;
    if (this.#keptBytes < kept.length) return at;
    this.#kept = undefined;
    if (this.#readFrame(kept, 0, kept.length) >= 0) return at;
    // The head is there, and says how much is to follow.
    const head = kept;
    kept = Buffer.allocUnsafe(sizeAt(head, 0));
    head.copy(kept);
    this.#kept = kept;
    return at;
  }

  #tooLarge(bytes: number): Http2ConnectionError {
    const what =
      bytes === HTTP1_BYTES
        ? "HTTP/1 instead of a frame of HTTP/2"
        : `a frame of ${bytes} bytes, of ${this.#maxFrameBytes} allowed`;
    return new Http2ConnectionError(FRAME_SIZE_ERROR, what);
  }
}

/** Bytes of the frame whose head stands there. */
function sizeAt(buffer: Buffer, at: number): number {
  return FRAME_HEAD_BYTES + ((buffer[at]! << 16) | (buffer[at + 1]! << 8) | buffer[at + 2]!);
}
