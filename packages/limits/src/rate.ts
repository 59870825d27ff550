import { checkCount } from "./count.ts";
import { checkOptions } from "./check-options.ts";
import { KeyHasher } from "./key-hasher.ts";
import type { LimitKey } from "./limit-key.ts";
import { Sketch, type SketchSize } from "./sketch.ts";

/** The default of {@link RateOptions.hashes}; that of Pingora. */
export const DEFAULT_RATE_HASHES = 4;
/** The default of {@link RateOptions.slots}; that of Pingora. */
export const DEFAULT_RATE_SLOTS = 1024;

export interface RateOptions {
  /**
   * How long a window is, in milliseconds, 1 or more. No default: it is half of what a limit says. Pingora takes less than
   * 1 ms for 0, and then always answers 0.
   */
  intervalMs: number;
  /** Rows of counters, 1 to 64, default 4. */
  hashes?: number;
  /**
   * Counters in a row, 8 bytes each, for each of two windows; default 1024: 64 KiB in all. With 200 keys in a window, 1 key
   * in 1,000 is then counted too high; with 1,000, 1 in 6. Five slots for each key of a window: 1 in 1,000. So short windows do
   * with fewer.
   */
  slots?: number;
  /**
   * The clock, in milliseconds; for tests. It must not go back: while it does, events count for the latest window.
   * Default `performance.now`, which nobody can set.
   */
  now?: () => number;
}

/** What an estimate of the present rate is made from; see {@link Rate.rateWith}. */
export interface RateComponents {
  /** Events in the last completed window. */
  readonly prevSamples: number;
  /** Events in the current window, so far. */
  readonly currSamples: number;
  /** The length of a window, in milliseconds. */
  readonly intervalMs: number;
  /** How much of the current window has passed: 0 at its start, always below 1. */
  readonly currentIntervalFraction: number;
}

/**
 * Counts events by key over windows of fixed length: one that collects, and the one before it, complete. It only counts:
 * compare and decide yourself.
 *
 * Windows follow each other without a gap from when the object was made, `intervalMs` each. (In Pingora a window begins with the
 * first call after the one before has ended, so windows drift with traffic, and a completed one is reported for longer.)
 * Time is looked at in each call; there is no timer.
 *
 * Counts are estimates, never too low, and too high when a key shares all its counters with others: see `Estimator`. Nothing is
 * ever taken back here, so only those counters are raised that the key's count needs: with many keys, that leaves about half of
 * the error that Pingora's has. Memory does not grow with the number of keys. Each process counts for itself.
 */
export class Rate {
  /** The length of a window, in milliseconds. */
  readonly intervalMs: number;
  readonly #now: () => number;
  readonly #start: number;
  readonly #hasher: KeyHasher;
  /** The number of the current window, from 0. */
  #window = 0;
  #current: Sketch;
  #previous: Sketch;

  /**
   * @throws RangeError when `intervalMs` is not a number of 1 or more, when `hashes` or `slots` is not an integer in its range,
   * or both make more than 1 GiB; TypeError when `now` is not a function, and for an option that is not known.
   */
  constructor(options: RateOptions) {
    checkOptions("Rate", options, ["intervalMs", "hashes", "slots", "now"]);
    const { intervalMs, hashes = DEFAULT_RATE_HASHES, slots = DEFAULT_RATE_SLOTS, now = monotonicNow } = options;
    if (!(Number.isFinite(intervalMs) && intervalMs >= 1)) {
      throw new RangeError(`Rate: intervalMs: expected a number of milliseconds, 1 or more, got ${String(intervalMs)}`);
    }
    if (typeof now !== "function") throw new TypeError(`Rate: now: expected a function, got ${typeof now}`);
    const size: SketchSize = { hashes, slots };
    this.intervalMs = intervalMs;
    this.#now = now;
    this.#current = new Sketch("Rate", size);
    this.#previous = new Sketch("Rate", size);
    this.#hasher = new KeyHasher("Rate");
    this.#start = now();
  }

  /**
   * Counts events, and returns those of `key` in the current window, these included. For a limit of so many a window, compare
   * this with it; events that are refused thereupon count as well.
   * @param events An integer of 0 or more: 1 for a request, or its bytes; 0 reads.
   * @throws TypeError when `key` is none; RangeError when `events` is not a count. Nothing is counted then.
   */
  observe(key: LimitKey, events: number = 1): number {
    checkCount(events, "Rate.observe: events");
    this.#hasher.hash(key);
    this.#moveOn();
    return this.#current.raise(this.#hasher.halves[0]!, this.#hasher.halves[1]!, events);
  }

  /**
   * Events per second of `key` in the last completed window; 0 in the first. What happens now shows in the next window: to
   * react at once, use what {@link observe} returns, or {@link rateWith}.
   * @throws TypeError when `key` is none.
   */
  rate(key: LimitKey): number {
    this.#hasher.hash(key);
    this.#moveOn();
    const samples = this.#previous.get(this.#hasher.halves[0]!, this.#hasher.halves[1]!);
    return (samples * 1000) / this.intervalMs;
  }

  /**
   * What `estimate` makes of the two windows: a number, or anything else. {@link proportionalRateEstimate} is one such.
   * @throws TypeError when `key` is none.
   */
  rateWith<Result>(key: LimitKey, estimate: (components: RateComponents) => Result): Result {
    this.#hasher.hash(key);
    const currentIntervalFraction = this.#moveOn();
    const low = this.#hasher.halves[0]!;
    const high = this.#hasher.halves[1]!;
    return estimate({
      prevSamples: this.#previous.get(low, high),
      currSamples: this.#current.get(low, high),
      intervalMs: this.intervalMs,
      currentIntervalFraction,
    });
  }

  /** Makes the window of this moment the current one, and returns how much of it has passed. */
  #moveOn(): number {
    const position = (this.#now() - this.#start) / this.intervalMs;
    const window = Math.floor(position);
    if (window > this.#window) {
      const completed = this.#current;
      this.#current = this.#previous;
      this.#current.clear();
      this.#previous = completed;
      // Whole windows went by without a call, so nothing happened in the one before this.
      if (window > this.#window + 1) this.#previous.clear();
      this.#window = window;
    }
    return Math.max(position - this.#window, 0);
  }
}

/**
 * Events per second over the last `intervalMs`, as if those of the window before had come evenly: the part of them that is still
 * in sight, and all of the current window. It has no jump where windows meet, so nobody gets twice the limit there.
 */
export function proportionalRateEstimate(components: RateComponents): number {
  const { prevSamples, currSamples, intervalMs, currentIntervalFraction } = components;
  return ((prevSamples * (1 - currentIntervalFraction) + currSamples) * 1000) / intervalMs;
}

function monotonicNow(): number {
  return performance.now();
}
