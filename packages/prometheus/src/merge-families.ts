import type { Aggregation, MetricFamily, Sample } from "./metric-family.ts";

/** One family of each name, its values those of all under the same labels, made one by the family's `aggregator`. */
export function mergeFamilies(all: Iterable<readonly MetricFamily[]>): MetricFamily[] {
  const byName = new Map<string, { family: MetricFamily; values: Map<string, Sample[]> }>();
  for (const families of all) {
    for (const family of families) {
      let merged = byName.get(family.name);
      if (merged === undefined) byName.set(family.name, (merged = { family, values: new Map() }));
      for (const sample of family.values) {
        const key = keyOf(sample);
        const samples = merged.values.get(key);
        if (samples === undefined) merged.values.set(key, [sample]);
        else samples.push(sample);
      }
    }
  }
  const families: MetricFamily[] = [];
  for (const { family, values } of byName.values()) {
    const aggregation = family.aggregator ?? "sum";
    if (aggregation === "omit") continue;
    families.push({ ...family, values: Array.from(values.values(), (samples) => mergeSamples(samples, aggregation)) });
  }
  return families;
}

/** Every value with one label more. */
export function labelFamilies(families: readonly MetricFamily[], name: string, value: string): MetricFamily[] {
  return families.map((family) => ({
    ...family,
    values: family.values.map((sample) => ({ ...sample, labels: { ...sample.labels, [name]: value } })),
  }));
}

function keyOf({ metricName = "", labels }: Sample): string {
  return JSON.stringify([metricName, ...Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}

function mergeSamples(samples: readonly Sample[], aggregation: Exclude<Aggregation, "omit">): Sample {
  const [first] = samples as readonly [Sample];
  if (samples.length === 1) return first;
  const values = samples.map(({ value }) => value);
  return { ...first, value: COMBINE[aggregation](values) };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const COMBINE: Readonly<Record<Exclude<Aggregation, "omit">, (values: readonly number[]) => number>> = {
  sum,
  first: (values) => values[0]!,
  min: (values) => Math.min(...values),
  max: (values) => Math.max(...values),
  average: (values) => sum(values) / values.length,
};
