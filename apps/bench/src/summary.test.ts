import { expect, test } from "vitest";
import type { Sample } from "./measure.ts";
import { median, summarize } from "./summary.ts";

function sample(userUs: number, systemUs: number): Sample {
  return { kind: "figures", requests: 1000, userUs, systemUs, requestsPerSecond: 1e6 / (userUs + systemUs), p99Ms: 2 };
}

test("the median is the middle one, or between the two middle ones", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 10, 2])).toBe(3);
  expect(median([])).toBeNaN();
});

test("a ratio is taken within each round", () => {
  // The machine halves its speed in the second round; the proxies' ratio stays.
  const rows = summarize(
    [
      { name: "nginx", workload: "13 B", samples: [sample(2, 8), sample(4, 16), sample(2, 8)] },
      { name: "other", workload: "13 B", samples: [sample(7, 8), sample(14, 16), sample(8, 8)] },
    ],
    "nginx",
  );
  expect(rows).toMatchObject([
    { kind: "valid", name: "nginx", cpuUs: 10, rangeUs: [10, 20], userUs: 2, systemUs: 8, ratio: 1 },
    { kind: "valid", name: "other", cpuUs: 16, rangeUs: [15, 30], ratio: 1.5 },
  ]);
});

test("without the yardstick there are figures, but no ratio", () => {
  const other = { name: "other", workload: "13 B", samples: [sample(7, 8)] };
  expect(summarize([other], "nginx")).toMatchObject([{ kind: "valid", cpuUs: 15, ratio: undefined }]);
  const broken = { name: "nginx", workload: "13 B", samples: [{ kind: "invalid", faults: ["status 502"] } as const] };
  expect(summarize([broken, other], "nginx")[1]).toMatchObject({ kind: "valid", ratio: undefined });
});

test("one bad round makes the row invalid, each reason said once", () => {
  const bad: Sample = { kind: "invalid", faults: ["status 502"] };
  expect(summarize([{ name: "nginx", workload: "13 B", samples: [sample(1, 1), bad, bad] }], "nginx")).toEqual([
    { kind: "invalid", name: "nginx", workload: "13 B", faults: ["status 502"] },
  ]);
});

test("a row without samples is invalid", () => {
  expect(summarize([{ name: "nginx", workload: "13 B", samples: [] }], "nginx")).toMatchObject([{ kind: "invalid" }]);
});
