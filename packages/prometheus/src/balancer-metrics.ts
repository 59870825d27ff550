import { eventChannel, observe } from "@sluice/core";
import { DURATION_BUCKETS, Histogram } from "./histogram.ts";
import type { BackendChecked, BalancerMessage, BalancerStatus } from "./messages.ts";
import type { Registry } from "./metric.ts";
import { Counter, Gauge } from "./series.ts";

const updated = eventChannel<BalancerMessage>("sluice:balancer:updated");
const updateFailed = eventChannel<BalancerMessage>("sluice:balancer:update-failed");
const retired = eventChannel<BalancerMessage>("sluice:balancer:retired");
const checked = eventChannel<BackendChecked>("sluice:balancer:checked");

/** Backends above this, over all balancers, are one. */
const MAX_BACKENDS = 1000;

/**
 * Tells the health of backends, until the function that it returns is called. A balancer is known from its first check or update on;
 * one without health checks whose list never changes is to be named in `balancers`. Backends that left their balancer are forgotten.
 */
export function watchBalancers(registry: Registry, balancers: readonly BalancerStatus[]): () => void {
  const known = new Set<WeakRef<BalancerStatus>>();
  /** Also those that were retired, of which a last check may be told later. */
  const seen = new WeakSet<BalancerStatus>();
  const add = (balancer: BalancerStatus): void => {
    if (seen.has(balancer)) return;
    seen.add(balancer);
    known.add(new WeakRef(balancer));
  };
  for (const balancer of balancers) add(balancer);

  const labelNames = ["balancer", "backend"];
  // The worst that a process sees: each checks for itself.
  const gaugeOptions = { labelNames, maxSeries: MAX_BACKENDS, aggregator: "min" } as const;
  const show = (
    gauge: Gauge,
    read: (balancer: BalancerStatus, backend: BalancerStatus["backends"][number]) => boolean,
  ): void => {
    gauge.prune(() => false);
    for (const balancer of living(known)) {
      for (const backend of balancer.backends) {
        gauge.series(balancer.name, backend.address.text).value = read(balancer, backend) ? 1 : 0;
      }
    }
  };
  void new Gauge(registry, "sluice_backend_healthy", "Whether the checks find a backend well: 1, or 0.", {
    ...gaugeOptions,
    collect: (gauge) => show(gauge, (balancer, backend) => balancer.isHealthy(backend)),
  });
  void new Gauge(
    registry,
    "sluice_backend_ready",
    "Whether a backend gets requests, being healthy and enabled: 1, or 0.",
    {
      ...gaugeOptions,
      collect: (gauge) => show(gauge, (balancer, backend) => balancer.ready(backend)),
    },
  );
  const forgetGone = (counter: Counter): void => {
    const there = new Set<string>();
    for (const { name, backends } of living(known))
      for (const { address } of backends) there.add(`${name}\0${address.text}`);
    counter.prune((labels) => there.has(`${labels["balancer"]}\0${labels["backend"]}`));
  };
  const checks = new Counter(registry, "sluice_health_checks_total", "Checks of a backend, by what they found.", {
    labelNames: [...labelNames, "result"],
    maxSeries: 2 * MAX_BACKENDS,
    collect: forgetGone,
  });
  const changes = new Counter(
    registry,
    "sluice_backend_health_changes_total",
    "How often a backend became healthy or unhealthy.",
    {
      labelNames: [...labelNames, "to"],
      maxSeries: 2 * MAX_BACKENDS,
      collect: forgetGone,
    },
  );
  const duration = new Histogram(
    registry,
    "sluice_health_check_seconds",
    "What a check of a backend took.",
    DURATION_BUCKETS,
  ).of();
  const updates = new Counter(registry, "sluice_discovery_updates_total", "Answers of a discovery, and failures.", {
    labelNames: ["balancer", "result"],
  });

  const stops = [
    observe(updated, ({ balancer }) => {
      add(balancer);
      updates.series(balancer.name, "updated").value++;
    }),
    observe(updateFailed, ({ balancer }) => {
      add(balancer);
      updates.series(balancer.name, "failed").value++;
    }),
    observe(checked, ({ balancer, backend, success, healthy, changed, checkMs }) => {
      add(balancer);
      const { text } = backend.address;
      checks.series(balancer.name, text, success ? "success" : "failure").value++;
      if (changed) changes.series(balancer.name, text, healthy ? "healthy" : "unhealthy").value++;
      duration.observe(checkMs / 1000);
    }),
    observe(retired, ({ balancer }) => {
      seen.add(balancer);
      for (const ref of known) if (ref.deref() === balancer) known.delete(ref);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function* living(known: Set<WeakRef<BalancerStatus>>): Generator<BalancerStatus> {
  for (const ref of known) {
    const balancer = ref.deref();
    if (balancer === undefined) known.delete(ref);
    else yield balancer;
  }
}
