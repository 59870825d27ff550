import { ProxyError } from "@sluice/error";
import { pino, stdSerializers, type DestinationStream, type Logger as PinoLogger } from "pino";
import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { standardLog } from "./log-sinks.ts";
import { parseLogLevels, type LogLevel, type LogLevels } from "./levels.ts";

/**
 * One package's logger. Fields first, then a short constant message: `log.warn({ peer, err }, "connect failed")`.
 * An `err` field is printed with its type, message and stack.
 */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
  isLevelEnabled(level: LogLevel): boolean;
}

/** Where log lines go; one JSON line a call. */
export interface LogDestination {
  write(line: string): void;
}

export interface LogOptions {
  /** As in `SLUICE_LOG`: `info,proxy=trace`. Default: that variable, else `info`. */
  levels?: string;
  /** Default: standard error, on a terminal as {@link humanLog} shows it, or the `error_log` of a daemon; written at once, so that a crash loses no line. */
  destination?: LogDestination;
}

let root: PinoLogger | undefined;
let levels: LogLevels = { default: "info", byPackage: new Map() };
const loggers = new Map<string, PinoLogger>();
const facades = new Map<string, Logger>();

/**
 * Sets levels and destination for all packages, also for loggers already handed out. Without a call, the environment
 * decides at the first line.
 * @throws RangeError when the levels cannot be read, TypeError for an option that is not known or of another type.
 */
export function configureLogs(options: LogOptions = {}): void {
  checkOptionNames("configureLogs", options, ["levels", "destination"]);
  checkOptionType("configureLogs", "levels", options.levels, "string");
  if (options.destination !== undefined && typeof options.destination?.write !== "function") {
    throw new TypeError(
      `configureLogs: destination: expected an object with write(), got ${shown(options.destination)}`,
    );
  }
  levels = parseLogLevels(options.levels ?? process.env["SLUICE_LOG"] ?? "");
  const destination: DestinationStream = options.destination ?? standardLog;
  root = pino({ level: "trace", base: null, serializers: { err: serializeError } }, destination);
  loggers.clear();
}

/** An error of ours has its whole chain in its message; a stack says something only where the fault is in code. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof ProxyError)) return stdSerializers.err(error as Error);
  const { type, source, message } = error;
  const stack = source === "internal" ? error.causeStack() : undefined;
  return { type, source, message, ...(stack !== undefined && { stack }) };
}

/** The logger of a package (or of an application, under a name of its own). The same object for the same name. */
export function logger(name: string): Logger {
  let facade = facades.get(name);
  if (facade === undefined) {
    facade = new PackageLogger(name);
    facades.set(name, facade);
  }
  return facade;
}

class PackageLogger implements Logger {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  trace(fields: object, message: string): void {
    this.#pino().trace(fields, message);
  }
  debug(fields: object, message: string): void {
    this.#pino().debug(fields, message);
  }
  info(fields: object, message: string): void {
    this.#pino().info(fields, message);
  }
  warn(fields: object, message: string): void {
    this.#pino().warn(fields, message);
  }
  error(fields: object, message: string): void {
    this.#pino().error(fields, message);
  }
  fatal(fields: object, message: string): void {
    this.#pino().fatal(fields, message);
  }
  isLevelEnabled(level: LogLevel): boolean {
    return this.#pino().isLevelEnabled(level);
  }

  #pino(): PinoLogger {
    let own = loggers.get(this.#name);
    if (own === undefined) {
      if (root === undefined) configureLogs();
      const level = levels.byPackage.get(this.#name) ?? levels.default;
      own = (root as PinoLogger).child({ name: this.#name }, { level });
      loggers.set(this.#name, own);
    }
    return own;
  }
}
