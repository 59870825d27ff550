import { checkCount } from "./count.ts";
import { checkOptions } from "./check-options.ts";
import { KeyHasher } from "./key-hasher.ts";
import type { LimitKey } from "./limit-key.ts";
import { Sketch } from "./sketch.ts";

/** The default of {@link InflightOptions.hashes}; that of Pingora, where it is fixed. */
export const DEFAULT_INFLIGHT_HASHES = 4;
/** The default of {@link InflightOptions.slots}; that of Pingora, where it is fixed. */
export const DEFAULT_INFLIGHT_SLOTS = 8192;

export interface InflightOptions {
  /** Rows of counters, 1 to 64, default 4. */
  hashes?: number;
  /**
   * Counters in a row, 8 bytes each, default 8192: 256 KiB in all. In one process with 1,000 keys in flight, 1 key in 5,000
   * is then counted too high; with 4,000, 1 in 50. Five slots for each key in flight: 1 in 1,000.
   */
  slots?: number;
}

/**
 * Counts what is going on right now, by key: requests of a client, connections to a backend. It only counts: compare and
 * decide yourself.
 *
 * The count is an estimate, never too low, and too high when a key shares all its counters with others in flight: see
 * `Estimator`. Memory does not grow with the number of keys. Each process counts for itself.
 */
export class Inflight {
  readonly #hasher: KeyHasher;
  readonly #sketch: Sketch;

  /**
   * @throws RangeError when `hashes` or `slots` is not an integer in its range, or both make more than 1 GiB; TypeError for an option
   * that is not known.
   */
  constructor(options: InflightOptions = {}) {
    checkOptions("Inflight", options, ["hashes", "slots"]);
    const { hashes = DEFAULT_INFLIGHT_HASHES, slots = DEFAULT_INFLIGHT_SLOTS } = options;
    this.#sketch = new Sketch("Inflight", { hashes, slots });
    this.#hasher = new KeyHasher("Inflight");
  }

  /**
   * Counts `value` for `key` until the guard is released. The guard tells the count, this call included.
   * @param value An integer of 0 or more.
   * @throws TypeError when `key` is none; RangeError when `value` is not a count. Nothing is counted then.
   */
  incr(key: LimitKey, value: number = 1): InflightGuard {
    checkCount(value, "Inflight.incr: value");
    this.#hasher.hash(key);
    return new InflightGuard(this.#sketch, this.#hasher.halves[0]!, this.#hasher.halves[1]!, value);
  }

  /**
   * What is in flight for `key` now, without taking part. Pingora has it on the guard only.
   * @throws TypeError when `key` is none.
   */
  get(key: LimitKey): number {
    this.#hasher.hash(key);
    return this.#sketch.get(this.#hasher.halves[0]!, this.#hasher.halves[1]!);
  }
}

/**
 * Holds what {@link Inflight.incr} counted, until it is released: by `using`, or by {@link release} when the work ends
 * elsewhere than it began. In a proxy that is the `logging` hook, which runs once for every request, whatever became of it.
 *
 * A guard that is dropped unreleased stays counted: garbage collection may come late or never, so nothing relies on it.
 * It keeps the hash of the key, not the key.
 */
export class InflightGuard implements Disposable {
  /** The count of the key when this guard was made, with its own part. */
  readonly count: number;
  readonly #sketch: Sketch;
  readonly #low: number;
  readonly #high: number;
  readonly #value: number;
  /** What {@link release} takes back; -1 when it has. */
  #held: number;

  /** @internal */
  constructor(sketch: Sketch, low: number, high: number, value: number) {
    this.count = sketch.add(low, high, value);
    this.#sketch = sketch;
    this.#low = low;
    this.#high = high;
    this.#value = value;
    this.#held = value;
  }

  /** What is in flight for the key now. */
  get(): number {
    return this.#sketch.get(this.#low, this.#high);
  }

  /**
   * Counts the same value once more, and returns the new count. {@link release} takes back all of it, where Pingora's guard
   * takes back one value only and so leaks the others.
   * @throws TypeError after the release: nothing would take it back.
   */
  incr(): number {
    if (this.#held < 0)
      throw new TypeError("InflightGuard.incr: this guard was released; make another by Inflight.incr");
    this.#held += this.#value;
    return this.#sketch.add(this.#low, this.#high, this.#value);
  }

  /** Takes back what this guard counted. Again: nothing happens, so it may stand in several places that end the work. */
  release(): void {
    if (this.#held < 0) return;
    this.#sketch.subtract(this.#low, this.#high, this.#held);
    this.#held = -1;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
