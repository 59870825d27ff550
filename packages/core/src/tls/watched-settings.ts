import { readFile, stat } from "node:fs/promises";
import { ProxyError, toProxyError } from "@sluice/error";
import { inheritedWatchedFiles, rememberWatchedFiles, type WatchedFiles } from "../config/inherited-files.ts";
import { tlsChannels } from "../diagnostics.ts";
import { logger } from "../log/logger.ts";
import type { WatchedFile } from "./watched-file.ts";

/** Gives what a source holds: itself, or the content of the file as it was read last. */
export type ReadSource = (source: string | Uint8Array | { readonly file: string }) => string | Uint8Array;

/** More is no certificate, nor a bundle of all that there are. */
const MAX_FILE_BYTES = 16_777_216;

const log = logger("core");
const { reloaded } = tlsChannels;

/**
 * What is made of settings that name files (`{ file: "/etc/a.pem" }`, anywhere in them): made again when one of them changes. What
 * cannot be used is logged and published, and what was there stays.
 *
 * It looks at the files now and then instead of asking the system for events: those do not come from network file systems, and links
 * that change, as with certbot and Kubernetes, would have to be followed one by one.
 *
 * A worker that replaces another begins with what those that serve could use last, and looks at the files after that.
 */
export class WatchedSettings<T> {
  readonly #paths: readonly string[];
  readonly #make: (read: ReadSource) => T;
  #files: WatchedFiles = new Map();
  #current: T | undefined = undefined;
  /** States that were tried in vain: once because files are written one after another; twice is told. */
  #failedStates: string | undefined = undefined;
  #toldStates: string | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #closed = false;

  /**
   * @param settings Any value; files are looked for in all its fields.
   * @param make Makes what is wanted of it. Throws if that cannot be; nothing else may have changed then.
   */
  private constructor(settings: unknown, make: (read: ReadSource) => T) {
    this.#paths = [...new Set(filesIn(settings))];
    this.#make = make;
  }

  /**
   * Reads and makes for the first time.
   * @param reloadMs How often to look from then on. Milliseconds; 0: never.
   * Rejects with a ProxyError `ConfigError` for a file that cannot be read, and with what `make` throws.
   */
  static async open<T>(
    settings: unknown,
    reloadMs: number,
    make: (read: ReadSource) => T,
  ): Promise<WatchedSettings<T>> {
    const watched = new WatchedSettings(settings, make);
    const inherited = inheritedWatchedFiles(watched.#paths);
    if (inherited === undefined) watched.#take(await readAll(watched.#paths));
    else watched.#use(inherited);
    if (reloadMs > 0 && watched.#paths.length > 0) watched.#schedule(reloadMs);
    return watched;
  }

  get current(): T {
    return this.#current as T;
  }

  /** Looks no more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(reloadMs: number): void {
    if (this.#closed) return;
    // To look for new files is no reason to keep the process.
    this.#timer = setTimeout(() => void this.#look().finally(() => this.#schedule(reloadMs)), reloadMs).unref();
  }

  async #look(): Promise<void> {
    const states = await Promise.all(this.#paths.map(stateOf));
    const changed = this.#paths.filter((path, at) => states[at] !== this.#files.get(path)?.state);
    const tried = states.join();
    if (changed.length === 0 || tried === this.#toldStates || this.#closed) return;
    try {
      const files = await readAll(this.#paths);
      if (this.#closed) return;
      this.#take(files);
      log.info({ files: changed }, "took new TLS files");
      if (reloaded.hasSubscribers) reloaded.publish({ files: changed, error: undefined });
    } catch (thrown) {
      const error = toProxyError(thrown);
      if (this.#failedStates !== tried) {
        this.#failedStates = tried;
        return;
      }
      this.#toldStates = tried;
      log.error({ files: changed, err: error }, "new TLS files cannot be used; those from before stay");
      if (reloaded.hasSubscribers) reloaded.publish({ files: changed, error });
    }
  }

  #take(files: WatchedFiles): void {
    this.#use(files);
    rememberWatchedFiles(files);
  }

  #use(files: WatchedFiles): void {
    this.#current = this.#make((source) =>
      typeof source === "string" || source instanceof Uint8Array ? source : files.get(source.file)!.content,
    );
    this.#files = files;
  }
}

/** `{ file }` wherever it stands. */
function filesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  const { file } = value as { file?: unknown };
  if (typeof file === "string") return [file];
  return Object.values(value).flatMap(filesIn);
}

async function readAll(paths: readonly string[]): Promise<Map<string, WatchedFile>> {
  const reads = paths.map(read);
  // Of several that cannot be read the first is named, whichever is known first.
  await Promise.allSettled(reads);
  const files = await Promise.all(reads);
  return new Map(files.map((file, at) => [paths[at]!, file]));
}

async function read(path: string): Promise<WatchedFile> {
  try {
    // First the state: what changes while it is read is seen at the next look.
    const state = await stateOf(path);
    const content = await readFile(path);
    if (content.length > MAX_FILE_BYTES) throw new RangeError(`it has ${content.length} bytes`);
    return { content, state };
  } catch (cause) {
    throw ProxyError.internal("ConfigError", `cannot read ${path}`, cause);
  }
}

/** "" for a file that cannot be looked at. */
async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return "";
  }
}
