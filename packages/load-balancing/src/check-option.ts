import { shown } from "@sluice/core";

/** The longest delay a timer takes, in milliseconds: some 24 days. */
const MAX_MS = 2 ** 31 - 1;

/**
 * Returns the milliseconds of an option.
 * @throws RangeError when they are not a number above 0 that a timer can wait for.
 */
export function checkMs(name: string, ms: number): number {
  if (typeof ms === "number" && ms > 0 && ms <= MAX_MS) return ms;
  throw new RangeError(`${name}: expected milliseconds, more than 0 and at most ${MAX_MS}, got ${shown(ms)}`);
}

/**
 * Returns a count.
 * @throws RangeError when it is not a positive integer.
 */
export function checkCount(name: string, count: number): number {
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new RangeError(`${name}: expected a positive integer, got ${shown(count)}`);
}
