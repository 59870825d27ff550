export { prometheusService, PrometheusService, type PrometheusOptions } from "./prometheus-service.ts";
export { DURATION_BUCKETS } from "./histogram.ts";
export { clusterBus } from "./cluster-bus.ts";
// For those who connect processes by means of their own.
export type { MetricsBus, ProcessSnapshot } from "./metrics-bus.ts";
export type { Aggregation, Exemplar, MetricFamily, Sample } from "./metric-family.ts";
export type { BackendStatus, BalancerStatus } from "./messages.ts";
// Metrics of your own are made of the copy of prom-client that ours are made of.
export { Counter, Gauge, Histogram, Registry, Summary } from "prom-client";
