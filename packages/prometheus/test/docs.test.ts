import { readFile } from "node:fs/promises";
import { Server } from "@sluice/core";
import { DURATION_BUCKETS, prometheusService, type MetricFamily, type MetricsBus } from "@sluice/prometheus";
import { beforeAll, describe, expect, test } from "vitest";
import { docTable } from "../../proxy/test/support/doc-table.ts";
import { Endpoint } from "./support/scrape.ts";

/** The only process, as one of several. */
const alone: MetricsBus = {
  answer: (_, answerer) => {
    own = answerer;
    return () => undefined;
  },
  ask: async () => [await own()],
  publish: () => undefined,
  subscribe: () => () => undefined,
};
let own: () => Promise<unknown>;

let exposed: Map<string, string>;

beforeAll(async () => {
  await using endpoint = await Endpoint.start({ bus: alone });
  const { text } = await endpoint.scrape();
  exposed = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)/gm)].map(([, name, type]) => [name!, type!]));
});

/** What stands between backticks. */
const namesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

test("the guide names every metric of ours, with its type and its labels", async () => {
  const documented = (await docTable("metrics.md", "metric")).map(([metric, type, labels]) => [
    namesIn(metric!)[0],
    type,
    namesIn(labels!),
  ]);
  const { registry } = prometheusService(new Server(), { processMetrics: false });
  const labelsOf = (name: string): unknown => registry.getSingleMetric(name) ?? { labelNames: ["state"] };
  const ours = [...exposed].filter(([name]) => name.startsWith("sluice_"));
  expect(documented).toEqual(
    ours.map(([name, type]) => [name, type, (labelsOf(name) as { labelNames: string[] }).labelNames]),
  );
});

test("the guide names the buckets", async () => {
  const guide = await readFile(new URL("../../../docs/metrics.md", import.meta.url), "utf8");
  const list = (bounds: number[]): string => `${bounds.slice(0, -1).join(", ")} and ${bounds.at(-1)}`;
  const [short, long] = [DURATION_BUCKETS.filter((bound) => bound < 1), DURATION_BUCKETS.filter((bound) => bound >= 1)];
  expect(guide).toContain(`the bounds ${list(short.map((bound) => bound * 1000))} ms, ${list(long)} s`);
});

test("the guide names every phase", async () => {
  const documented = (await docTable("metrics.md", "phase")).map(([phase]) => namesIn(phase!)[0]);
  const registry = prometheusService(new Server(), { processMetrics: false }).registry;
  const families = (await registry.getMetricsAsJSON()) as unknown as MetricFamily[];
  const { values } = families.find(({ name }) => name === "sluice_request_phase_seconds")!;
  expect(documented).toEqual([...new Set(values.map(({ labels }) => labels["phase"]))]);
});

describe("the dashboard", async () => {
  const text = await readFile(new URL("../../../docs/grafana-dashboard.json", import.meta.url), "utf8");
  const dashboard = JSON.parse(text) as { panels: Panel[]; templating: { list: { query: unknown }[] } };
  const panels = dashboard.panels.filter(({ type }) => type !== "row");
  const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const labels = await labelsOfMetrics();

  test("names only metrics that exist, by the series that they have", () => {
    const variables = dashboard.templating.list.map(({ query }) => JSON.stringify(query));
    const used = [...expressions, ...variables].flatMap((expr) => expr.match(/\b(?:sluice|nodejs|process)_\w+/g) ?? []);
    expect(used.length).toBeGreaterThan(50);
    const series = new Set(
      [...exposed].flatMap(([name, type]) =>
        type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    expect(used.filter((name) => !series.has(name))).toEqual([]);
  });

  test("shows every metric of ours", () => {
    const all = expressions.join("\n");
    expect([...labels.keys()].filter((name) => !all.includes(name))).toEqual([]);
  });

  test("groups and selects only by labels that the metric has", () => {
    const complaints: string[] = [];
    for (const expr of expressions) {
      const [name] = /\bsluice_\w+/.exec(expr) ?? [];
      if (name === undefined) continue;
      const known = labels.get(name.replace(/_(?:bucket|sum|count)$/, "")) ?? [];
      const by = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(/, ?/));
      const selected = [...expr.matchAll(/(\w+)=~?"/g)].map(([, label]) => label!);
      for (const label of [...by, ...selected]) {
        if (!["le", "job", "instance", ...known].includes(label)) complaints.push(`${label} in ${expr}`);
      }
    }
    expect(complaints).toEqual([]);
  });

  test("has panels that do not lie upon each other, each with a title, a unit and a data source", () => {
    const places = new Set<string>();
    for (const { id, title, datasource, gridPos, fieldConfig } of panels) {
      expect([id, title, datasource.uid, fieldConfig.defaults.unit]).not.toContain(undefined);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        const place = `${x},${gridPos.y}`;
        expect(places.has(place) || x >= 24).toBe(false);
        places.add(place);
      }
    }
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly expr: string }[];
}

/** From the guide, which another test compares with the code. */
async function labelsOfMetrics(): Promise<Map<string, string[]>> {
  const rows = await docTable("metrics.md", "metric");
  return new Map(rows.map(([metric, , labels]) => [namesIn(metric!)[0]!, namesIn(labels!)]));
}
