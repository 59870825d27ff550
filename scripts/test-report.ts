import { readFile } from "node:fs/promises";

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part of vitest's JSON report that counts. */
export interface TestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      /** Of every try, also where the last one passed. */
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/**
 * Counts the tests of a report.
 * Vitest's own totals leave out what fails outside a test. Here a file that fails as a whole (it does not load, a hook
 * throws) counts as one failure, and so does a runner that failed for a reason no test names (an unhandled rejection, a
 * crash) or that ran nothing.
 * @param report `undefined` when the runner left none.
 */
export function countTests(report: TestReport | undefined, exitCode: number): Counts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const file of report?.testResults ?? []) {
    const statuses = file.assertionResults.map((test) => test.status);
    const failures = statuses.filter((status) => status === "failed").length;
    const passes = statuses.filter((status) => status === "passed").length;
    passed += passes;
    failed += failures === 0 && file.status === "failed" ? 1 : failures;
    skipped += statuses.length - passes - failures;
  }
  if (failed === 0 && (exitCode !== 0 || passed === 0)) failed = 1;
  return { passed, failed, skipped };
}

/** The tests that passed only when they were tried again, each with what it had failed with: they count as passed, and are not to be forgotten. */
export function passedWhenTriedAgain(report: TestReport | undefined): string[] {
  return (report?.testResults ?? []).flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status, failureMessages }) => status === "passed" && failureMessages.length > 0)
      .map(({ fullName, failureMessages }) => `${name}: ${fullName}\n${failureMessages.join("\n")}`),
  );
}

/** The report in `file`, or `undefined` when it is missing or cut short. */
export async function readTestReport(file: string): Promise<TestReport | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as TestReport;
  } catch {
    return undefined;
  }
}

/** The line that ends every run: `12 passed, 0 failed`, with `, 1 skipped` only when there is something to tell. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
