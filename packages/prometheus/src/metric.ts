import type { Metric as PromMetric, OpenMetricsContentType, Registry as PromRegistry } from "prom-client";
import type { Aggregation, MetricFamily, Sample } from "./metric-family.ts";

/** One of prom-client, of either format: what is served is written anew. */
export type Registry = PromRegistry | PromRegistry<OpenMetricsContentType>;

/** What a registry of prom-client needs of a metric, to show it. */
export abstract class Metric {
  readonly name: string;
  readonly help: string;
  abstract readonly type: "counter" | "gauge" | "histogram";
  readonly labelNames: readonly string[];
  readonly aggregator: Aggregation;

  /** @throws Error when the registry has one of this name. */
  constructor(
    registry: Registry,
    name: string,
    help: string,
    labelNames: readonly string[],
    aggregator: Aggregation = "sum",
  ) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.aggregator = aggregator;
    // A registry asks its metrics for no more than this class has.
    registry.registerMetric(this as unknown as PromMetric);
  }

  get(): Promise<MetricFamily> {
    return Promise.resolve(this.snapshot());
  }

  /** {@link get} at once, for who cannot wait. */
  snapshot(): MetricFamily {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.samples() };
  }

  /** What `registry.resetMetrics()` calls. */
  abstract reset(): void;

  protected abstract samples(): Sample[];
}
