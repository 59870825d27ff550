import { nowMs } from "@sluice/core";

/** Ends a handshake with the reason that its promise rejects with. */
export type Cut = (reason: unknown) => void;

/** Ends handshakes from outside. */
export interface HandshakeWatch {
  /** Begins to watch one. Its signal is not aborted yet. */
  add(cut: Cut): void;
  /** It is over. */
  delete(cut: Cut): void;
}

/** Watches a single handshake. */
export class SingleHandshake implements HandshakeWatch {
  readonly #limitMs: number;
  readonly #late: () => Error;
  readonly #signal: AbortSignal | undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #onAbort: (() => void) | undefined = undefined;
  #over = false;

  /**
   * @param limitMs Milliseconds it may take; 0: any time.
   * @param late What it fails with then.
   */
  constructor(limitMs: number, late: () => Error, signal: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#late = late;
    this.#signal = signal;
  }

  add(cut: Cut): void {
    const cutIfLate = (): void => void (this.#over || cut(this.#late()));
    // What came in time is read first, though this process stood still.
    const expire = (): void => void setImmediate(() => setImmediate(cutIfLate));
    if (this.#limitMs > 0) this.#timer = setTimeout(expire, this.#limitMs).unref();
    if (this.#signal === undefined) return;
    this.#onAbort = () => cut(this.#signal?.reason);
    this.#signal.addEventListener("abort", this.#onAbort);
  }

  delete(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}

/**
 * Watches handshakes that have the same time and the same signal, by one timer and one listener for all of them: a pair for each
 * costs several microseconds.
 */
export class SharedHandshakeWatch implements HandshakeWatch {
  readonly #limitMs: number;
  readonly #late: () => Error;
  /** Until when each has time, by `nowMs()`; the first to be late stands first. */
  readonly #dueMs = new Map<Cut, number>();
  #timer: NodeJS.Timeout | undefined = undefined;

  /**
   * @param limitMs Milliseconds each may take; 0: any time.
   * @param late What one fails with then.
   */
  constructor(limitMs: number, late: () => Error, signal: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#late = late;
    signal?.addEventListener("abort", () => {
      for (const cut of this.#dueMs.keys()) cut(signal.reason);
    });
  }

  add(cut: Cut): void {
    if (this.#limitMs === 0) {
      this.#dueMs.set(cut, Number.POSITIVE_INFINITY);
      return;
    }
    this.#dueMs.set(cut, nowMs() + this.#limitMs);
    if (this.#timer === undefined) this.#arm(this.#limitMs);
  }

  delete(cut: Cut): void {
    this.#dueMs.delete(cut);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.ceil(ms)).unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = nowMs();
    for (const [cut, dueMs] of this.#dueMs) {
      // Timers may fire a little early.
      if (dueMs - now > 0.5) {
        this.#arm(dueMs - now);
        return;
      }
      this.#dueMs.delete(cut);
      cut(this.#late());
    }
  }
}
