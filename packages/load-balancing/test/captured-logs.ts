import { configureLogs } from "@sluice/core";

export interface LogLine {
  level: number;
  name: string;
  msg: string;
  backend?: string;
  err?: { message: string };
}

/** Collects log lines of all packages from now on. */
export function captureLogs(): LogLine[] {
  const lines: LogLine[] = [];
  configureLogs({ levels: "info", destination: { write: (line) => lines.push(JSON.parse(line) as LogLine) } });
  return lines;
}
