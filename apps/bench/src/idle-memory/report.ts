import { median } from "../summary.ts";
import { tableLine } from "../table.ts";
import type { IdleFigures, IdleSample } from "./measure.ts";

/** What the table is made of. */
export interface IdleReport {
  /** The samples of each contender, one for each round. */
  readonly samples: ReadonlyMap<string, readonly IdleSample[]>;
  readonly connections: number;
  /** Contenders that did not take part, with the reason. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Sentences about the machine and the run. */
  readonly circumstances: readonly string[];
}

/** The results as Markdown. A single bad round makes a row invalid. */
export function formatIdleReport({ samples, connections, skipped, circumstances }: IdleReport): string {
  const remarks = [
    ...[...samples].flatMap(([name, ofOne]) => {
      const faults = new Set(ofOne.flatMap((sample) => (sample.kind === "invalid" ? sample.faults : [])));
      return faults.size > 0 ? [`- invalid: ${name}: ${[...faults].join("; ").replace(/\s+/g, " ")}`] : [];
    }),
    ...[...skipped].map(([name, reason]) => `- skipped: ${name}: ${reason}`),
  ];
  return [
    ...circumstances.map((line) => `- ${line}`),
    "",
    `Resident memory of the proxy for each of ${connections.toLocaleString("en")} idle connections, medians over the rounds:`,
    "",
    tableLine(["proxy", "KB per connection", "lowest to highest", "MB before", "MB with them"]),
    tableLine(["---", "---:", "---:", "---:", "---:"]),
    ...[...samples].map(([name, ofOne]) => tableLine([name, ...cells(ofOne, connections)])),
    ...(remarks.length > 0 ? ["", ...remarks] : []),
  ].join("\n");
}

/** KB of the proxy's memory for each connection. */
export function kbPerConnection({ beforeKb, afterKb }: IdleFigures, connections: number): number {
  return (afterKb - beforeKb) / connections;
}

function cells(samples: readonly IdleSample[], connections: number): string[] {
  const figures = samples.filter((sample) => sample.kind === "figures");
  if (figures.length === 0 || figures.length < samples.length) return ["invalid", "", "", ""];
  const each = figures.map((round) => kbPerConnection(round, connections));
  return [
    median(each).toFixed(1),
    `${Math.min(...each).toFixed(1)} to ${Math.max(...each).toFixed(1)}`,
    inMegabytes(median(figures.map(({ beforeKb }) => beforeKb))),
    inMegabytes(median(figures.map(({ afterKb }) => afterKb))),
  ];
}

function inMegabytes(kb: number): string {
  return (kb / 1024).toFixed(1);
}
