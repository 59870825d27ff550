import { accessSync, constants } from "node:fs";
import path from "node:path";
import { test } from "vitest";

/** Where Debian keeps servers; not in the PATH of an ordinary user. */
const SERVER_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/** The absolute path of `program`, or `undefined` when this machine does not have it. */
export function findProgram(program: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter), ...SERVER_FOLDERS];
  return folders.map((folder) => path.join(folder, program)).find(isExecutable);
}

/**
 * A test that needs programs which npm does not bring, such as nginx as an upstream. `run` gets their absolute paths:
 * ```ts
 * testWith("nginx", "answers as nginx does", async ({ nginx }) => { … });
 * testWith(["nginx", "curl"], "…", async ({ nginx, curl }) => { … }, 30_000);
 * ```
 * Where one is missing, the test is skipped and its name says for want of what. With `CI` set it fails instead, for there
 * a skipped test is a hole nobody sees; `.ci/run` installs the programs, and a new one is added to its list.
 * @param timeoutMs Default: vitest's `testTimeout`.
 */
export function testWith<Program extends string>(
  programs: Program | readonly Program[],
  name: string,
  run: (paths: Readonly<Record<Program, string>>) => void | Promise<void>,
  timeoutMs?: number,
): void {
  const paths = new Map([programs].flat().map((program) => [program, findProgram(program)]));
  const missing = [...paths].filter(([, found]) => found === undefined).map(([program]) => program);
  if (missing.length === 0) {
    test(name, () => run(Object.fromEntries(paths) as Record<Program, string>), timeoutMs);
  } else if (isCi()) {
    test(name, () => {
      throw new Error(`Not installed: ${missing.join(", ")}. Add it to .ci/run.`);
    });
  } else {
    test.skip(`${name} (not installed: ${missing.join(", ")})`, () => {});
  }
}

/** Set by every CI service; `CI=false` is how people say no. */
function isCi(): boolean {
  const value = process.env["CI"];
  return value !== undefined && value !== "" && value !== "false";
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
