import { randomUUID } from "node:crypto";
import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { logger } from "../log/logger.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

/** What is read of a report: its beginning says it, and the rest may be cut, on a disk that is full. */
const MAX_READ_BYTES = 4096;

/**
 * What the runtime of a worker writes when it gives up: only that tells for sure whether it ran out of memory. The signal is the same
 * for every fault, and a heap may fill within one turn of the event loop, in which a worker can show nothing.
 *
 * A report holds variables of the environment. So its file has no name, and nothing of it is left, whoever is killed. Who has asked
 * for reports themselves finds them where they wanted them. Where processes have no `/proc`, there are none.
 */
export class FatalReport {
  /** To be given to the worker; `undefined` when it needs none. */
  readonly fd: number | undefined;
  readonly #folder: string | undefined;

  constructor() {
    this.#folder = process.report.reportOnFatalError ? path.resolve(process.report.directory) : undefined;
    this.fd = this.#folder === undefined && process.platform === "linux" ? unnamedFile() : undefined;
  }

  /**
   * What to start the worker with.
   * @param at The number of {@link fd} in the worker.
   */
  execArgv(at: number): readonly string[] {
    if (this.fd === undefined) return [];
    return [
      "--report-on-fatalerror",
      "--report-compact",
      "--report-exclude-network",
      "--report-directory=/proc/self/fd",
      `--report-filename=${at}`,
    ];
  }

  /** Why the runtime of the worker gave up, as far as it has written that. */
  read(pid: number): { readonly outOfMemory: boolean; readonly what: string } | undefined {
    try {
      const text = this.fd === undefined ? this.#readNamed(pid) : beginningOf(this.fd);
      if (text === undefined || text === "") return undefined;
      return { outOfMemory: field(text, "trigger") === "OOMError", what: field(text, "event") };
    } catch {
      return undefined;
    }
  }

  /** The worker has ended. */
  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
  }

  #readNamed(pid: number): string | undefined {
    const folder = this.#folder;
    if (folder === undefined) return undefined;
    const name = readdirSync(folder).find((file) => file.startsWith("report.") && file.includes(`.${pid}.`));
    return name === undefined ? undefined : readFileSync(path.join(folder, name), "utf8");
  }
}

/** A file that goes when nobody has it open any more. */
function unnamedFile(): number | undefined {
  try {
    const file = path.join(tmpdir(), `sluice-report-${randomUUID()}`);
    const fd = openSync(file, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600);
    unlinkSync(file);
    return fd;
  } catch (err) {
    logger("core").warn({ err }, "no file for what a worker reports when it dies; out of memory will be guessed");
    return undefined;
  }
}

function beginningOf(fd: number): string {
  const bytes = Buffer.alloc(MAX_READ_BYTES);
  return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
}

function field(report: string, name: string): string {
  return new RegExp(String.raw`"${name}":\s*"([^"\\]*)"`).exec(report)?.[1] ?? "";
}
