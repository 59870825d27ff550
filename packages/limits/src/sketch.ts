/** Each row costs time in every call, and a dozen leave nothing to gain. */
const MAX_HASHES = 64;
/** 1 GiB. More is a mistake, such as a limit given for the slots. */
const MAX_COUNTERS = 2 ** 27;

/** The size of a table of counters. */
export interface SketchSize {
  /** Rows, 1 to 64. Each has another counter for a key, so each makes it less likely that two keys share all of theirs. */
  readonly hashes: number;
  /** Counters in a row, 1 or more, 8 bytes each. The more there are, the fewer keys share one. */
  readonly slots: number;
}

/**
 * The table of a count-min sketch, by the hash of a key. A key has one counter in each row; others share some of them, so
 * each counter is the key's count or more, and the smallest is nearest. Takes neither memory nor time for the number of keys.
 *
 * Counters are doubles, exact up to 2^53, where Pingora's wrap around at 2^63.
 */
export class Sketch {
  readonly #slots: number;
  readonly #counters: Float64Array;
  /** Two odd numbers a row, at random. */
  readonly #factors: Int32Array;
  /** Turns 32 bits of hash into a place in a row. */
  readonly #scale: number;

  /**
   * @param owner Named in error messages.
   * @throws RangeError when the size is not one.
   */
  constructor(owner: string, { hashes, slots }: SketchSize) {
    if (!Number.isInteger(hashes) || hashes < 1 || hashes > MAX_HASHES) {
      throw new RangeError(`${owner}: hashes: expected an integer from 1 to ${MAX_HASHES}, got ${String(hashes)}`);
    }
    const maxSlots = Math.floor(MAX_COUNTERS / hashes);
    if (!Number.isInteger(slots) || slots < 1 || slots > maxSlots) {
      throw new RangeError(
        `${owner}: slots: expected an integer from 1 to ${maxSlots}, which is 1 GiB with ${hashes} hashes, got ${String(slots)}`,
      );
    }
    this.#slots = slots;
    this.#scale = slots / 2 ** 32;
    this.#counters = new Float64Array(hashes * slots);
    this.#factors = crypto.getRandomValues(new Int32Array(2 * hashes)).map((random) => random | 1);
  }

  /** The count of a key, or more. `low` and `high` are the halves of its hash. */
  get(low: number, high: number): number {
    let least = Infinity;
    for (let row = 0; row < this.#factors.length; row += 2) {
      least = Math.min(least, this.#counters[this.#place(row, low, high)]!);
    }
    return least;
  }

  /** Adds to every counter of a key, so that {@link subtract} can undo it. Returns the new count. */
  add(low: number, high: number, value: number): number {
    let least = Infinity;
    for (let row = 0; row < this.#factors.length; row += 2) {
      const place = this.#place(row, low, high);
      const count = this.#counters[place]! + value;
      this.#counters[place] = count;
      least = Math.min(least, count);
    }
    return least;
  }

  /** Takes away what {@link add} added; more would count others too low. */
  subtract(low: number, high: number, value: number): void {
    for (let row = 0; row < this.#factors.length; row += 2) this.#counters[this.#place(row, low, high)]! -= value;
  }

  /**
   * Adds to the counters of a key only as far as its count needs: those that others have driven above it stay. Estimates are
   * then off by about half as much when there are many keys, but nothing can be taken away. Returns the new count.
   * @see Estan and Varghese, New Directions in Traffic Measurement and Accounting (2002), "conservative update"
   */
  raise(low: number, high: number, value: number): number {
    const count = this.get(low, high) + value;
    for (let row = 0; row < this.#factors.length; row += 2) {
      const place = this.#place(row, low, high);
      if (this.#counters[place]! < count) this.#counters[place] = count;
    }
    return count;
  }

  /** Sets all counters to 0. */
  clear(): void {
    this.#counters.fill(0);
  }

  /**
   * Where the counter of a key is in the row whose factors begin at `row`.
   *
   * Multiply and shift, over both halves. These are random already; the factors see to it that two keys which meet in one row
   * are no likelier to meet in the next, so that they meet in all with odds of 1 / slots^hashes. The usual `low + row * high`
   * would spare the factors, but there two keys that meet in two rows meet in all: 1 / slots^2.
   */
  #place(row: number, low: number, high: number): number {
    const mixed = Math.imul(low, this.#factors[row]!) + Math.imul(high, this.#factors[row + 1]!);
    return (row >>> 1) * this.#slots + Math.floor((mixed >>> 0) * this.#scale);
  }
}
