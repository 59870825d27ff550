/** As a channel of Pingora's subrequests holds. */
const MAX_ITEMS = 4;
/** Pingora counts items only, and one of them can be of any size. */
const MAX_BYTES = 65_536;

/**
 * What one side has given and the other has not taken yet, in order. It takes more than it wants to hold, so that nothing is
 * lost, but says so.
 */
export class BoundedQueue<T> {
  /** Something was added. */
  onAdded: (() => void) | undefined = undefined;
  /** It was full, and is empty now. */
  onEmptied: (() => void) | undefined = undefined;
  readonly #bytesOf: (item: T) => number;
  #items: T[] = [];
  #bytes = 0;
  #full = false;

  /** @param bytesOf What an item counts against the limit. */
  constructor(bytesOf: (item: T) => number) {
    this.#bytesOf = bytesOf;
  }

  get length(): number {
    return this.#items.length;
  }

  /** What {@link take} would give. */
  get next(): T | undefined {
    return this.#items[0];
  }

  /** It asked to wait, and is not empty yet. */
  get full(): boolean {
    return this.#full;
  }

  /** `false` asks to wait for {@link onEmptied}. */
  add(item: T): boolean {
    this.#items.push(item);
    this.#bytes += this.#bytesOf(item);
    if (this.#items.length >= MAX_ITEMS || this.#bytes >= MAX_BYTES) this.#full = true;
    this.onAdded?.();
    return !this.#full;
  }

  /** The next item; `undefined` if there is none. */
  take(): T | undefined {
    const item = this.#items.shift();
    if (item === undefined) return undefined;
    this.#bytes -= this.#bytesOf(item);
    if (this.#items.length === 0) this.#emptied();
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#bytes = 0;
    this.#emptied();
  }

  #emptied(): void {
    if (!this.#full) return;
    this.#full = false;
    this.onEmptied?.();
  }
}
