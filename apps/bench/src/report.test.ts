import { expect, test } from "vitest";
import { formatReport, formatUs } from "./report.ts";
import type { Row } from "./summary.ts";

const ROWS: Row[] = [
  {
    kind: "valid",
    name: "nginx",
    workload: "13 B",
    cpuUs: 14.26,
    rangeUs: [13.9, 15.02],
    userUs: 3,
    systemUs: 11.26,
    ratio: 1,
    requestsPerSecond: 51_234.4,
    p99Ms: 2.34,
  },
  { kind: "invalid", name: "other", workload: "13 B", faults: ["status 502", "two\nlines"] },
  { kind: "invalid", name: "other", workload: "upload 1 MB", faults: ["status 502", "two\nlines"] },
];

test("shows figures, ratios, invalid rows with their reasons, and who was skipped", () => {
  const text = formatReport({
    rows: ROWS,
    yardstick: "nginx",
    skipped: new Map([["haproxy", "apt-get install haproxy"]]),
    circumstances: ["2026-11-22: a machine"],
  });
  expect(text).toContain("- 2026-11-22: a machine\n");
  expect(text).toContain(
    "| proxy | 13 B | upload 1 MB |\n| --- | ---: | ---: |\n| nginx | 14.3 (1.00) |  |\n| other | invalid | invalid |\n",
  );
  expect(text).toContain("| nginx | 13 B | 14.3 | 13.9 to 15.0 | 3.0 | 11.3 | 1.00 | 51,234 | 2.3 |\n");
  expect(text).toContain("- invalid: other: status 502; two lines (13 B, upload 1 MB)\n");
  expect(text).toContain("- skipped: haproxy: apt-get install haproxy");
});

test("leaves the ratio out where the yardstick did not run", () => {
  const [row] = ROWS;
  const rows = row?.kind === "valid" ? [{ ...row, ratio: undefined }] : [];
  const text = formatReport({ rows, yardstick: "nginx", skipped: new Map(), circumstances: [] });
  expect(text).toContain("| nginx | 14.3 |\n");
});

test("large figures have no decimals", () => {
  expect(formatUs(99.94)).toBe("99.9");
  expect(formatUs(691.4)).toBe("691");
});
