import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** The machine in one sentence: processor, cores, memory, system, kernel. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${model}, ${availableParallelism()} cores, ${memory}; ${systemName()}, Linux ${release()}`;
}

/** The version of a load generator, such as `4.1.0`. */
export function versionOf(program: "wrk" | "h2load"): string {
  const { stdout, stderr } = spawnSync(program, [program === "wrk" ? "-v" : "--version"], { encoding: "utf8" });
  return /\b(\d+\.\d+(?:\.\d+)?)/.exec(`${stdout}${stderr}`)?.[1] ?? "unknown version";
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  } catch {
    return "Linux";
  }
}
