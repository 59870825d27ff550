import { write, writeSync } from "node:fs";
import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { MAX_TIMER_MS } from "../net/deadline.ts";
import { closeQuietly } from "./close-quietly.ts";
import { onReopen } from "./log-sinks.ts";
import { logger, type LogDestination } from "./logger.ts";
import { openLog, openLogSync } from "./open-log.ts";
import { waitSync } from "./wait-sync.ts";

export interface LogFileOptions {
  /** Lines are collected up to this size, then written together. Bytes. Default 16,384; 0 writes each line by itself. */
  bufferBytes?: number;
  /** No line waits longer than this. Milliseconds. Default 1000. */
  flushMs?: number;
  /** What may wait for a disk that does not keep up; lines beyond it are dropped, counted and told. Bytes. Default 16 MiB. */
  maxBytes?: number;
}

/** In one call of the system. */
const MAX_WRITE_BYTES = 65_536;

/** How soon it is tried again on a disk that is full, or gone. */
const AGAIN_MS = 1000;

/** The same for a pipe that is full, which is no error. */
const PIPE_AGAIN_MS = 50;

/** How long a pipe that is full is waited for when the process ends. */
const LAST_WAIT_MS = 1000;

const files = new Set<LogFile>();

interface Waiter {
  /** Resolves when so much has been written, since the beginning. */
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * A file for many lines, such as an access log: the caller waits for no disk. Appended to, created if need be; opened again at
 * SIGUSR1, so that it can be rotated. What waits is written when the process ends by itself; a crash of the runtime loses it.
 * Several processes may write to the same file: each writes whole lines.
 *
 * A file that cannot be written, for its disk is full, is tried again each second, and told once; the lines wait, up to
 * `maxBytes`. When the process ends it is tried once more, and what is lost then is told.
 */
export class LogFile implements LogDestination {
  readonly path: string;
  readonly #options: Required<LogFileOptions>;
  readonly #forget: () => void;
  #fd: number;
  /** Opened again, to be used as soon as nothing is being written to the one before. */
  #next: number | undefined = undefined;
  /** Whole lines, each of the list for one call of the system. */
  #chunks: string[] = [];
  #lastChunkBytes = 0;
  /** What the system has taken only in part, or not at all. */
  #rest: Buffer | undefined = undefined;
  /** With the system now. */
  #writing: Buffer | undefined = undefined;
  /** All that was accepted, and all that the system has taken. */
  #acceptedBytes = 0;
  #writtenBytes = 0;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isFailing = false;
  #dropped = 0;
  #isClosed = false;
  #waiters: Waiter[] = [];

  /** @throws Error when the file cannot be opened, TypeError or RangeError for an option that cannot be. */
  constructor(path: string, options: LogFileOptions = {}) {
    if (typeof path !== "string" || path === "") {
      throw new TypeError(`LogFile: expected the path of a file, got ${shown(path)}`);
    }
    this.path = path;
    this.#options = resolveOptions(options);
    this.#fd = openLogSync(path);
    this.#forget = onReopen(this);
    if (files.size === 0) process.on("exit", flushAll);
    files.add(this);
  }

