import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/** Small pieces share memory of this size: a peer that sends bytes one by one must not cost a hundred times as many. */
const SHARED_BYTES = 4096;

/** Bytes of a stream that nobody wants yet, as copies. */
export class ReceivedBytes {
  /** All that waits. */
  bytes = 0;
  readonly #chunks: Buffer[] = [];
  /** The last chunk's memory, and how much of it is used. */
  #last: Buffer | undefined = undefined;
  #used = 0;

  add(buffer: Buffer, from: number, end: number): void {
    const bytes = end - from;
    this.bytes += bytes;
    if (this.#last === undefined || this.#used + bytes > this.#last.length) {
      this.#closeLast();
      this.#last = Buffer.allocUnsafe(bytes < SHARED_BYTES / 4 ? SHARED_BYTES : bytes);
    }
    buffer.copy(this.#last, this.#used, from, end);
    this.#used += bytes;
  }

  /** The first of them; `undefined` if there are none. */
  take(): Buffer | undefined {
    if (this.#chunks.length === 0) this.#closeLast();
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) this.bytes -= chunk.length;
    return chunk;
  }

  #closeLast(): void {
    if (this.#last !== undefined) this.#chunks.push(this.#last.subarray(0, this.#used));
    this.#last = undefined;
    this.#used = 0;
  }
}
