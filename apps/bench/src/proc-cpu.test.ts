import { expect, test } from "vitest";
import { parseProcStat, processTree, type ProcStat } from "./proc-cpu.ts";

function line(pid: number, name: string, parentPid: number, times: string): string {
  return `${pid} (${name}) S ${parentPid} 7 7 0 -1 4194560 1200 3400 0 0 ${times} 20 0 11 0 5550 1048576 2000 18446744073709551615 1 1 0\n`;
}

function stat(pid: number, parentPid: number): ProcStat {
  return { pid, parentPid, user: 0, system: 0 };
}

test("adds the children a process has waited for to its own time", () => {
  expect(parseProcStat(line(4711, "nginx", 42, "120 340 5 6"))).toEqual({
    pid: 4711,
    parentPid: 42,
    user: 125,
    system: 346,
  });
});

test("reads past a command name with spaces and parentheses", () => {
  expect(parseProcStat(line(9, "a (b) S 1 2) 3", 8, "1 2 0 0"))).toEqual({ pid: 9, parentPid: 8, user: 1, system: 2 });
});

test("refuses a line that ends early", () => {
  expect(() => parseProcStat("9 (cut) S 1 2 3")).toThrow("no field 14");
});

test("a tree holds children and grandchildren, and nobody else", () => {
  const all = [stat(30, 20), stat(1, 0), stat(20, 10), stat(10, 1), stat(11, 1), stat(21, 10)];
  expect(processTree(10, all).map(({ pid }) => pid)).toEqual([10, 20, 21, 30]);
  expect(processTree(99, all)).toEqual([]);
});
