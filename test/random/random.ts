/** An integer from 0 up to, but not including, `below`. */
export type Below = (below: number) => number;

/** mulberry32: the same numbers for the same seed, so that what was found can be had again. */
export function random(seed: number): Below {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function oneOf<T>(below: Below, all: readonly T[]): T {
  return all[below(all.length)]!;
}

/** Cuts bytes anywhere: into few pieces mostly, and at times into very small ones. */
export function* cut(below: Below, bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const most = oneOf(below, [7, 200, 20_000, 100_000, 1_000_000]);
    const piece = bytes.subarray(at, at + 1 + below(most));
    at += piece.length;
    yield piece;
  }
}
