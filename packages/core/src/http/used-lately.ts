/** The shortest keep-alive times are a second, and under load nothing is to wait. */
const LATELY_MS = 100;

/**
 * Whether an upstream's connection is taken to be open since it was of use a moment ago. Of any other, all that has arrived is read
 * before what cannot be sent again goes up on it.
 *
 * What counts is when the last request that was answered was given to it. An answer proves that the connection was open when its
 * request came, and no more: it may have lain here, with the end right behind it, while this process stood still.
 * @param atMs When that was, by `nowMs()`.
 */
export function usedLately(atMs: number): boolean {
  // Not the time at which this turn began: a hook may have held the process up since.
  return performance.now() - atMs < LATELY_MS;
}
