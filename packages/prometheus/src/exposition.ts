import type { Exemplar, MetricFamily, Sample } from "./metric-family.ts";

/** The formats that Prometheus reads, and others after it. */
export type ExpositionFormat = "text" | "openmetrics";

/** What the Content-Type field says. */
export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/**
 * Writes metrics as text. prom-client could, but a registry of it that has written OpenMetrics once has lost the `_total` of its
 * counters for the other format.
 */
export function toExposition(families: readonly MetricFamily[], format: ExpositionFormat): string {
  const openMetrics = format === "openmetrics";
  const lines: string[] = [];
  for (const family of families) writeFamily(lines, family, openMetrics);
  if (openMetrics) lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function writeFamily(lines: string[], family: MetricFamily, openMetrics: boolean): void {
  const { name, help, type, values } = family;
  const isCounter = type === "counter";
  // OpenMetrics: the family's name is without the suffix that each of its samples has.
  const familyName = openMetrics && isCounter ? name.replace(/_total$/, "") : name;
  lines.push(`# HELP ${familyName} ${escapeHelp(help, openMetrics)}`, `# TYPE ${familyName} ${type}`);
  for (const sample of values) {
    const sampleName = openMetrics && isCounter ? `${familyName}_total` : (sample.metricName ?? name);
    lines.push(
      `${sampleName}${toLabels(sample, openMetrics)} ${toNumber(sample.value)}${toExemplar(sample, openMetrics)}`,
    );
  }
}

function toLabels({ labels }: Sample, openMetrics: boolean): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const isBound = (name === "le" || name === "quantile") && typeof value === "number";
    return `${name}="${isBound ? toBound(value, openMetrics) : escapeLabel(String(value))}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** OpenMetrics wants a point in each bound, as the clients of other languages have it, so that series are the same. */
function toBound(value: number, openMetrics: boolean): string {
  const text = toNumber(value);
  return openMetrics && /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function toExemplar({ exemplar }: Sample, openMetrics: boolean): string {
  if (!openMetrics || exemplar === undefined || exemplar === null) return "";
  const { labelSet, value, timestamp }: Exemplar = exemplar;
  const labels = Object.entries(labelSet).map(([name, label]) => `${name}="${escapeLabel(String(label))}"`);
  return ` # {${labels.join(",")}} ${toNumber(value)}${timestamp === undefined ? "" : ` ${timestamp}`}`;
}

function toNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function escapeHelp(text: string, openMetrics: boolean): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return openMetrics ? escaped.replaceAll('"', '\\"') : escaped;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
