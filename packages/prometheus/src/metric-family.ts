/** How a value of several processes becomes one. `omit` leaves it out. */
export type Aggregation = "sum" | "first" | "min" | "max" | "average" | "omit";

/** One value. */
export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Where it is another than the family's, such as `…_bucket`. */
  readonly metricName?: string | undefined;
  /** What one event was that led to it; only OpenMetrics shows it. */
  readonly exemplar?: Exemplar | null | undefined;
}

export interface Exemplar {
  readonly labelSet: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Seconds since 1970. */
  readonly timestamp?: number;
}

/** All values of one name, as `getMetricsAsJSON()` of prom-client gives them. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  /** `counter`, `gauge`, `histogram` or `summary`. */
  readonly type: string;
  /** Default `sum`. */
  readonly aggregator?: Aggregation | undefined;
  readonly values: readonly Sample[];
}
