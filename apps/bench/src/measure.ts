import type { RunningProxy } from "./contender.ts";
import type { Body } from "./origin.ts";
import { clockTicksPerSecond, readTreeCpu, type CpuTicks } from "./proc-cpu.ts";
import { findFaults } from "./verify.ts";
import { runWrk, type WrkResult } from "./wrk.ts";

/** One timed run of one proxy with one body size. */
export interface Measurement {
  readonly proxy: RunningProxy;
  readonly port: number;
  readonly body: Body;
  readonly hooks: boolean;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** What came of it: figures, or the reasons why there are none. */
export type Sample = Figures | { readonly kind: "invalid"; readonly faults: readonly string[] };

export interface Figures {
  readonly kind: "figures";
  /** Requests that wrk saw answered. */
  readonly requests: number;
  /** CPU time of the proxy per request, in its own code and in the kernel. Microseconds. */
  readonly userUs: number;
  readonly systemUs: number;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

/** Checks the answers, reads the CPU time, loads the proxy, reads the CPU time, checks again. Throws only when aborted. */
export async function measure(measurement: Measurement): Promise<Sample> {
  const { proxy, port, body, hooks, seconds, signal } = measurement;
  const faultsBefore = await findFaults(port, body, hooks);
  if (faultsBefore.length > 0) return invalid(faultsBefore, proxy);
  try {
    const before = readTreeCpu(proxy.pid);
    const load = await runWrk(`http://127.0.0.1:${port}${body.path}`, seconds, signal);
    const after = readTreeCpu(proxy.pid);
    const faults = [...loadFaults(load, body.bytes), ...(await findFaults(port, body, hooks))];
    return faults.length > 0 ? invalid(faults, proxy) : figures(before, after, load, clockTicksPerSecond());
  } catch (error) {
    signal.throwIfAborted();
    return invalid([(error as Error).message], proxy);
  }
}

/** What wrk itself found wrong. */
export function loadFaults(load: WrkResult, bodyBytes: number): string[] {
  const faults: string[] = [];
  if (load.requests === 0) faults.push("no request was answered");
  if (load.badStatuses > 0) faults.push(`${load.badStatuses} of ${load.requests} answers were not 2xx or 3xx`);
  if (load.socketErrors > 0) faults.push(`${load.socketErrors} socket errors`);
  // wrk prints three digits or so: 1 % is more than it rounds away.
  if (load.bytesRead < load.requests * bodyBytes * 0.99) faults.push("fewer bytes than the bodies have");
  return faults;
}

/** CPU ticks before and after, per request. */
export function figures(before: CpuTicks, after: CpuTicks, load: WrkResult, ticksPerSecond: number): Figures {
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
