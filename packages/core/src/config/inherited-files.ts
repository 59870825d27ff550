import { readFileSync } from "node:fs";
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import { CONFIG_FD, processRole } from "../server/process-role.ts";
import { tellParent } from "../server/tell-parent.ts";
import type { WatchedFile } from "../tls/watched-file.ts";
import type { WorkerMessage } from "../workers/worker-messages.ts";

/** Files that are used together, by path. */
export type WatchedFiles = ReadonlyMap<string, WatchedFile>;

/** What a worker gets, so that it begins as those that serve, whatever the files have become. */
interface Inherited {
  /** A daemon leaves it, and its workers begin where it has gone. */
  readonly startedIn: string;
  /** What was in files of the configuration when they were valid last; by absolute path. */
  readonly texts: Map<string, string>;
  /** What was in files that are watched when they could be used last; by the paths of those that are used together. */
  readonly watched: Map<string, WatchedFiles>;
}

const known: Inherited = { startedIn: process.cwd(), texts: new Map(), watched: new Map() };

let inherited: Inherited | undefined;

/** For a worker that is started now. */
export function filesForWorker(): Buffer {
  return serialize(known);
}

/**
 * Reads files of the configuration, and remembers them once they are found to be valid, all or none. Blocks; meant for start-up and
 * reload. A worker gets what was valid in the process that has started it, and looks at no file.
 * @param use Makes of their contents, in order, what is wanted. Throws if that cannot be.
 * @throws what `use` throws, and the system's error for a file that cannot be read, which is its `path`.
 */
export function readConfigFiles<T>(files: readonly string[], use: (...texts: string[]) => T): T {
  const texts = files.map((file) => inheritedConfigText(file) ?? readText(file));
  const value = use(...texts);
  for (const [at, file] of files.entries()) known.texts.set(path.resolve(known.startedIn, file), texts[at]!);
  return value;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    // The system names it only where it cannot be opened.
    throw Object.assign(error as Error, { path: file });
  }
}

function inheritedConfigText(file: string): string | undefined {
  const from = inheritance();
  return from?.texts.get(path.resolve(from.startedIn, file));
}

/** To be called with what can be used. A worker tells it to the process that has started it, for workers that come later. */
export function rememberWatchedFiles(files: WatchedFiles): void {
  if (processRole().kind !== "worker") known.watched.set(keyOf([...files.keys()]), files);
  else if (files.size > 0) void tellParent({ kind: "files", files } satisfies WorkerMessage);
}

/** What the workers of this server could use last; `undefined` elsewhere, and for those that come first. */
export function inheritedWatchedFiles(paths: readonly string[]): WatchedFiles | undefined {
  return inheritance()?.watched.get(keyOf(paths));
}

function keyOf(paths: readonly string[]): string {
  return paths.join("\0");
}

/** `undefined` in a process that is no worker. */
function inheritance(): Inherited | undefined {
  if (processRole().kind !== "worker") return undefined;
  inherited ??= deserialize(readFileSync(CONFIG_FD)) as Inherited;
  return inherited;
}
