import { availableParallelism } from "node:os";
import { findExecutable } from "./executable.ts";

/** What no run can do without, and the Debian package that brings it. */
const REQUIRED: Readonly<Record<string, string>> = {
  wrk: "wrk",
  taskset: "util-linux",
  nginx: "nginx-light", // the origin, also when nginx is not among the contenders
  getconf: "libc-bin",
};

/** Sentences that say what is missing on this machine; empty when a run can start. */
export function missingRequirements(): string[] {
  const missing = Object.entries(REQUIRED)
    .filter(([program]) => findExecutable(program) === undefined)
    .map(([program, debianPackage]) => `${program} is missing: apt-get install ${debianPackage}`);
  if (process.platform !== "linux") missing.push("CPU time is read from /proc, so this needs Linux");
  if (availableParallelism() < 2)
    missing.push("two cores are needed: one for the proxy, one for its client and its origin");
  return missing;
}
