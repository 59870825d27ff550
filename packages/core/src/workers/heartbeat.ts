import { getHeapStatistics } from "node:v8";
import { tellParent } from "../server/tell-parent.ts";
import type { WorkerMessage } from "./worker-messages.ts";

let timer: NodeJS.Timeout | undefined;

/** Shows the process that has started this worker that its event loop turns, from now on; instead of what was said before. */
export function beatEvery(ms: number): void {
  clearInterval(timer);
  beat();
  timer = setInterval(beat, ms).unref();
}

export function stopBeating(): void {
  clearInterval(timer);
}

function beat(): void {
  const { used_heap_size: heapUsed, heap_size_limit: heapLimit } = getHeapStatistics();
  void tellParent({ kind: "heartbeat", heapUsed, heapLimit } satisfies WorkerMessage);
}
