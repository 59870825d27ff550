import { sameName, type HeaderFields } from "@sluice/http";
import { trimOws } from "./framing.ts";
import { CONNECTION, isHopByHop, knownField, TAG_MASK } from "./known-fields.ts";

/**
 * Removes the fields that speak of one connection only, in place: those of RFC 9110, section 7.6.1, and those that
 * `Connection` names. `TE` goes too: the session that sends the message says anew what it can do.
 */
export function removeHopByHop(fields: HeaderFields): void {
  const { lines, added } = fields;
  let connection: string | undefined;
  if (lines !== undefined) {
    for (let line = 0; line < lines.count; line++) {
      const tag = lines.tag(line) & TAG_MASK;
      if (!isHopByHop(tag) || (fields.gone & (1 << line)) !== 0) continue;
      if (tag === CONNECTION) connection = joined(connection, lines.value(line));
      fields.gone |= 1 << line;
    }
  }
  let write = 0;
  for (let read = 0; read < added.length; read += 2) {
    const tag = knownField(added[read]!);
    if (isHopByHop(tag)) {
      if (tag === CONNECTION) connection = joined(connection, added[read + 1]!);
      continue;
    }
    if (write !== read) {
      added[write] = added[read]!;
      added[write + 1] = added[read + 1]!;
    }
    write += 2;
  }
  if (write !== added.length) added.length = write;
  if (connection !== undefined && !isPlainOption(connection)) removeNamed(fields, connection);
}

function joined(connection: string | undefined, value: string): string {
  return connection === undefined ? value : `${connection},${value}`;
}

function isPlainOption(connection: string): boolean {
  return sameName(connection, "keep-alive") || sameName(connection, "close");
}

// A client must not be able to take these away by naming them (RFC 9110, section 7.6.1: not to be used with Connection).
const KEPT = new Set([
  "host",
  "content-length",
  "content-type",
  "cache-control",
  "authorization",
  "cookie",
  "date",
  "age",
]);

function removeNamed(fields: HeaderFields, connection: string): void {
  const named = new Set<string>();
  for (const option of connection.split(",")) {
    const name = trimOws(option).toLowerCase();
    if (name !== "" && !KEPT.has(name)) named.add(name);
  }
  const raw = fields.raw;
  let write = 0;
  for (let read = 0; read < raw.length; read += 2) {
    if (named.has(raw[read]!.toLowerCase())) continue;
    raw[write] = raw[read]!;
    raw[write + 1] = raw[read + 1]!;
    write += 2;
  }
  raw.length = write;
}
