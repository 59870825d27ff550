import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { processTree, readAllStats } from "../proc-cpu.ts";

/**
 * Resident memory of a process and all its descendants, in KB, once it is settled: read every second until it is, for a minute
 * at most. Pages that processes share count for each. Rejects when a process is gone or `signal` aborts.
 */
export async function settledResidentKb(rootPid: number, signal: AbortSignal): Promise<number> {
  const readings: number[] = [];
  do {
    if (readings.length > 0) await sleep(1000, undefined, { signal });
    const tree = processTree(rootPid, readAllStats());
    if (tree.length === 0) throw new Error(`process ${rootPid} is gone`);
    readings.push(tree.reduce((sum, { pid }) => sum + residentKb(readFileSync(`/proc/${pid}/status`, "latin1")), 0));
  } while (!isSettled(readings) && readings.length < 60);
  return readings.at(-1) ?? NaN;
}

/** Whether the last six readings lie within 0.5 %: programs on Node.js still move for about four seconds after a load. */
export function isSettled(readings: readonly number[]): boolean {
  const last = readings.slice(-6);
  return last.length === 6 && Math.max(...last) - Math.min(...last) <= Math.max(...last) * 0.005;
}

/** `VmRSS` of a `/proc/PID/status`, in KB. @see proc_pid_status(5) */
export function residentKb(status: string): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status);
  if (match === null) throw new Error(`no VmRSS in a /proc/PID/status: ${status.slice(0, 100)}`);
  return Number(match[1]);
}
