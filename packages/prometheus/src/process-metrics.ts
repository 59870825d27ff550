import { eventChannel, observe } from "@sluice/core";
import { collectDefaultMetrics } from "prom-client";
import type { WorkerEnded } from "./messages.ts";
import type { Registry } from "./metric.ts";
import { Counter } from "./series.ts";

const workerEnded = eventChannel<WorkerEnded>("sluice:worker:ended");

/** Counts what befalls processes, until the function that it returns is called. */
export function countProcessEvents(registry: Registry): () => void {
  const uncaught = new Counter(
    registry,
    "sluice_uncaught_errors_total",
    "Errors and rejections that nobody caught.",
  ).series();
  const ends = new Counter(registry, "sluice_workers_ended_total", "Workers that ended, by cause.", {
    labelNames: ["cause"],
  });
  const onError = (): void => void uncaught.value++;
  // Only looks: whether the process ends is up to others.
  process.on("uncaughtExceptionMonitor", onError);
  const unobserve = observe(workerEnded, ({ cause }) => void ends.series(cause).value++);
  return () => {
    process.off("uncaughtExceptionMonitor", onError);
    unobserve();
  };
}

/** CPU, memory, descriptors, event loop, garbage collection, by the names that prom-client gives them; once for each registry. */
export function addProcessMetrics(registry: Registry): void {
  if (registry.getSingleMetric("process_cpu_seconds_total") === undefined)
    collectDefaultMetrics({ register: registry });
}
