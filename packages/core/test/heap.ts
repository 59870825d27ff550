import { runInNewContext } from "node:vm";
import { getHeapStatistics, setFlagsFromString } from "node:v8";

/**
 * How many bytes are left of what `work` makes once the young have been collected, if all that is there before is old. What is garbage by
 * then but was not collected with the young waits for a collection of the whole heap, which costs many times as much.
 */
export async function bytesLeftOf(work: () => Promise<void> | void): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options?: { type: "minor" }) => void;
  collect();
  const before = getHeapStatistics().used_heap_size;
  await work();
  // Of what has survived one collection, the next makes old.
  collect({ type: "minor" });
  collect({ type: "minor" });
  return getHeapStatistics().used_heap_size - before;
}
