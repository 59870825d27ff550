import { expect, test } from "vitest";
import type { MetricFamily } from "./metric-family.ts";
import type { ProcessSnapshot } from "./metrics-bus.ts";
import { ProcessLedger } from "./process-ledger.ts";

let instances = 0;

function snapshot(worker: string, count: number, of?: ProcessSnapshot): ProcessSnapshot {
  const pid = of?.pid ?? ++instances;
  const families: MetricFamily[] = [
    { name: "c_total", help: "c", type: "counter", values: [{ labels: { a: "x" }, value: count }] },
    { name: "g", help: "g", type: "gauge", aggregator: "max", values: [{ labels: {}, value: count }] },
    { name: "o", help: "o", type: "gauge", aggregator: "omit", values: [{ labels: {}, value: count }] },
  ];
  return { worker, pid, instance: `${pid}-0`, families };
}

/** The counter, and the gauge. */
function sums(ledger: ProcessLedger): (number | undefined)[] {
  const families = ledger.sum();
  expect(families.some(({ name }) => name === "o")).toBe(false);
  return ["c_total", "g"].map((name) => families.find((family) => family.name === name)?.values[0]?.value);
}

test("counters of all, gauges as they say", () => {
  const ledger = new ProcessLedger();
  ledger.update([snapshot("1", 3), snapshot("2", 4)]);
  expect(sums(ledger)).toEqual([7, 4]);
});

test("one that is silent, replaced, dead or done keeps its count, once, and loses its gauge", () => {
  const ledger = new ProcessLedger();
  const [one, two, three] = [snapshot("1", 1), snapshot("2", 10), snapshot("3", 100)];
  ledger.update([one, two, three]);
  ledger.update([two, three]);
  expect(sums(ledger)).toEqual([111, 100]);
  expect(ledger.counts).toEqual({ answering: 2, silent: 1 });
  const next = snapshot("1", 1000);
  ledger.update([next, two]);
  expect(sums(ledger)).toEqual([1111, 1000]);
  expect(ledger.counts).toEqual({ answering: 2, silent: 1 });
  ledger.died(three.pid);
  ledger.end(snapshot("2", 20, two));
  ledger.end(snapshot("2", 20, two));
  // What comes too late is not counted again.
  ledger.update([next, two, snapshot("3", 200, three)]);
  expect(sums(ledger)).toEqual([1121, 1000]);
  expect(ledger.counts).toEqual({ answering: 1, silent: 0 });
});

test("one that has been silent for long counts as gone, and its count stays", () => {
  const ledger = new ProcessLedger();
  ledger.update([snapshot("1", 5)]);
  for (let scrapes = 0; scrapes < 30; scrapes++) ledger.update([]);
  expect(ledger.counts).toEqual({ answering: 0, silent: 0 });
  expect(sums(ledger)).toEqual([5, undefined]);
});
