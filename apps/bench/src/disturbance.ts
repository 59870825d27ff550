import { readFileSync } from "node:fs";
import { readTreeCpu } from "./proc-cpu.ts";

/** What went on beside the benchmark while it ran: fractions of the machine's whole CPU time. */
export interface Disturbance {
  /** Used by processes that are not ours. */
  readonly others: number;
  /** Taken by the hypervisor for other guests. */
  readonly stolen: number;
}

/** Starts to watch; the function it returns says what has gone on since, once our children have ended. */
export function watchDisturbance(): () => Disturbance {
  const before = readMachineTimes();
  const oursBefore = readTreeCpu(process.pid);
  return () => {
    const ours = readTreeCpu(process.pid);
    return disturbance(before, readMachineTimes(), ours.user - oursBefore.user + ours.system - oursBefore.system);
  };
}

/** The machine's CPU times since it started. Clock ticks of all cores together. */
export interface MachineTimes {
  /** In processes. */
  readonly busy: number;
  readonly stolen: number;
  readonly total: number;
}

/** Reads the first line of `/proc/stat`. @see proc_stat(5) */
export function parseMachineTimes(stat: string): MachineTimes {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.split(/\s+/).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , , , stolen = 0] = fields;
  // The last two, guest and guest_nice, are part of user and nice.
  const total = fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0);
  return { busy: user + nice + system, stolen, total };
}

/** `ours`: the ticks that our own processes used in between. */
export function disturbance(before: MachineTimes, after: MachineTimes, ours: number): Disturbance {
  const total = Math.max(1, after.total - before.total);
  return {
    others: Math.max(0, after.busy - before.busy - ours) / total,
    stolen: (after.stolen - before.stolen) / total,
  };
}

function readMachineTimes(): MachineTimes {
  return parseMachineTimes(readFileSync("/proc/stat", "latin1"));
}