  /**
   * @param line With its line end.
   * @throws Error after {@link close}.
   */
  write(line: string): void {
    if (this.#isClosed) throw new Error(`the log file ${this.path} is closed`);
    const bytes = Buffer.byteLength(line);
    const waiting = this.#waitingBytes + bytes;
    if (waiting > this.#options.maxBytes) {
      this.#drop();
      return;
    }
    this.#acceptedBytes += bytes;
    if (this.#chunks.length === 0 || this.#lastChunkBytes + bytes > MAX_WRITE_BYTES) {
      this.#chunks.push(line);
      this.#lastChunkBytes = bytes;
    } else {
      this.#chunks[this.#chunks.length - 1] += line;
      this.#lastChunkBytes += bytes;
    }
    if (waiting >= this.#options.bufferBytes && !this.#isFailing) this.#writeOut();
    else this.#schedule(this.#options.flushMs);
  }

  /** Resolves when what was written so far is in the file; rejects when it cannot be written now. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ bytes: this.#acceptedBytes, resolve, reject });
      this.#settle();
      this.#writeOut();
    });
  }

  /** Opens the file that has the name now. When it cannot, that is told, and the one that is open is still written to. */
  reopen(): void {
    openLog(this.path, (err, fd) => {
      if (err !== null) {
        logger("core").error(
          { err, path: this.path },
          "a log file cannot be opened again; goes on with the one it had",
        );
      } else if (this.#isClosed) {
        closeQuietly(fd);
      } else {
        if (this.#next !== undefined) closeQuietly(this.#next);
        this.#next = fd;
        if (this.#writing === undefined) this.#useNext();
      }
    });
  }

  /** Writes what waits, and closes. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
    this.#writeOut();
    if (this.#writing === undefined) this.#end();
  }

  /** @internal The process ends: there is no later. */
  flushSync(): void {
    let error: unknown;
    try {
      for (let chunk = this.#take(); chunk !== undefined; chunk = this.#take()) this.#writeSync(chunk);
    } catch (caught) {
      error = caught;
    }
    if (error === undefined && this.#dropped === 0) return;
    const bytes = this.#waitingBytes - (this.#writing?.length ?? 0);
    const fields = { err: error, path: this.path, bytes, dropped: this.#dropped };
    logger("core").error(fields, "the last lines of a log file could not be written");
  }

  get #waitingBytes(): number {
    return this.#acceptedBytes - this.#writtenBytes;
  }

  #schedule(ms: number): void {
    this.#timer ??= setTimeout(() => this.#writeOut(), ms).unref();
  }

  /** What is to be written next; it counts as not written yet. */
  #take(): Buffer | undefined {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) return rest;
    const chunk = this.#chunks.shift();
    return chunk === undefined ? undefined : Buffer.from(chunk);
  }

  #writeOut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing !== undefined) return;
    const chunk = this.#take();
    if (chunk === undefined) return;
    this.#writing = chunk;
    write(this.#fd, chunk, (error, bytes) => {
      this.#writing = undefined;
      if (error === null) this.#onWritten(chunk, bytes);
      else this.#onFailed(chunk, error);
    });
  }

  #onWritten(chunk: Buffer, bytes: number): void {
    this.#writtenBytes += bytes;
    if (bytes < chunk.length) this.#rest = chunk.subarray(bytes);
    // A line that has begun in one file ends there.
    else this.#useNext();
    if (this.#isFailing) this.#recovered();
    this.#settle();
    const { bufferBytes, flushMs } = this.#options;
    if (this.#rest !== undefined || this.#waitingBytes >= Math.max(bufferBytes, 1)) this.#writeOut();
    else if (this.#isClosed || this.#waiters.length > 0) this.#writeOut();
    else if (this.#waitingBytes > 0) this.#schedule(flushMs);
    if (this.#isClosed && this.#writing === undefined) this.#end();
  }

  #onFailed(chunk: Buffer, error: NodeJS.ErrnoException): void {
    this.#rest = chunk;
    this.#useNext();
    if (error.code === "EAGAIN" && !this.#isClosed) {
      this.#schedule(PIPE_AGAIN_MS);
      return;
    }
    if (!this.#isFailing) logger("core").error({ err: error, path: this.path }, "a log file cannot be written");
    this.#isFailing = true;
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    if (this.#isClosed) this.#end();
    else this.#schedule(AGAIN_MS);
  }

  #recovered(): void {
    this.#isFailing = false;
    logger("core").info({ path: this.path, dropped: this.#dropped }, "a log file can be written again");
    this.#dropped = 0;
  }

  #drop(): void {
    this.#dropped++;
    // Of one that cannot be written it is told when it can be again.
    if (this.#dropped > 1 || this.#isFailing) return;
    setTimeout(() => {
      if (this.#dropped === 0) return;
      const fields = { path: this.path, dropped: this.#dropped };
      logger("core").error(fields, "a log file does not keep up; lines were dropped");
      this.#dropped = 0;
    }, 1000).unref();
  }

  #useNext(): void {
    if (this.#next === undefined) return;
    closeQuietly(this.#fd);
    this.#fd = this.#next;
    this.#next = undefined;
  }

  #settle(): void {
    const isDone = ({ bytes }: Waiter): boolean => bytes <= this.#writtenBytes;
    for (const { resolve } of this.#waiters.filter(isDone)) resolve();
    this.#waiters = this.#waiters.filter((waiter) => !isDone(waiter));
  }

  #writeSync(chunk: Buffer): void {
    let rest = chunk;
    let waitedMs = 0;
    while (rest.length > 0) {
      try {
        const bytes = writeSync(this.#fd, rest);
        this.#writtenBytes += bytes;
        rest = rest.subarray(bytes);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || waitedMs >= LAST_WAIT_MS) throw error;
        waitSync(PIPE_AGAIN_MS);
        waitedMs += PIPE_AGAIN_MS;
      }
    }
  }

  #end(): void {
    if (!files.delete(this)) return;
    if (files.size === 0) process.off("exit", flushAll);
    clearTimeout(this.#timer);
    if (this.#waitingBytes > 0) this.flushSync();
    this.#useNext();
    closeQuietly(this.#fd);
  }
}

const DEFAULTS: Required<LogFileOptions> = { bufferBytes: 16_384, flushMs: 1000, maxBytes: 16 * 1024 * 1024 };

function resolveOptions(given: LogFileOptions): Required<LogFileOptions> {
  checkOptionNames("LogFile", given, Object.keys(DEFAULTS));
  const options = { ...DEFAULTS };
  for (const name of ["bufferBytes", "flushMs", "maxBytes"] as const) {
    const value: unknown = given[name];
    if (value === undefined) continue;
    // Later than this a timer fires at once.
    const most = name === "flushMs" ? MAX_TIMER_MS : Number.POSITIVE_INFINITY;
    if (typeof value !== "number" || !(value >= 0 && value <= most)) {
      const range = name === "flushMs" ? `from 0 to ${most}` : "of at least 0";
      throw new RangeError(`LogFile: ${name}: expected a number ${range}, got ${shown(value)}`);
    }
    options[name] = value;
  }
  return options;
}

function flushAll(): void {
  for (const file of files) file.flushSync();
}
