import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { ENHANCE_YOUR_CALM } from "../error-codes.ts";
import { LEAST_MAX_FRAME_BYTES } from "../frames/frame-types.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";

/** Who sends more than a head's worth of small parts wants something else (CVE-2024-27316 and others). */
const MAX_CONTINUATIONS = 32;

/** A field block that comes in HEADERS and CONTINUATION frames (RFC 9113, section 4.3), until it is whole. */
export class IncomingBlock {
  /** The stream whose block is being received; 0: none is. */
  streamId = 0;
  /** END_STREAM was set on its HEADERS. */
  endStream = false;
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** @param maxBytes As it comes, compressed. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  begin(streamId: number, endStream: boolean, buffer: Buffer, from: number, end: number): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.#bytes = 0;
    this.add(buffer, from, end);
  }

  /** @throws Http2ConnectionError ENHANCE_YOUR_CALM for too much, or too many parts: who stops decoding cannot go on. */
  add(buffer: Buffer, from: number, end: number): void {
    this.#bytes += end - from;
    this.#check(this.#bytes);
    if (this.#parts.length > MAX_CONTINUATIONS) throw tooMuch(`more than ${MAX_CONTINUATIONS} CONTINUATION frames`);
    this.#parts.push(Buffer.from(buffer.subarray(from, end)));
  }

  /** @throws Http2ConnectionError ENHANCE_YOUR_CALM for a block in one frame, if that is larger than those that everybody may send. */
  checkWhole(bytes: number): void {
    if (bytes > LEAST_MAX_FRAME_BYTES) this.#check(bytes);
  }

  #check(bytes: number): void {
    if (bytes > this.#maxBytes) throw tooMuch(`a head of more than ${this.#maxBytes} bytes as it is sent`);
  }

  /** All of it came. */
  take(): Buffer {
    const whole = Buffer.concat(this.#parts, this.#bytes);
    this.#parts = [];
    this.streamId = 0;
    return whole;
  }
}

function tooMuch(what: string): Http2ConnectionError {
  return new Http2ConnectionError(ENHANCE_YOUR_CALM, what);
}
