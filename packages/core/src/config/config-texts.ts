import { readFileSync } from "node:fs";
import path from "node:path";
import { CONFIG_FD, processRole } from "../server/process-role.ts";

/** What was in the configuration files that this process has read, when they were valid last; by absolute path. */
const valid = new Map<string, string>();

let inherited: ReadonlyMap<string, string> | undefined;

/** To be called with what was found to be valid. */
export function rememberConfigText(file: string, text: string): void {
  valid.set(path.resolve(file), text);
}

/** For a worker, which is to begin with the same configuration as those that serve, whatever the file has become. */
export function validConfigTexts(): string {
  return JSON.stringify([...valid]);
}

/** What was in the file when the process that has started this worker read it; `undefined` elsewhere. */
export function inheritedConfigText(file: string): string | undefined {
  if (processRole().kind !== "worker") return undefined;
  inherited ??= new Map(JSON.parse(readFileSync(CONFIG_FD, "utf8")) as [string, string][]);
  return inherited.get(path.resolve(file));
}
