import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { logger } from "../log/logger.ts";

/**
 * What the runtime of a worker writes when it gives up: only that tells for sure whether it ran out of memory. The signal is the same
 * for every fault, and a heap may fill within one turn of the event loop, in which a worker can show nothing.
 *
 * Reports hold variables of the environment, so their folder is for this account alone; each is removed when it was read, the
 * folder when this process ends. Who has asked for reports themselves finds them where they wanted them.
 */
export class FatalReports {
  /** What to start a worker with. */
  readonly execArgv: readonly string[];
  readonly #folder: string | undefined;
  readonly #own: boolean;

  constructor() {
    this.#own = !process.report.reportOnFatalError;
    this.#folder = this.#own ? privateFolder() : path.resolve(process.report.directory);
    this.execArgv =
      this.#own && this.#folder !== undefined
        ? [
            "--report-on-fatalerror",
            "--report-compact",
            "--report-exclude-network",
            `--report-directory=${this.#folder}`,
          ]
        : [];
  }

  /** Why the runtime of the process gave up, as far as it has written that. */
  take(pid: number): { readonly outOfMemory: boolean; readonly what: string } | undefined {
    const folder = this.#folder;
    if (folder === undefined) return undefined;
    try {
      const name = readdirSync(folder).find((file) => file.startsWith("report.") && file.includes(`.${pid}.`));
      if (name === undefined) return undefined;
      const file = path.join(folder, name);
      // The beginning says it; the rest may be cut, on a disk that is full.
      const text = readFileSync(file, "utf8");
      if (this.#own) rmSync(file);
      return { outOfMemory: field(text, "trigger") === "OOMError", what: field(text, "event") };
    } catch {
      return undefined;
    }
  }
}

function privateFolder(): string | undefined {
  try {
    const folder = mkdtempSync(path.join(tmpdir(), "sluice-reports-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    return folder;
  } catch (err) {
    logger("core").warn({ err }, "no folder for what workers report when they die; out of memory will be guessed");
    return undefined;
  }
}

function field(report: string, name: string): string {
  return new RegExp(String.raw`"${name}":\s*"([^"\\]*)"`).exec(report)?.[1] ?? "";
}
