import { checkCount } from "./count.ts";
import { checkOptions } from "./check-options.ts";
import { KeyHasher } from "./key-hasher.ts";
import type { LimitKey } from "./limit-key.ts";
import { Sketch, type SketchSize } from "./sketch.ts";

/**
 * The size of an estimator: `hashes` x `slots` counters of 8 bytes. There is no default, since it depends on what is counted.
 * With a total of `n` over all keys, an estimate is too high by more than `2.72 * n / slots` with a probability of about
 * `exp(-hashes)`.
 */
export interface EstimatorOptions extends SketchSize {}

/**
 * Counts by key in memory that does not grow with the number of keys: a count-min sketch.
 *
 * An estimate is never below the count, as long as {@link decr} takes away no more than {@link incr} added. It is above when
 * the key shares a counter with others in every row. Which keys share is random, anew for each object.
 *
 * For what happens now and ends, use `Inflight`; for what happens per second, `Rate`.
 */
export class Estimator {
  readonly #hasher: KeyHasher;
  readonly #sketch: Sketch;

  /**
   * @throws RangeError when `hashes` or `slots` is not an integer in its range, or both make more than 1 GiB; TypeError for an option
   * that is not known.
   */
  constructor(options: EstimatorOptions) {
    checkOptions("Estimator", options, ["hashes", "slots"]);
    this.#sketch = new Sketch("Estimator", options);
    this.#hasher = new KeyHasher("Estimator");
  }

  /**
   * Counts `value` more for `key`, and returns the new estimate.
   * @param value An integer of 0 or more; 0 reads.
   * @throws TypeError when `key` is none; RangeError when `value` is not a count. Nothing is counted then.
   */
  incr(key: LimitKey, value: number = 1): number {
    checkCount(value, "Estimator.incr: value");
    this.#hasher.hash(key);
    return this.#sketch.add(this.#hasher.halves[0]!, this.#hasher.halves[1]!, value);
  }

  /**
   * Takes back `value` that {@link incr} counted for `key`.
   * @throws RangeError when `value` is no count, or more than the estimate for `key`: so much was never counted, or
   * {@link reset} came in between. Pingora goes on below zero; but counters are shared, and other keys would be counted
   * too low from then on. TypeError when `key` is none. Nothing is taken back then.
   */
  decr(key: LimitKey, value: number = 1): void {
    checkCount(value, "Estimator.decr: value");
    this.#hasher.hash(key);
    const low = this.#hasher.halves[0]!;
    const high = this.#hasher.halves[1]!;
    const estimate = this.#sketch.get(low, high);
    if (value > estimate) {
      throw new RangeError(
        `Estimator.decr: value: expected at most ${estimate}, the estimate for this key, got ${value}; ` +
          "take back what incr counted, once",
      );
    }
    this.#sketch.subtract(low, high, value);
  }

  /**
   * The estimate for `key`: its count or more; 0 is exact.
   * @throws TypeError when `key` is none.
   */
  get(key: LimitKey): number {
    this.#hasher.hash(key);
    return this.#sketch.get(this.#hasher.halves[0]!, this.#hasher.halves[1]!);
  }

  /** Forgets all counts. Takes time in proportion to the size: some microseconds for 4,096 counters. */
  reset(): void {
    this.#sketch.clear();
  }
}
