import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { LOAD_CORE } from "./cores.ts";
import { IN_FLIGHT, type Load, type LoadResult } from "./load.ts";
import { urlOf, type Wire } from "./wire.ts";
import type { WrkRequest } from "./wrk-request.ts";

/** Lets wrk send a request over 64 connections from one thread. */
export function wrk({ path, wrkArgs }: WrkRequest, wire: Wire): Load {
  return {
    async run({ port, seconds, signal }) {
      // Of wrk's default, 2 s, a slow proxy on a busy machine falls foul with 1 MB bodies, and nothing is wrong with it.
      const args = ["-t1", `-c${IN_FLIGHT}`, `-d${seconds}s`, "--timeout", "10s", "--latency", ...wrkArgs];
      const command = ["-c", String(LOAD_CORE), "wrk", ...args, urlOf(wire, port, path)];
      const { stdout } = await execFileAsync("taskset", command, { signal });
      return parseWrk(stdout);
    },
  };
}

/** Reads what `wrk --latency` printed. Throws when a figure is missing. */
export function parseWrk(output: string): LoadResult {
  const total = capture(output, /(\d+) requests in ([\d.]+)([a-z]+), ([\d.]+)([KMGTP]?)B read/);
  const p99 = capture(output, /^\s*99%\s+([\d.]+)([a-z]+)\s*$/m);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(output);
  return {
    requests: Number(total[1]),
    seconds: (Number(total[2]) * milliseconds(total[3])) / 1000,
    requestsPerSecond: Number(capture(output, /Requests\/sec:\s+([\d.]+)/)[1]),
    p99Ms: Number(p99[1]) * milliseconds(p99[2]),
    bytesRead: Number(total[4]) * 1024 ** " KMGTP".indexOf(total[5] || " "),
    badStatuses: Number(bad?.[1] ?? 0),
    socketErrors: (errors?.slice(1) ?? []).reduce((sum, count) => sum + Number(count), 0),
  };
}

const execFileAsync = promisify(execFile);

function capture(output: string, pattern: RegExp): RegExpExecArray {
  const match = pattern.exec(output);
  if (match === null) throw new Error(`wrk printed no ${pattern.source}: ${output.trim() || "nothing"}`);
  return match;
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function milliseconds(unit: string | undefined): number {
  const factor = UNIT_MS[unit ?? ""];
  if (factor === undefined) throw new Error(`wrk printed an unknown unit of time: ${unit}`);
  return factor;
}
