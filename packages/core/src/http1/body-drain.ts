import type { SessionLimitValues } from "../http/session-limits.ts";

/** How much more is read of a request body that nobody wants, only to get to the next request behind it. */
export class BodyDrain {
  readonly #bodyMs: number;
  readonly #endsAtMs: number;
  #bytesLeft: number;

  constructor({ bodyMs, drainMs, maxDrainBytes }: SessionLimitValues, now: number) {
    this.#bodyMs = bodyMs;
    this.#endsAtMs = drainMs === 0 ? Number.POSITIVE_INFINITY : now + drainMs;
    this.#bytesLeft = maxDrainBytes;
  }

  /** So many bytes more were read. Returns `false` when they were too many. */
  take(bytes: number): boolean {
    this.#bytesLeft -= bytes;
    return this.#bytesLeft >= 0;
  }

  /** How long the next bytes may take. Milliseconds; Infinity: for ever. */
  waitMs(now: number): number {
    // A deadline of 0 would be none.
    return Math.max(Math.min(this.#bodyMs || Number.POSITIVE_INFINITY, this.#endsAtMs - now), 1);
  }
}
