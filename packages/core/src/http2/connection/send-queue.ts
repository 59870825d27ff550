import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { giveSlab, SLAB_BYTES, takeSlab } from "../slabs.ts";

/** A chunk up to this size is copied to memory that Node cuts from a larger piece. */
const MAX_COPIED_BYTES = 8192;

/**
 * Bytes of a stream that wait for a window or for the system. They are copied, so that whoever gave them has the memory back at once
 * (to keep what upstreams read into costs a response of 64 KB half as much again); only larger chunks than any read brings are not.
 */
export class SendQueue {
  /** All that waits. */
  bytes = 0;
  readonly #chunks: Uint8Array[] = [];
  /** For each, the memory to give back; `null`: it is its giver's. */
  readonly #slabs: (Buffer | undefined | null)[] = [];
  #at = 0;

  /** The first of them. */
  get first(): Uint8Array {
    return this.#chunks[0]!;
  }

  /** Where in the first the bytes begin that wait. */
  get at(): number {
    return this.#at;
  }

  /** Memory of somebody else is among it. */
  get lent(): boolean {
    return this.#slabs.includes(null);
  }

  /** Adds a chunk from `from` on. Those that follow one another share memory, and frames: many small ones cost what a large one does. */
  add(chunk: Uint8Array, from: number): void {
    const bytes = chunk.length - from;
    this.bytes += bytes;
    const rest = from === 0 ? chunk : chunk.subarray(from);
    if (this.#append(rest)) return;
    if (bytes <= MAX_COPIED_BYTES && this.#chunks.length === 0) this.#push(Buffer.from(rest), undefined);
    else if (bytes > SLAB_BYTES) this.#push(rest, null);
    else {
      const slab = takeSlab();
      slab.set(rest);
      this.#push(slab.subarray(0, bytes), slab);
    }
  }

  /** Puts it behind the last one, if there is room. */
  #append(bytes: Uint8Array): boolean {
    const last = this.#chunks.length - 1;
    const slab = this.#slabs[last];
    if (slab === undefined || slab === null) return false;
    const used = this.#chunks[last]!.length;
    if (used + bytes.length > SLAB_BYTES) return false;
    slab.set(bytes, used);
    this.#chunks[last] = slab.subarray(0, used + bytes.length);
    return true;
  }

  #push(chunk: Uint8Array, slab: Buffer | undefined | null): void {
    this.#chunks.push(chunk);
    this.#slabs.push(slab);
  }

  /** The first of them are sent, up to `at` in the first chunk. */
  sentUpTo(at: number): void {
    this.bytes -= at - this.#at;
    this.#at = at;
    if (at < this.first.length) return;
    this.#at = 0;
    this.#chunks.shift();
    const slab = this.#slabs.shift();
    if (slab !== undefined && slab !== null) giveSlab(slab);
  }

  /** Nothing of it is sent any more. */
  clear(): void {
    for (const slab of this.#slabs) if (slab !== undefined && slab !== null) giveSlab(slab);
    this.#slabs.length = 0;
    this.#chunks.length = 0;
    this.bytes = 0;
  }
}
