import type { Sample } from "./metric-family.ts";
import { Metric, type Registry } from "./metric.ts";

/**
 * Upper bounds in seconds, in steps of 1, 2 and 5. Half a millisecond is what a proxied request takes within one machine; 50 s is longer
 * than most clients wait. A quantile that is read from them is wrong by less than a factor of 2.5, and a bound more is a series more
 * for each label value and process.
 */
export const DURATION_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50,
];

/** How often which durations came, under one label, or none. */
export class Histogram<Value extends string = never> extends Metric {
  readonly type = "histogram";
  readonly #bounds: readonly number[];
  readonly #byValue: ReadonlyMap<string, Distribution>;

  /**
   * @param bounds Upper bounds, rising.
   * @param label Its name, and all values that it can have.
   */
  constructor(
    registry: Registry,
    name: string,
    help: string,
    bounds: readonly number[],
    label?: { readonly name: string; readonly values: readonly Value[] },
  ) {
    super(registry, name, help, label === undefined ? [] : [label.name]);
    this.#bounds = bounds;
    const rows = label?.values.map((value) => [value, new Distribution(bounds, { [label.name]: value })] as const);
    this.#byValue = new Map<string, Distribution>(rows ?? [["", new Distribution(bounds, {})]]);
  }

  /** The distribution under that label value; to be kept by who observes often. */
  of(value: Value | "" = ""): Distribution {
    return this.#byValue.get(value)!;
  }

  override reset(): void {
    for (const distribution of this.#byValue.values()) distribution.reset();
  }

  protected override samples(): Sample[] {
    return [...this.#byValue.values()].flatMap((distribution) => distribution.samples(this.name, this.#bounds));
  }
}

/** How often which durations came. */
export class Distribution {
  readonly #bounds: readonly number[];
  readonly #labels: Readonly<Record<string, string>>;
  /** How many were in the step below each bound; the last, beyond all of them. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[], labels: Readonly<Record<string, string>>) {
    this.#bounds = bounds;
    this.#labels = labels;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && seconds > bounds[at]!) at++;
    this.#counts[at]! += 1;
    this.#sum += seconds;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#sum = 0;
  }

  samples(name: string, bounds: readonly number[]): Sample[] {
    const samples: Sample[] = [];
    const labels = this.#labels;
    let count = 0;
    for (let at = 0; at <= bounds.length; at++) {
      count += this.#counts[at]!;
      samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le: bounds[at] ?? "+Inf" }, value: count });
    }
    samples.push({ metricName: `${name}_sum`, labels, value: this.#sum });
    samples.push({ metricName: `${name}_count`, labels, value: count });
    return samples;
  }
}
