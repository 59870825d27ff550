import { prettyFactory, type PrettyOptions } from "pino-pretty";
import { ACCESS_MESSAGE, type AccessRecord } from "./access-log.ts";

const ACCESS_FIELDS: Readonly<Record<keyof AccessRecord, true>> = {
  method: true,
  target: true,
  status: true,
  bytes: true,
  ended: true,
  duration_ms: true,
  upstream: true,
  reused: true,
  client: true,
  error: true,
};

/** pino's number for `error`; from there on, stacks are worth their lines. */
const ERROR_LEVEL = 50;

/** A log line as pino writes it. */
interface LogRecord {
  level: number;
  name: string;
  msg: string;
  err?: { message: string };
}

/** Turns one JSON log line into what a person reads on a terminal. */
export function humanLog(options: { colors: boolean }): (line: string) => string {
  const shared: PrettyOptions = { colorize: options.colors, translateTime: "SYS:HH:MM:ss.l", singleLine: true };
  const request = prettyFactory({
    ...shared,
    ignore: ["name", ...Object.keys(ACCESS_FIELDS)].join(","),
    messageFormat: (record) => accessText(record as unknown as AccessRecord),
  });
  const other = prettyFactory({
    ...shared,
    ignore: "name",
    messageFormat: "{name}: {msg}",
    errorLikeObjectKeys: ["err"],
  });
  return (line) => {
    const record = parseRecord(line);
    if (record === undefined) return line;
    return (record.msg === ACCESS_MESSAGE ? request(record) : other(withShortError(record))) ?? line;
  };
}

function parseRecord(line: string): LogRecord | undefined {
  try {
    return JSON.parse(line) as LogRecord;
  } catch {
    return undefined;
  }
}

function withShortError(record: LogRecord): object {
  const { err, ...rest } = record;
  return err === undefined || record.level >= ERROR_LEVEL ? record : { ...rest, error: err.message };
}

/** `GET /hello 200 20 B 1.3 ms <- 127.0.0.1:9101 (reused)`. */
function accessText(record: AccessRecord): string {
  const target = escaped(record.target);
  let text = `${record.method} ${target} ${record.status === 0 ? "-" : record.status} ${record.bytes} B ${record.duration_ms} ms`;
  if (record.upstream !== undefined) text += ` <- ${record.upstream}${record.reused === true ? " (reused)" : ""}`;
  if (record.ended !== undefined) text += ` (${record.ended})`;
  if (record.error !== undefined) text += ` | ${escaped(record.error)}`;
  return text;
}

/** What came from outside may hold bytes that a terminal would obey; each character of it is a byte. */
function escaped(text: string): string {
  return text.replaceAll(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
