import { nowMs } from "./clock.ts";
import { wholeTurn } from "./quiet-turn.ts";

/** The longest wait of a Node timer, 24.8 days; a longer one would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647;

/** A timer that is later than this tells that the process stood still, or was busy: what came in time may not be read yet. */
const LATE_MS = 20;

/**
 * One timer for a place that waits again and again. Setting and clearing it, as happens several times a request, stores
 * a number; the timer itself is touched only when it would fire too late, and when it fires too early it goes on for the
 * rest. (A `setTimeout` and `clearTimeout` a request cost about 0.4 µs, this 0.05 µs.)
 */
export class Deadline {
  readonly #expired: (owner: unknown) => void;
  readonly #owner: unknown;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** In `performance.now()` milliseconds; Infinity: not set. */
  #dueAt = Number.POSITIVE_INFINITY;
  #firesAt = Number.POSITIVE_INFINITY;

  /**
   * @param expired Called once each time a set deadline passes; by a process that stood still, once it has read what came meanwhile, and
   * only if the deadline was not cleared or set anew by that.
   */
  constructor(expired: () => void);
  /** @internal See {@link Deadline.for}. */
  constructor(expired: (owner: unknown) => void, owner: unknown);
  constructor(expired: (owner: unknown) => void, owner?: unknown) {
    this.#expired = expired;
    this.#owner = owner;
  }

  /** One whose `expired` is a function for all owners: a closure for each would take 100 bytes of a connection that waits. */
  static for<Owner>(owner: Owner, expired: (owner: Owner) => void): Deadline {
    return new Deadline(expired as (owner: unknown) => void, owner);
  }

  /** From `now` on; 0 or Infinity clears. Milliseconds. */
  set(ms: number, now: number = nowMs()): void {
    if (ms <= 0 || ms === Number.POSITIVE_INFINITY) {
      this.clear();
      return;
    }
    this.#dueAt = now + ms;
    if (this.#dueAt < this.#firesAt) this.#arm(now, ms);
  }

  clear(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
  }

  /** Clears and gives the timer back; a deadline can be set again afterwards. */
  dispose(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#firesAt = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(now: number, ms: number): void {
    clearTimeout(this.#timer);
    // A longer wait goes on for the rest when its timer fires.
    const timerMs = Math.min(Math.ceil(ms), MAX_TIMER_MS);
    this.#firesAt = now + timerMs;
    this.#timer = setTimeout(fire, timerMs, this);
    // A deadline guards a connection; it is no reason to keep the process.
    this.#timer.unref();
  }

  /** @internal */
  onTimer(): void {
    this.#firesAt = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    if (this.#dueAt === Number.POSITIVE_INFINITY) return;
    const now = nowMs();
    const left = this.#dueAt - now;
    // Timers may fire a little early against this clock.
    if (left > 0.5) {
      this.#arm(now, left);
      return;
    }
    if (left < -LATE_MS) void wholeTurn().then(() => this.#expireIfDue());
    else this.#expire();
  }

  #expireIfDue(): void {
    if (this.#dueAt <= nowMs()) this.#expire();
  }

  #expire(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#expired(this.#owner);
  }
}

function fire(deadline: Deadline): void {
  deadline.onTimer();
}
