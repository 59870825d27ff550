import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** CPU time of a process and everything it started. Clock ticks; see `clockTicksPerSecond`. */
export interface CpuTicks {
  readonly user: number;
  readonly system: number;
}

/** One `/proc/PID/stat`. The times are ticks and include the children the process has waited for. */
export interface ProcStat extends CpuTicks {
  readonly pid: number;
  readonly parentPid: number;
}

/**
 * CPU time so far of `rootPid` and all its living descendants, all threads, waited-for children included, in ticks.
 * Throws when `rootPid` is gone: a proxy that died has no figure.
 */
export function readTreeCpu(rootPid: number): CpuTicks {
  const tree = processTree(rootPid, readAllStats());
  if (tree.length === 0) throw new Error(`process ${rootPid} is gone`);
  return sumTicks(tree);
}

/** `rootPid` and its descendants, parents before their children; empty when `rootPid` is not among `all`. */
export function processTree(rootPid: number, all: readonly ProcStat[]): ProcStat[] {
  const tree = all.filter((stat) => stat.pid === rootPid);
  // The list grows while it is walked: each member brings its children.
  for (const member of tree)
    tree.push(...all.filter((stat) => stat.parentPid === member.pid && stat.pid !== member.pid));
  return tree;
}

/** All processes that can be read now. One that ends meanwhile is left out. */
export function readAllStats(): ProcStat[] {
  const stats: ProcStat[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      stats.push(parseProcStat(readFileSync(`/proc/${entry}/stat`, "latin1")));
    } catch {
      // Ended between the listing and the reading.
    }
  }
  return stats;
}

/**
 * Reads a line of `/proc/PID/stat`. The second field, the command's name, stands in parentheses and may hold spaces
 * and parentheses of its own, so the fields are counted from the last `)`.
 * @see proc_pid_stat(5)
 */
export function parseProcStat(line: string): ProcStat {
  const nameStart = line.indexOf("(");
  const nameEnd = line.lastIndexOf(")");
  // Field 3, the state, becomes index 0 here.
  const fields = line
    .slice(nameEnd + 1)
    .trim()
    .split(/\s+/);
  const field = (number: number): number => {
    const value = Number.parseInt(fields[number - 3] ?? "", 10);
    if (Number.isNaN(value)) throw new Error(`no field ${number} in a line of /proc/PID/stat: ${line}`);
    return value;
  };
  return {
    pid: Number.parseInt(line.slice(0, nameStart), 10),
    parentPid: field(4),
    user: field(14) + field(16),
    system: field(15) + field(17),
  };
}

/** Ticks in a second of CPU time, from the C library; 100 on every common Linux. */
export function clockTicksPerSecond(): number {
  return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "latin1" }));
}

function sumTicks(parts: readonly CpuTicks[]): CpuTicks {
  let user = 0;
  let system = 0;
  for (const part of parts) {
    user += part.user;
    system += part.system;
  }
  return { user, system };
}
