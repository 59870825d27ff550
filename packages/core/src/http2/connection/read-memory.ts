import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import type { SocketReader } from "../../net/socket-reader.ts";

/** A piece up to this size is copied, so that a small one that is kept does not keep what a whole read went to. */
const MAX_COPIED_BYTES = 4096;

/**
 * Where a connection's socket is read to, and what becomes of it. A client that is idle, or sends heads alone, needs no memory of
 * its own; from the first large piece of a body on it has some, in which pieces are passed on without a copy.
 */
export class ReadMemory {
  /** `undefined`: each read has memory of its own anyway. */
  readonly #reader: SocketReader | undefined;
  #isOwn = false;
  /** Of this read, a chunk was told that stands there, and is not a copy. */
  #mayKeep = false;

  constructor(reader: SocketReader | undefined) {
    this.#reader = reader;
  }

  /** Something was read. */
  begin(): void {
    this.#mayKeep = false;
  }

  /** A piece of a body to be given to a session. */
  chunkOf(buffer: Buffer, from: number, end: number): Buffer {
    const reader = this.#reader;
    if (reader === undefined) return buffer.subarray(from, end);
    if (end - from > MAX_COPIED_BYTES) {
      if (!reader.isShared(buffer)) {
        this.#mayKeep = true;
        return buffer.subarray(from, end);
      }
      this.useOwn(true);
    }
    return Buffer.from(buffer.subarray(from, end));
  }

  /** A chunk of this read is kept. */
  keep(): void {
    if (this.#mayKeep) this.#reader!.keep();
  }

  /** One was shown to code that is not to have it later. */
  lend(): void {
    if (this.#mayKeep) this.#reader!.lend();
  }

  /** From the next read on: into memory of this connection alone, or into that which all share. */
  useOwn(own: boolean): void {
    if (this.#isOwn === own) return;
    this.#isOwn = own;
    this.#reader?.useOwnBuffer(own);
  }
}
