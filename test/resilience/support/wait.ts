import { setTimeout as sleep } from "node:timers/promises";

/** Resolves when `condition` holds. The test's own time limit is the only one. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}

/** Resolves when `value` has not changed for a while: for what stops without an event that says so. */
export async function settled(value: () => number | Promise<number>, quietMs = 500): Promise<number> {
  let last = await value();
  for (let quietSince = performance.now(); performance.now() - quietSince < quietMs;) {
    await sleep(50);
    const now = await value();
    if (now !== last) quietSince = performance.now();
    last = now;
  }
  return last;
}
