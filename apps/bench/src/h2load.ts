import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { LOAD_CORE } from "./cores.ts";
import { IN_FLIGHT, type Load, type LoadResult } from "./load.ts";
import { percentile } from "./percentile.ts";
import { urlOf, type Wire } from "./wire.ts";
import { isOfConnection, type Request } from "./workload.ts";

/** Connections of HTTP/2 that h2load holds open; together they have as many requests under way as wrk's. */
const CONNECTIONS = 8;

/** Lets h2load send a request over 8 connections, 8 streams on each, from one thread. It logs latencies into `folder`. */
export function h2load({ path, fields }: Request, wire: Wire, folder: string): Load {
  const heads = fields
    .filter(([name]) => !isOfConnection(name))
    .flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  return {
    async run({ port, seconds, signal }) {
      const log = join(folder, `h2load-${port}.tsv`);
      const shape = ["-t1", `-c${CONNECTIONS}`, `-m${IN_FLIGHT / CONNECTIONS}`, `-D${seconds}s`, `--log-file=${log}`];
      // Without it h2load would take HTTP/1 where a proxy by mistake does not offer HTTP/2.
      const command = ["h2load", ...shape, "--npn-list=h2", "--connection-inactivity-timeout=10s", ...heads];
      const args = ["-c", String(LOAD_CORE), ...command, urlOf(wire, port, path)];
      const { stdout } = await execFileAsync("taskset", args, { signal });
      return parseH2load(stdout, await readFile(log, "latin1"));
    },
  };
}

/** Reads what h2load printed, and the latencies it logged. Throws when a figure is missing. */
export function parseH2load(output: string, log: string): LoadResult {
  const finished = capture(output, /finished in ([\d.]+)(us|ms|s|m), ([\d.]+) req\/s/);
  const requests = capture(output, /, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/);
  const statuses = capture(output, /status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx/);
  const traffic = capture(output, /\((\d+)\) headers.*\((\d+)\) data/);
  const bad = Number(statuses[1]) + Number(statuses[2]);
  return {
    requests: Number(requests[1]),
    seconds: (Number(finished[1]) * (UNIT_MS[finished[2] ?? ""] ?? NaN)) / 1000,
    requestsPerSecond: Number(finished[3]),
    p99Ms: percentile(latenciesUs(log), 0.99) / 1000,
    bytesRead: Number(traffic[1]) + Number(traffic[2]),
    badStatuses: bad,
    // To h2load an answer of 4xx or 5xx has failed; each is to be counted once.
    socketErrors: Math.max(0, Number(requests[2]) - bad) + Number(requests[3]) + Number(requests[4]),
  };
}

/** Of a line for each request: start, status, microseconds. */
function latenciesUs(log: string): number[] {
  return log
    .trimEnd()
    .split("\n")
    .map((line) => Number(line.split("\t")[2]));
}

const execFileAsync = promisify(execFile);

const UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function capture(output: string, pattern: RegExp): RegExpExecArray {
  const match = pattern.exec(output);
  if (match === null) throw new Error(`h2load printed no ${pattern.source}: ${output.trim() || "nothing"}`);
  return match;
}
