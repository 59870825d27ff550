import type { Census } from "./census.ts";
import type { LoadCounts } from "./load.ts";

/** How much the heap may have grown between the two looks at it. */
const MAX_GROWTH = 0.1;

export interface SoakResult {
  /** Before any load but a request. */
  readonly idle: Census;
  /** After the first part of the load, when every client had left. */
  readonly early: Census;
  /** After all of it. */
  readonly end: Census;
  readonly counts: LoadCounts;
}

/** What a soak found wrong; empty when all is well. */
export function faultsOf({ idle, early, end, counts }: SoakResult): string[] {
  const faults: string[] = [];
  const growth = end.heapBytes / early.heapBytes - 1;
  if (growth > MAX_GROWTH) faults.push(`the heap grew by ${(growth * 100).toFixed(1)} %`);
  if (end.descriptors > idle.descriptors) {
    faults.push(`${end.descriptors} descriptors are open, ${idle.descriptors} were at first`);
  }
  if (end.timers > idle.timers) faults.push(`${end.timers} timers are set, ${idle.timers} were at first`);
  if (end.begun !== end.logged) faults.push(`${end.begun} requests began, logging ran for ${end.logged}`);
  if (end.uncaught > 0) faults.push(`${end.uncaught} errors that nobody caught`);
  for (const [failure, times] of counts.failures) faults.push(`${times} times ${failure}`);
  if (counts.done.size === 0) faults.push("nothing was done");
  return faults;
}

/** The figures in lines. */
export function describeSoak({ idle, early, end, counts }: SoakResult): string {
  return [
    "| | heap MiB | descriptors | timers | requests |",
    "| --- | ---: | ---: | ---: | ---: |",
    line("idle", idle),
    line("after the first part", early),
    line("at the end", end),
    "",
    ...[...counts.done].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([habit, times]) => `- ${times} × ${habit}`),
  ].join("\n");
}

function line(when: string, { heapBytes, descriptors, timers, begun }: Census): string {
  return `| ${when} | ${(heapBytes / 1_048_576).toFixed(2)} | ${descriptors} | ${timers} | ${begun} |`;
}
