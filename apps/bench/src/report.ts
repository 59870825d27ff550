import { formatBodySize } from "./body-size.ts";
import type { Row, ValidRow } from "./summary.ts";

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

/** The results as Markdown: the figure by size, everything in detail, what is invalid and why. */
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
  const sizes = [...new Set(rows.map((row) => row.bytes))];
  const names = [...new Set(rows.map((row) => row.name))];
  return [
    tableLine(["proxy", ...sizes.map(formatBodySize)]),
    tableLine(["---", ...sizes.map(() => "---:")]),
    ...names.map((name) => {
      const ofSize = (bytes: number): Row | undefined => rows.find((row) => row.name === name && row.bytes === bytes);
      return tableLine([name, ...sizes.map((bytes) => overviewCell(ofSize(bytes)))]);
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
      "body",
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
    formatBodySize(row.bytes),
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
  const sizesOfFault = new Map<string, string[]>();
  for (const row of rows) {
    if (row.kind === "valid") continue;
    const fault = `${row.name}: ${row.faults.map(oneLine).join("; ")}`;
    sizesOfFault.set(fault, [...(sizesOfFault.get(fault) ?? []), formatBodySize(row.bytes)]);
  }
  const lines = [
    ...[...sizesOfFault].map(([fault, sizes]) => `- invalid: ${fault} (${sizes.join(", ")})`),
    ...[...skipped].map(([name, reason]) => `- skipped: ${name}: ${reason}`),
  ];
  return lines.length > 0 ? ["", ...lines] : [];
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
