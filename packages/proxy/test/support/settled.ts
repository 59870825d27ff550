import { setTimeout as delay } from "node:timers/promises";

/** The value once it has not changed for a while: for showing that something has stopped, which has no event. */
export async function settled(value: () => number, quietMs = 150): Promise<number> {
  let last = value();
  for (let quietSince = performance.now(); performance.now() - quietSince < quietMs;) {
    await delay(10);
    const now = value();
    if (now !== last) quietSince = performance.now();
    last = now;
  }
  return last;
}
