import { connectionChannels, observe, tlsChannels, upstreamChannels, type PoolStatus } from "@sluice/core";
import { DURATION_BUCKETS, Histogram } from "./histogram.ts";
import type { Registry } from "./metric.ts";
import { Counter, Gauge, type Series } from "./series.ts";

const { accepted, closed, rejected } = connectionChannels;

/** Counts the connections of clients, by the service that they came to, until the function that it returns is called. */
export function countClientConnections(registry: Registry): () => void {
  const all = new Counter(registry, "sluice_client_connections_total", "Connections of clients that were let in.", {
    labelNames: ["service"],
  });
  const open = new Gauge(registry, "sluice_client_connections_open", "Connections of clients that are open.", {
    labelNames: ["service"],
  });
  const closings = new Counter(
    registry,
    "sluice_client_connections_closed_total",
    "Connections of clients, by why they ended.",
    { labelNames: ["service", "reason"] },
  );
  const rejections = new Counter(
    registry,
    "sluice_client_connections_rejected_total",
    "Connections of clients that were not let in.",
    { labelNames: ["service", "reason"] },
  );
  const countBytes = byteCounter(
    registry,
    "sluice_client_bytes_total",
    "Bytes on the connections of clients, counted when one ends.",
  );
  const stops = [
    observe(accepted, ({ service }) => {
      all.series(service).value++;
      open.series(service).value++;
    }),
    observe(closed, (message) => {
      const { service, reason } = message;
      const now = open.series(service);
      // Some were open before somebody counted.
      if (now.value > 0) now.value--;
      closings.series(service, reason).value++;
      countBytes(message);
    }),
    observe(rejected, ({ service, reason }) => void rejections.series(service, reason).value++),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Counts what goes wrong in TLS with clients, until the function that it returns is called. */
export function countTls(registry: Registry): () => void {
  const failures = new Counter(
    registry,
    "sluice_tls_handshake_failures_total",
    "TLS handshakes with clients that failed, by why.",
    { labelNames: ["service", "reason"] },
  );
  const reloads = new Counter(
    registry,
    "sluice_tls_reloads_total",
    "TLS files that have changed and were read again.",
    { labelNames: ["result"] },
  );
  // A counter that appears with its first event is one whose first event no rate shows.
  const [updated, failed] = [reloads.series("updated"), reloads.series("failed")];
  const stops = [
    observe(tlsChannels.handshakeFailed, ({ service, error }) => {
      failures.series(service, error.detail ?? error.type).value++;
    }),
    observe(tlsChannels.reloaded, ({ error }) => void (error === undefined ? updated : failed).value++),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Counts the connections to upstreams, until the function that it returns is called. */
export function countUpstreamConnections(registry: Registry): () => void {
  const pools = new Set<WeakRef<PoolStatus>>();
  const known = new WeakSet<PoolStatus>();
  const sumPools = (): number => {
    let idle = 0;
    for (const ref of pools) {
      const pool = ref.deref();
      if (pool === undefined) pools.delete(ref);
      else idle += pool.idleCount;
    }
    return idle;
  };

  const connects = new Counter(
    registry,
    "sluice_upstream_connects_total",
    "Connections to upstreams that were tried.",
    {
      labelNames: ["result"],
    },
  );
  const [made, failed] = [connects.series("connected"), connects.series("failed")];
  const duration = new Histogram(
    registry,
    "sluice_upstream_connect_seconds",
    "Time to open a connection to an upstream, TLS included.",
    DURATION_BUCKETS,
  ).of();
  const uses = new Counter(
    registry,
    "sluice_upstream_requests_total",
    "Requests that had a connection to an upstream: a new one, or one of the pool.",
    {
      labelNames: ["connection"],
    },
  );
  const [onNew, onPooled] = [uses.series("new"), uses.series("pooled")];
  const open = new Gauge(
    registry,
    "sluice_upstream_connections_open",
    "Connections to upstreams that are open.",
  ).series();
  void new Gauge(registry, "sluice_upstream_pool_idle_connections", "Connections to upstreams that wait in a pool.", {
    collect: (gauge) => void (gauge.series().value = sumPools()),
  });
  const closings = new Counter(
    registry,
    "sluice_upstream_connections_closed_total",
    "Connections to upstreams, by why they ended.",
    { labelNames: ["reason"] },
  );
  const unexpected = new Counter(
    registry,
    "sluice_upstream_unexpected_data_total",
    "Connections that were dropped because an upstream sent what no request had asked for.",
  ).series();
  const countBytes = byteCounter(
    registry,
    "sluice_upstream_bytes_total",
    "Bytes on the connections to upstreams, counted when one ends.",
  );

  const channels = upstreamChannels;
  const stops = [
    observe(channels.connected, ({ reused, connectMs, pool }) => {
      if (reused) {
        onPooled.value++;
        return;
      }
      onNew.value++;
      made.value++;
      open.value++;
      duration.observe(connectMs / 1000);
      if (known.has(pool)) return;
      known.add(pool);
      pools.add(new WeakRef(pool));
    }),
    observe(channels.connectFailed, () => void failed.value++),
    observe(channels.closed, (message) => {
      if (open.value > 0) open.value--;
      closings.series(message.reason).value++;
      if (message.reason === "unexpected-data") unexpected.value++;
      countBytes(message);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function byteCounter(registry: Registry, name: string, help: string): (bytes: ByteCounts) => void {
  const counter = new Counter(registry, name, help, { labelNames: ["direction"] });
  const [received, sent]: [Series, Series] = [counter.series("received"), counter.series("sent")];
  return ({ bytesRead, bytesWritten }) => {
    received.value += bytesRead ?? 0;
    sent.value += bytesWritten ?? 0;
  };
}

interface ByteCounts {
  readonly bytesRead: number | undefined;
  readonly bytesWritten: number | undefined;
}
