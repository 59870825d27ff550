import type { Calls } from "./calls.ts";

/** A head, or a piece of a body that is copied. */
const SLOT_BYTES = 16_384;
const SLOTS = 512;

/** What is written up to this size is copied, so that it can leave with what others write, and its memory is free at once. */
export const MAX_COPIED_BYTES: number = SLOT_BYTES;

/** Bytes to be sent. */
export interface Piece {
  /** Where they are. */
  address: number;
  length: number;
  /** Where they were copied to; -1: into memory of their own, or nowhere. */
  readonly slot: number;
  /** Memory that must not be collected before they have left. */
  readonly memory: Uint8Array | undefined;
  /** It belongs to whoever wrote them. */
  readonly lent: boolean;
  readonly taken: ((error?: Error | null) => void) | undefined;
}

/** What Node's types do not know of it. */
type Latin1Buffer = Buffer & { latin1Write(text: string, at: number, length: number): number };

/** Memory that what is to be sent stays in until the system has it. */
export class SendMemory {
  readonly #calls: Calls;
  readonly #memory: Latin1Buffer;
  readonly #address: number;
  readonly #free: Int32Array = Int32Array.from({ length: SLOTS }, (_, index) => index);
  #freeCount: number = SLOTS;

  constructor(calls: Calls) {
    this.#calls = calls;
    const { view, address } = calls.allocate(SLOTS * SLOT_BYTES);
    this.#memory = Buffer.from(view) as Latin1Buffer;
    this.#address = address;
  }

  copied(chunk: string | Uint8Array, taken: Piece["taken"]): Piece {
    const { length } = chunk;
    if (length > SLOT_BYTES || this.#freeCount === 0) {
      const memory = Buffer.allocUnsafeSlow(length) as Latin1Buffer;
      write(memory, chunk, 0);
      return { address: this.#calls.addressOf(memory.buffer), length, slot: -1, memory, lent: false, taken };
    }
    const slot = this.#free[--this.#freeCount]!;
    const at = slot * SLOT_BYTES;
    write(this.#memory, chunk, at);
    return { address: this.#address + at, length, slot, memory: undefined, lent: false, taken };
  }

  lent(memory: Uint8Array, taken: Piece["taken"]): Piece {
    const address = this.#calls.addressOf(memory.buffer) + memory.byteOffset;
    return { address, length: memory.length, slot: -1, memory, lent: true, taken };
  }

  /** It has left, or will not. */
  release(piece: Piece): void {
    if (piece.slot >= 0) this.#free[this.#freeCount++] = piece.slot;
  }
}

function write(memory: Latin1Buffer, chunk: string | Uint8Array, at: number): void {
  if (typeof chunk === "string") memory.latin1Write(chunk, at, chunk.length);
  else memory.set(chunk, at);
}
