import type { Aggregation, Sample } from "./metric-family.ts";
import { Metric, type Registry } from "./metric.ts";

/** The value under one set of labels. Whoever counts keeps it, and adds to `value`. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/** Text in the place of label values that are too many. */
const OTHER = "other";

/**
 * Series under one name. Those of prom-client look their labels up at each step; here a caller that counts often keeps the series.
 *
 * However many label values are asked for, there are at most `maxSeries` and one more, all of whose labels are `other`.
 */
abstract class SeriesSet extends Metric {
  readonly #maxSeries: number;
  readonly #byLabels = new Map<string, Series>();
  /** Called before the values are read. */
  readonly #collect: ((set: this) => void) | undefined;

  constructor(registry: Registry, name: string, help: string, options: SeriesOptions<never> = {}) {
    super(registry, name, help, options.labelNames ?? [], options.aggregator);
    this.#maxSeries = options.maxSeries ?? DEFAULT_MAX_SERIES;
    this.#collect = options.collect as ((set: this) => void) | undefined;
    if (this.labelNames.length === 0) this.series();
  }

  /** The series under these label values, in the order of the label names. */
  series(...values: string[]): Series {
    const key = values.join("\0");
    const known = this.#byLabels.get(key);
    if (known !== undefined) return known;
    const full = this.#byLabels.size >= this.#maxSeries;
    const used = full ? this.labelNames.map(() => OTHER) : values;
    const usedKey = full ? OTHER_KEY : key;
    let series = this.#byLabels.get(usedKey);
    if (series === undefined) {
      series = { labels: Object.fromEntries(this.labelNames.map((name, index) => [name, used[index]!])), value: 0 };
      this.#byLabels.set(usedKey, series);
    }
    return series;
  }

  /** Forgets the series that `keep` does not want. */
  prune(keep: (labels: Series["labels"]) => boolean): void {
    for (const [key, { labels }] of this.#byLabels) if (!keep(labels)) this.#byLabels.delete(key);
  }

  override reset(): void {
    for (const series of this.#byLabels.values()) series.value = 0;
  }

  protected override samples(): Sample[] {
    this.#collect?.(this);
    return Array.from(this.#byLabels.values(), ({ labels, value }) => ({ labels, value }));
  }
}

export interface SeriesOptions<Set> {
  labelNames?: readonly string[];
  /** Default 200. */
  maxSeries?: number;
  aggregator?: Aggregation;
  /** Sets what is read only when somebody asks. */
  collect?: (set: Set) => void;
}

const DEFAULT_MAX_SERIES = 200;

/** No label values lead to it: they hold no such character. */
const OTHER_KEY = "\0other";

/** Only grows. */
export class Counter extends SeriesSet {
  readonly type = "counter";

  constructor(registry: Registry, name: string, help: string, options: SeriesOptions<Counter> = {}) {
    super(registry, name, help, options);
  }
}

/** Goes up and down. */
export class Gauge extends SeriesSet {
  readonly type = "gauge";

  constructor(registry: Registry, name: string, help: string, options: SeriesOptions<Gauge> = {}) {
    super(registry, name, help, options);
  }
}
