import type { ClientOptions } from "./client.ts";
import type { RunningProxy } from "./contender.ts";
import type { Load, LoadResult } from "./load.ts";
import { clockTicksPerSecond, readTreeCpu, type CpuTicks } from "./proc-cpu.ts";
import { findFaults } from "./verify.ts";
import type { Exchange, Workload } from "./workload.ts";

/** One timed run of one proxy with one workload. */
export interface Measurement {
  readonly proxy: RunningProxy;
  /** How the proxy is reached for the checks. */
  readonly client: ClientOptions;
  readonly workload: Workload;
  /** The workload, made ready to be sent. */
  readonly load: Load;
  readonly hooks: boolean;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** What came of it: figures, or the reasons why there are none. */
export type Sample = Figures | { readonly kind: "invalid"; readonly faults: readonly string[] };

export interface Figures {
  readonly kind: "figures";
  /** Requests that were answered. */
  readonly requests: number;
  /** CPU time of the proxy per request, in its own code and in the kernel. Microseconds. */
  readonly userUs: number;
  readonly systemUs: number;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

/** Checks the answers, reads the CPU time, loads the proxy, reads the CPU time, checks again. Throws only when aborted. */
export async function measure(measurement: Measurement): Promise<Sample> {
  const { proxy, client, workload, load, hooks, seconds, signal } = measurement;
  const faultsBefore = await findFaults(client, workload, hooks);
  if (faultsBefore.length > 0) return invalid(faultsBefore, proxy);
  try {
    const before = readTreeCpu(proxy.pid);
    const result = await load.run({ port: client.port, seconds, signal });
    const after = readTreeCpu(proxy.pid);
    const least = leastBytes(workload.timed, client.wire.client);
    const faults = [...loadFaults(result, least), ...(await findFaults(client, workload, hooks))];
    return faults.length > 0 ? invalid(faults, proxy) : figures(before, after, result, clockTicksPerSecond());
  } catch (error) {
    signal.throwIfAborted();
    return invalid([(error as Error).message], proxy);
  }
}

/** What an answer has at least: its content, and in HTTP/1, which compresses none, the fields that must be in it. */
export function leastBytes({ answer: { fields, content } }: Exchange, version: "h1" | "h2"): number {
  if (version === "h2") return content.length;
  return fields.reduce((sum, [name, value]) => sum + name.length + value.length + ": \r\n".length, content.length);
}

/** What the load generator itself found wrong. `answerBytes` is what each answer has at least. */
export function loadFaults(load: LoadResult, answerBytes: number): string[] {
  const faults: string[] = [];
  if (load.requests === 0) faults.push("no request was answered");
  if (load.badStatuses > 0) faults.push(`${load.badStatuses} of ${load.requests} answers were not 2xx or 3xx`);
  if (load.socketErrors > 0) faults.push(`${load.socketErrors} socket errors`);
  // wrk prints three digits or so: 1 % is more than it rounds away.
  if (load.bytesRead < load.requests * answerBytes * 0.99) faults.push("fewer bytes than the answers have");
  faults.push(...(load.faults ?? []));
  return faults;
}

/** CPU ticks before and after, per request. */
export function figures(before: CpuTicks, after: CpuTicks, load: LoadResult, ticksPerSecond: number): Figures {
  const usPerRequest = (ticks: number): number => (ticks / ticksPerSecond / load.requests) * 1e6;
  return {
    kind: "figures",
    requests: load.requests,
    userUs: usPerRequest(after.user - before.user),
    systemUs: usPerRequest(after.system - before.system),
    requestsPerSecond: load.requestsPerSecond,
    p99Ms: load.p99Ms,
  };
}

function invalid(faults: readonly string[], proxy: RunningProxy): Sample {
  const ending = proxy.ending();
  return { kind: "invalid", faults: ending === undefined ? faults : [...faults, `the proxy ${ending}`] };
}
