import type { Row, ValidRow } from "./summary.ts";
import { tableLine } from "./table.ts";

/** What the tables are made of. */
export interface Report {
  readonly rows: readonly Row[];
  /** What `ratio` in the rows is a ratio to. */
  readonly yardstick: string;
  /** Contenders that did not take part, with the reason. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Sentences about the machine and the run. */
  readonly circumstances: readonly string[];
}

/** The results as Markdown: the figure by workload, everything in detail, what is invalid and why. */
export function formatReport({ rows, yardstick, skipped, circumstances }: Report): string {
  return [
    ...circumstances.map((line) => `- ${line}`),
    "",
    `CPU time of the proxy per request, in microseconds; in parentheses the ratio to ${yardstick}:`,
    "",
    ...overview(rows),
    "",
    "In detail, medians over the rounds:",
    "",
    ...details(rows, yardstick),
    ...remarks(rows, skipped),
  ].join("\n");
}

/** A figure in microseconds, with as many digits as it deserves. */
export function formatUs(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}

function overview(rows: readonly Row[]): string[] {
  const workloads = [...new Set(rows.map((row) => row.workload))];
  const names = [...new Set(rows.map((row) => row.name))];
  return [
    tableLine(["proxy", ...workloads]),
    tableLine(["---", ...workloads.map(() => "---:")]),
    ...names.map((name) => {
      const cells = workloads.map((workload) =>
        overviewCell(rows.find((row) => row.name === name && row.workload === workload)),
      );
      return tableLine([name, ...cells]);
    }),
  ];
}

function overviewCell(row: Row | undefined): string {
  if (row?.kind !== "valid") return row?.kind ?? "";
  return row.ratio === undefined ? formatUs(row.cpuUs) : `${formatUs(row.cpuUs)} (${row.ratio.toFixed(2)})`;
}

function details(rows: readonly Row[], yardstick: string): string[] {
  const valid = rows.filter((row) => row.kind === "valid");
  return [
    tableLine([
      "proxy",
      "workload",
      "CPU µs",
      "lowest to highest",
      "user",
      "system",
      `to ${yardstick}`,
      "requests/s",
      "p99 ms",
    ]),
    tableLine(["---", ...Array.from({ length: 8 }, () => "---:")]),
    ...valid.map((row) => tableLine(detailCells(row))),
  ];
}

function detailCells(row: ValidRow): string[] {
  return [
    row.name,
    row.workload,
    formatUs(row.cpuUs),
    row.rangeUs.map(formatUs).join(" to "),
    formatUs(row.userUs),
    formatUs(row.systemUs),
    row.ratio?.toFixed(2) ?? "",
    Math.round(row.requestsPerSecond).toLocaleString("en"),
    row.p99Ms.toFixed(1),
  ];
}

function remarks(rows: readonly Row[], skipped: ReadonlyMap<string, string>): string[] {
  const workloadsOfFault = new Map<string, string[]>();
  for (const row of rows) {
    if (row.kind === "valid") continue;
    const fault = `${row.name}: ${row.faults.map(oneLine).join("; ")}`;
    workloadsOfFault.set(fault, [...(workloadsOfFault.get(fault) ?? []), row.workload]);
  }
  const lines = [
    ...[...workloadsOfFault].map(([fault, workloads]) => `- invalid: ${fault} (${workloads.join(", ")})`),
    ...[...skipped].map(([name, reason]) => `- skipped: ${name}: ${reason}`),
  ];
  return lines.length > 0 ? ["", ...lines] : [];
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
