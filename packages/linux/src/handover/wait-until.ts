import { setTimeout as sleep } from "node:timers/promises";
import { LinuxError } from "../linux-error.ts";

/** How long something may take, and what ends it before. */
export interface Limit {
  /** In `performance.now()` milliseconds. */
  readonly endsAtMs: number;
  readonly signal?: AbortSignal | undefined;
}

export function limitOf(ms: number, signal: AbortSignal | undefined): Limit {
  return { endsAtMs: performance.now() + ms, signal };
}

/** Between two looks at a socket: short at first, for the other side is mostly there. Milliseconds. */
const FIRST_WAIT_MS = 1;
const MAX_WAIT_MS = 20;

/**
 * Looks again and again, with the event loop free between, until `look` gives something. A hand-over is rare and short: a timer
 * does, where a poll on the descriptor would need more of libuv than its users get to see.
 * @throws LinuxError `ETIMEDOUT` with what was waited for; the signal's reason when it aborts.
 */
export async function waitUntil<T>(
  look: () => T | undefined,
  limit: Limit,
  attempted: string,
  what: string,
): Promise<T> {
  const startedAt = performance.now();
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
    limit.signal?.throwIfAborted();
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() >= limit.endsAtMs) {
      const ms = Math.round(performance.now() - startedAt);
      throw new LinuxError("ETIMEDOUT", attempted, `waited ${ms} ms for ${what}`);
    }
    await pause(waitMs, limit.signal);
  }
}

/** Sleeps. @throws the signal's reason when it aborts. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
