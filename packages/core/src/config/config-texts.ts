import { readFileSync } from "node:fs";
import path from "node:path";
import { CONFIG_FD, processRole } from "../server/process-role.ts";

/** What was in the configuration files that this process has read, when they were valid last; by absolute path. */
const valid = new Map<string, string>();

let inherited: Inherited | undefined;

/** A daemon leaves it, and its workers begin where it has gone. */
const startedIn = process.cwd();

interface Inherited {
  readonly startedIn: string;
  readonly texts: ReadonlyMap<string, string>;
}

/** To be called with what was found to be valid. */
export function rememberConfigText(file: string, text: string): void {
  valid.set(path.resolve(startedIn, file), text);
}

/** For a worker, which is to begin with the same configuration as those that serve, whatever the file has become. */
export function validConfigTexts(): string {
  return JSON.stringify({ startedIn, texts: [...valid] });
}

/** What was in the file when the process that has started this worker read it; `undefined` elsewhere. */
export function inheritedConfigText(file: string): string | undefined {
  if (processRole().kind !== "worker") return undefined;
  inherited ??= readInherited();
  return inherited.texts.get(path.resolve(inherited.startedIn, file));
}

function readInherited(): Inherited {
  const given = JSON.parse(readFileSync(CONFIG_FD, "utf8")) as { startedIn: string; texts: [string, string][] };
  return { startedIn: given.startedIn, texts: new Map(given.texts) };
}
