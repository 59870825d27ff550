import { describe, expect, test } from "vitest";
import { countTests, readTestReport, summaryLine } from "./test-report.ts";

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((one) => ({ status: one })),
});

describe("counting tests", () => {
  test("counts passed, failed, and all others as skipped", () => {
    const report = { testResults: [file("failed", "passed", "failed", "skipped", "todo"), file("passed", "passed")] };
    expect(countTests(report, 1)).toEqual({ passed: 2, failed: 1, skipped: 2 });
  });

  test("a file that does not load is a failure", () => {
    expect(countTests({ testResults: [file("failed"), file("passed", "passed")] }, 1)).toEqual({
      passed: 1,
      failed: 1,
      skipped: 0,
    });
  });

  test("a failed hook that skips its tests is a failure", () => {
    expect(countTests({ testResults: [file("failed", "skipped")] }, 1)).toMatchObject({ failed: 1, skipped: 1 });
  });

  test("an error outside all tests is a failure", () => {
    expect(countTests({ testResults: [file("passed", "passed")] }, 1)).toMatchObject({ passed: 1, failed: 1 });
  });

  test.each([
    ["no report", undefined],
    ["no tests", { testResults: [] }],
    ["skipped tests only", { testResults: [file("passed", "skipped")] }],
  ])("%s is a failure", (_name, report) => {
    expect(countTests(report, 0)).toMatchObject({ passed: 0, failed: 1 });
  });

  test("a missing report is none", async () => {
    expect(await readTestReport("no-such-report.json")).toBeUndefined();
  });
});

test("the summary tells of skipped tests only when there are some", () => {
  expect(summaryLine({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(summaryLine({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
