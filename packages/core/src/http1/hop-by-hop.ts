import type { HeaderFields } from "@sluice/http";
import { trimOws } from "./framing.ts";

/**
 * Removes the fields that speak of one connection only, in place: those of RFC 9110, section 7.6.1, and those that
 * `Connection` names. `TE` goes too: the session that sends the message says anew what it can do.
 */
export function removeHopByHop(fields: HeaderFields): void {
  const raw = fields.raw;
  let connection: string | undefined;
  let write = 0;
  for (let read = 0; read < raw.length; read += 2) {
    const name = raw[read]!;
    if (isHopByHop(name)) {
      if (name.length === 10 && name.toLowerCase() === "connection") {
        connection = connection === undefined ? raw[read + 1]! : `${connection},${raw[read + 1]!}`;
      }
      continue;
    }
    if (write !== read) {
      raw[write] = name;
      raw[write + 1] = raw[read + 1]!;
    }
    write += 2;
  }
  raw.length = write;
  if (connection !== undefined && !isPlainOption(connection)) removeNamed(fields, connection);
}

/** The length tells most names apart, so that few are compared at all. */
function isHopByHop(name: string): boolean {
  switch (name.length) {
    case 2:
      return name.toLowerCase() === "te";
    case 7:
      return name.toLowerCase() === "upgrade";
    case 10: {
      const lower = name.toLowerCase();
      return lower === "connection" || lower === "keep-alive";
    }
    case 16:
      return name.toLowerCase() === "proxy-connection";
    case 17:
      return name.toLowerCase() === "transfer-encoding";
    default:
      return false;
  }
}

function isPlainOption(connection: string): boolean {
  return connection === "keep-alive" || connection === "close" || connection === "Keep-Alive";
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
