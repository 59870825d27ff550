import { describe, expect, test } from "vitest";
import { countTests, passedWhenTriedAgain, readTestReport, summaryLine } from "./test-report.ts";

const file = (status: string, ...tests: string[]) => ({
  name: "a.test.ts",
  status,
  assertionResults: tests.map((one) => ({
    fullName: one,
    status: one,
    failureMessages: one === "failed" ? ["no"] : [],
  })),
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

test("what passed only when it was tried again is told, with what it had failed with", () => {
  const again = { fullName: "again", status: "passed", failureMessages: ["Error: first"] };
  const { assertionResults, ...rest } = file("failed", "passed", "failed");
  const report = { testResults: [{ ...rest, assertionResults: [...assertionResults, again] }] };
  expect(passedWhenTriedAgain(report)).toEqual(["a.test.ts: again\nError: first"]);
});

test("the summary tells of skipped tests only when there are some", () => {
  expect(summaryLine({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(summaryLine({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
