import { nowMs } from "../net/clock.ts";

/** The shortest keep-alive times are a second, and under load nothing is to wait. */
const LATELY_MS = 100;

/**
 * Whether an upstream's connection is taken to be open since it was of use a moment ago. Of any other, all that has arrived is read
 * before what cannot be sent again goes up on it.
 * @param atMs When it was, by `nowMs()`.
 */
export function usedLately(atMs: number): boolean {
  return nowMs() - atMs < LATELY_MS;
}
