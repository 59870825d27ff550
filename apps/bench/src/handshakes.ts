import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Certificate } from "./certificate.ts";
import { LOAD_CORE } from "./cores.ts";
import type { Tally } from "./handshakes/tally.ts";
import { IN_FLIGHT, type Load, type LoadResult } from "./load.ts";
import { percentile } from "./percentile.ts";
import type { Exchange, Handshake } from "./workload.ts";

/** Has a program of ours send a request on each new connection by TLS 1.3, 64 of them under way. */
export function handshakes({ request, answer }: Exchange, handshake: Handshake, { pem }: Certificate): Load {
  return {
    async run({ port, seconds, signal }) {
      const job: HandshakeJob = {
        port,
        seconds,
        connections: IN_FLIGHT,
        resume: handshake === "resumed",
        path: request.path,
        content: answer.content.toString("latin1"),
        ca: pem,
      };
      const args = ["-c", String(LOAD_CORE), process.execPath, PROGRAM, JSON.stringify(job)];
      const { stdout } = await execFileAsync("taskset", args, { signal, maxBuffer: 64 * 1024 * 1024 });
      return tallied(JSON.parse(stdout) as Tally, handshake);
    },
  };
}

/** What the program is told. */
export interface HandshakeJob {
  readonly port: number;
  readonly seconds: number;
  /** How many are under way at a time. */
  readonly connections: number;
  /** Whether each goes on with the session of an earlier one. */
  readonly resume: boolean;
  readonly path: string;
  /** What each answer must hold, a character for each byte. */
  readonly content: string;
  /** Who issued the certificate, in PEM. */
  readonly ca: string;
}

/** What the program counted, as a result. A handshake of the other kind is a fault. */
export function tallied(tally: Tally, handshake: Handshake): LoadResult {
  const { answered, resumed, wrong, failed, seconds } = tally;
  const others = handshake === "resumed" ? answered - resumed : resumed;
  const faults: string[] = [];
  if (others > 0)
    faults.push(`${others} of ${answered} handshakes were ${handshake === "resumed" ? "full" : "resumed"}`);
  if (wrong.count > 0) faults.push(`${wrong.count} wrong answers such as ${JSON.stringify(wrong.sample)}`);
  if (failed.count > 0) faults.push(`${failed.count} connections failed: ${failed.sample}`);
  return {
    requests: answered,
    seconds,
    requestsPerSecond: answered / seconds,
    p99Ms: percentile(tally.latenciesMs, 0.99),
    bytesRead: tally.bytesRead,
    badStatuses: 0,
    socketErrors: 0,
    faults,
  };
}

const execFileAsync = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("handshakes/program.ts", import.meta.url));
