import { checkOptionNames, checkOptionType } from "../config/known-options.ts";

/** A log line, as data. */
export interface LogRecord {
  /** pino's number: 30 for `info`. */
  readonly level: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The package's, or the application's. */
  readonly name: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface HumanLogOptions {
  /** Default false. */
  readonly colors?: boolean;
  /** The text of a record that has a better one than its message and fields; `undefined` for others. */
  readonly text?: (record: LogRecord) => string | undefined;
}

const LEVELS: Readonly<Record<number, readonly [name: string, color: number]>> = {
  10: ["TRACE", 90],
  20: ["DEBUG", 34],
  30: ["INFO", 32],
  40: ["WARN", 33],
  50: ["ERROR", 31],
  60: ["FATAL", 41],
};

/** From `error` on, stacks are worth their lines. */
const ERROR_LEVEL = 50;

/** Fields that every record has, and that are shown otherwise. */
const SHOWN = new Set(["level", "time", "name", "msg", "err"]);

/** What came from outside may hold what a terminal would obey. */
const UNSAFE = /[^ -~]/g;

/**
 * Turns log lines as they are written into what people read: `[10:46:08.123] INFO: core: stopping {"signal":"SIGTERM"}`.
 * @throws TypeError for an option that is not known or of another type.
 */
export function humanLog(options: HumanLogOptions = {}): (line: string) => string {
  checkOptionNames("humanLog", options, ["colors", "text"]);
  const { colors = false, text } = options;
  checkOptionType("humanLog", "colors", colors, "boolean");
  checkOptionType("humanLog", "text", text, "function");
  return (line) => {
    const record = parsed(line);
    if (record === undefined) return line;
    const [level, color] = LEVELS[record.level] ?? [`LEVEL ${record.level}`, 0];
    const shown = colors ? `\u001B[${color}m${level}\u001B[39;49m` : level;
    return `[${clock(record.time)}] ${shown}: ${text?.(record) ?? textOf(record)}\n`;
  };
}

function parsed(line: string): LogRecord | undefined {
  try {
    return JSON.parse(line) as LogRecord;
  } catch {
    return undefined;
  }
}

function textOf(record: LogRecord): string {
  const fields = Object.entries(record).filter(([name]) => !SHOWN.has(name));
  const { err } = record as { err?: { message?: string; stack?: string } };
  const withStack = record.level >= ERROR_LEVEL && err?.stack !== undefined;
  if (err !== undefined && !withStack) fields.push(["error", err.message ?? err]);
  const rest = fields.length === 0 ? "" : ` ${escaped(JSON.stringify(Object.fromEntries(fields)))}`;
  const stack = withStack
    ? `\n${err
        .stack!.split("\n")
        .map((at) => `    ${escaped(at)}`)
        .join("\n")}`
    : "";
  return `${escaped(record.name)}: ${escaped(record.msg)}${rest}${stack}`;
}

/** Of the day, where this machine is. */
function clock(time: number): string {
  const date = new Date(time);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

function escaped(text: string): string {
  return text.replaceAll(UNSAFE, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x1_00 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
