import { eventChannel, handoverChannel, observe, reloadChannel } from "@sluice/core";
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
  const reloads = new Counter(registry, "sluice_reloads_total", "Reloads of the server, by how they ended.", {
    labelNames: ["result"],
  });
  const [applied, refused] = [reloads.series("applied"), reloads.series("refused")];
  const handovers = new Counter(
    registry,
    "sluice_handovers_total",
    "Hand-overs to another server, by how they ended.",
    {
      labelNames: ["result"],
    },
  );
  const [handedOver, handoverFailed] = [handovers.series("handed-over"), handovers.series("failed")];
  const onError = (): void => void uncaught.value++;
  // Only looks: whether the process ends is up to others.
  process.on("uncaughtExceptionMonitor", onError);
  const stops = [
    observe(workerEnded, ({ cause }) => void ends.series(cause).value++),
    observe(reloadChannel, ({ outcome }) => void (outcome === "applied" ? applied : refused).value++),
    observe(handoverChannel, ({ outcome }) => void (outcome === "handed-over" ? handedOver : handoverFailed).value++),
  ];
  return () => {
    process.off("uncaughtExceptionMonitor", onError);
    for (const stop of stops) stop();
  };
}

/** CPU, memory, descriptors, event loop, garbage collection, by the names that prom-client gives them; once for each registry. */
export function addProcessMetrics(registry: Registry): void {
  if (registry.getSingleMetric("process_cpu_seconds_total") === undefined)
    collectDefaultMetrics({ register: registry });
}
