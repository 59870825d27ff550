import { writeSync } from "node:fs";
import { closeQuietly } from "./close-quietly.ts";
import { humanLog } from "./human-log.ts";
import { logger } from "./logger.ts";
import { openLogSync } from "./open-log.ts";
import { waitSync } from "./wait-sync.ts";

/** What can be opened again when its file was moved away. */
interface Reopenable {
  /** Does not throw: what cannot be opened is told, and stays what it was. */
  reopen(): void;
}

const reopenables = new Set<Reopenable>();

/** From the next line on, log files are those that have their names now; for SIGUSR1, after a rotation. */
export function reopenLogFiles(): void {
  for (const each of reopenables) each.reopen();
}

export function onReopen(each: Reopenable): () => void {
  reopenables.add(each);
  return () => void reopenables.delete(each);
}

/** How long a line waits for whoever reads a pipe that is full. */
const MAX_WAIT_MS = 1000;
const WAIT_STEP_MS = 20;

/**
 * Where lines go that nobody has sent elsewhere: standard error, readable on a terminal; or the file of a daemon. Written at once, so that a crash loses
 * no line.
 *
 * A line that cannot be written, for the disk is full or the terminal was closed, is dropped, since lines that waited would fill the
 * memory; how many were is told when there is room again.
 */
export class StandardLog {
  #fd: number;
  #path: string | undefined = undefined;
  #toText: ((line: string) => string) | undefined = undefined;
  #begun = false;
  #lost = 0;
  /** The last line was written in part. */
  #isCut = false;

  /** @param fd Default: standard error. */
  constructor(fd: number = 2) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (!this.#begun) {
      this.#begun = true;
      // Programs read everything else.
      const isTerminal = this.#path === undefined && process.stderr.isTTY;
      if (isTerminal) this.#toText = humanLog({ colors: process.env["NO_COLOR"] === undefined });
    }
    const text = this.#toText === undefined ? line : this.#toText(line);
    if (!this.#put(this.#isCut ? `\n${text}` : text)) {
      this.#lost++;
      return;
    }
    this.#isCut = false;
    if (this.#lost === 0) return;
    const lost = this.#lost;
    this.#lost = 0;
    logger("core").error({ lost }, "log lines could not be written, and are lost");
  }

  /** @throws Error when the file cannot be opened. */
  toFile(path: string): void {
    this.#fd = openLogSync(path);
    this.#path = path;
    this.#toText = undefined;
    onReopen(this);
  }

  reopen(): void {
    if (this.#path === undefined) return;
    const before = this.#fd;
    try {
      this.#fd = openLogSync(this.#path);
    } catch (err) {
      logger("core").error({ err, path: this.#path }, "the log cannot be opened again; goes on with the file it had");
      return;
    }
    closeQuietly(before);
    this.#isCut = false;
  }

  /** Whether all of it was written. */
  #put(text: string): boolean {
    const bytes = Buffer.from(text);
    let written = 0;
    // Whoever did not read for a second is not waited for again.
    let waitedMs = this.#lost > 0 ? MAX_WAIT_MS : 0;
    while (written < bytes.length) {
      try {
        written += writeSync(this.#fd, bytes, written);
      } catch (error) {
        const isFull = (error as NodeJS.ErrnoException).code === "EAGAIN";
        if (isFull && waitedMs < MAX_WAIT_MS) {
          waitSync(WAIT_STEP_MS);
          waitedMs += WAIT_STEP_MS;
          continue;
        }
        this.#isCut ||= written > 0;
        return false;
      }
    }
    return true;
  }
}

/** The one of this process. */
export const standardLog: StandardLog = new StandardLog();
