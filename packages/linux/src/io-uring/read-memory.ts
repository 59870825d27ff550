import type { Calls } from "./calls.ts";

/** As much as the kernel usually has ready. Only what was written to is resident. */
const SLOT_BYTES = 65_536;
/** How many reads may have come before we look at the first; a power of two. Beyond them, reading is tried again. */
const SLOTS = 128;

/** A place for what is received. */
export interface ReadSlot {
  buffer: Buffer;
}

/** Memory that the kernel receives into: it takes the next that it was given, and says which. */
export class ReadMemory {
  readonly slots: readonly ReadSlot[];
  readonly #calls: Calls;
  readonly #ring: Int32Array;
  readonly #shorts: Uint16Array;
  #tail = 0;

  constructor(calls: Calls) {
    this.#calls = calls;
    const { view, address } = calls.allocate(SLOTS * 16);
    this.#ring = new Int32Array(view);
    this.#shorts = new Uint16Array(view);
    this.registration = BigUint64Array.of(BigInt(address), BigInt(SLOTS), 0n, 0n, 0n);
    this.slots = Array.from({ length: SLOTS }, () => ({ buffer: Buffer.allocUnsafeSlow(SLOT_BYTES) }));
    for (let index = 0; index < SLOTS; index++) this.give(index);
  }

  /** `struct io_uring_buf_reg`: where the ring is, how many entries it has, and the number 0 for all of it. */
  readonly registration: BigUint64Array;

  /** The memory of the slot is the kernel's. */
  give(index: number): void {
    const { buffer } = this.slots[index]!;
    const at = (this.#tail & (SLOTS - 1)) * 4;
    const address = this.#calls.addressOf(buffer.buffer) + buffer.byteOffset;
    const ring = this.#ring;
    ring[at] = address | 0;
    ring[at + 1] = Math.floor(address / 0x1_0000_0000);
    ring[at + 2] = buffer.length;
    this.#shorts[at * 2 + 6] = index;
    this.#tail = (this.#tail + 1) & 0xffff;
    // The tail stands where the first entry has nothing.
    this.#shorts[7] = this.#tail;
  }
}
