import { humanLog as humanLogOf } from "@sluice/core";
import { ACCESS_MESSAGE, type AccessRecord } from "./access-log.ts";

/** Turns one JSON log line into what a person reads on a terminal. */
export function humanLog(options: { colors: boolean }): (line: string) => string {
  return humanLogOf({
    colors: options.colors,
    text: (record) => (record.msg === ACCESS_MESSAGE ? accessText(record as unknown as AccessRecord) : undefined),
  });
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
