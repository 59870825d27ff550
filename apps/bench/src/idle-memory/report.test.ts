import { expect, test } from "vitest";
import { formatIdleReport, kbPerConnection } from "./report.ts";

test("the difference is shared out among the connections", () => {
  expect(kbPerConnection({ kind: "figures", beforeKb: 10_000, afterKb: 50_000 }, 8000)).toBe(5);
});

test("shows medians, the range, invalid rows with their reasons, and who was skipped", () => {
  const text = formatIdleReport({
    samples: new Map([
      [
        "nginx",
        [
          { kind: "figures", beforeKb: 20_480, afterKb: 24_480 },
          { kind: "figures", beforeKb: 20_480, afterKb: 28_480 },
          { kind: "figures", beforeKb: 20_480, afterKb: 25_280 },
        ],
      ],
      [
        "other",
        [
          { kind: "figures", beforeKb: 1, afterKb: 2 },
          { kind: "invalid", faults: ["3 connections\nwere closed meanwhile"] },
        ],
      ],
    ]),
    connections: 8000,
    skipped: new Map([["haproxy", "apt-get install haproxy"]]),
    circumstances: ["2026-11-22: a machine"],
  });
  expect(text).toContain("- 2026-11-22: a machine\n");
  expect(text).toContain("for each of 8,000 idle connections");
  expect(text).toContain("| nginx | 0.6 | 0.5 to 1.0 | 20.0 | 24.7 |\n| other | invalid |  |  |  |\n");
  expect(text).toContain("- invalid: other: 3 connections were closed meanwhile\n");
  expect(text).toContain("- skipped: haproxy: apt-get install haproxy");
});
