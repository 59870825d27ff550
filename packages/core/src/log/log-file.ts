import { pino } from "pino";
import type { LogDestination } from "./logger.ts";
import { logger } from "./logger.ts";
import { onReopen } from "./log-sinks.ts";

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

const files = new Set<LogFile>();

/**
 * A file for many lines, such as an access log: the caller waits for no disk. Appended to, created if need be; opened again at
 * SIGUSR1, so that it can be rotated. What waits is written when the process ends by itself; a crash of the runtime loses it.
 * Several processes may write to the same file: each writes whole lines.
 */
export class LogFile implements LogDestination {
  readonly path: string;
  readonly #sink: ReturnType<typeof pino.destination>;
  readonly #forget: () => void;
  #dropped = 0;

  /** @throws Error when the file cannot be opened. */
  constructor(path: string, options: LogFileOptions = {}) {
    const { bufferBytes = 16_384, flushMs = 1000, maxBytes = 16 * 1024 * 1024 } = options;
    this.path = path;
    // Opened at once, so that a path that cannot be is an error where it was given; then used without waiting.
    pino.destination({ dest: path, append: true, sync: true }).end();
    this.#sink = pino.destination({
      dest: path,
      append: true,
      sync: false,
      minLength: bufferBytes,
      maxWrite: Math.max(bufferBytes * 2, MAX_WRITE_BYTES),
      periodicFlush: flushMs,
      maxLength: maxBytes,
    });
    this.#sink.on("error", (err: Error) => logger("core").error({ err, path }, "a log file cannot be written"));
    this.#sink.on("drop", () => this.#drop());
    this.#forget = onReopen(this.#sink);
    if (files.size === 0) process.on("exit", flushAll);
    files.add(this);
  }

  /** @param line With its line end. */
  write(line: string): void {
    this.#sink.write(line);
  }

  /** Resolves when what was written so far is in the file. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sink.flush((error) => (error ? reject(error) : resolve()));
    });
  }

  /** Writes what waits, and closes. */
  close(): void {
    this.#forget();
    files.delete(this);
    if (files.size === 0) process.off("exit", flushAll);
    this.#sink.end();
  }

  /** @internal */
  flushSync(): void {
    this.#sink.flushSync();
  }

  #drop(): void {
    this.#dropped++;
    if (this.#dropped > 1) return;
    setTimeout(() => {
      logger("core").error(
        { path: this.path, dropped: this.#dropped },
        "a log file does not keep up; lines were dropped",
      );
      this.#dropped = 0;
    }, 1000).unref();
  }
}

function flushAll(): void {
  for (const file of files) {
    try {
      file.flushSync();
    } catch {
      // It is not open yet, or its disk is full; the process ends.
    }
  }
}
