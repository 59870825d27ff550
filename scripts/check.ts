/**
 * Everything that must hold before a change is merged; what `npm test` and CI run.
 * A failed step does not stop the next one, so that one run shows all there is to mend. The last line of the output counts
 * the tests, plus one failure for each other step that failed.
 */

import { rm } from "node:fs/promises";
import path from "node:path";
import { BUILD_ENV, buildCommand } from "./build.ts";
import { runCommand, type Command } from "./run-command.ts";
import { countTests, passedWhenTriedAgain, readTestReport, summaryLine } from "./test-report.ts";
import { ROOT } from "./workspace.ts";

const REPORT = path.join(ROOT, ".test-report.json");

const STEPS: readonly { readonly name: string; readonly command: Command }[] = [
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "unused code and dependencies", command: ["knip"] },
  { name: "build", command: await buildCommand() },
  { name: "packages", command: ["node", "scripts/lint-packages.ts"] },
];

const failedSteps: string[] = [];
for (const { name, command } of STEPS) {
  const start = performance.now();
  const { exitCode, output } = await runCommand(command, { env: { ...BUILD_ENV, NO_COLOR: "1" } });
  console.log(`${exitCode === 0 ? "ok    " : "FAILED"} ${name} (${secondsSince(start)})`);
  if (exitCode === 0) continue;
  failedSteps.push(name);
  console.log(`\n$ ${command.join(" ")}\n${output.trimEnd()}\n`);
}

const tests = await runTests();
if (failedSteps.length > 0) console.log(`Failed besides tests: ${failedSteps.join(", ")}`);
console.log(summaryLine({ ...tests, failed: tests.failed + failedSteps.length }));
process.exitCode = tests.failed + failedSteps.length === 0 ? 0 : 1;

async function runTests(): Promise<ReturnType<typeof countTests>> {
  // A report of an earlier run must not pass for this one.
  await rm(REPORT, { force: true });
  const start = performance.now();
  const { exitCode } = await runCommand(
    ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`],
    { stream: true },
  );
  const report = await readTestReport(REPORT);
  const counts = countTests(report, exitCode);
  for (const test of passedWhenTriedAgain(report)) console.log(`Passed only when tried again: ${test}`);
  console.log(`${counts.failed === 0 ? "ok    " : "FAILED"} tests (${secondsSince(start)})`);
  return counts;
}

function secondsSince(start: number): string {
  return `${((performance.now() - start) / 1_000).toFixed(1)} s`;
}
