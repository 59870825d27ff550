import { execFile, type ExecFileException } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @param input What it reads; ends then. */
export function run(program: string, args: readonly string[], input: string = ""): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 15_000 }, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

/** Writes texts into files of a folder; gives their paths. */
export function files<Name extends string>(
  folder: string,
  contents: Readonly<Record<Name, string | Uint8Array>>,
): Record<Name, string> {
  const paths: Partial<Record<Name, string>> = {};
  for (const name of Object.keys(contents) as Name[]) {
    paths[name] = path.join(folder, name);
    writeFileSync(paths[name], contents[name]);
  }
  return paths as Record<Name, string>;
}
