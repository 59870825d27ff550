import type { HeaderFields } from "./header-fields.ts";

// Names from HTTP/2 arrive in lower case. Old HTTP/1 clients compare these by case; the list is Pingora's.
const TITLED: ReadonlyMap<string, string> = new Map(
  [
    "Accept-Ranges",
    "Age",
    "Cache-Control",
    "Connection",
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "Date",
    "Transfer-Encoding",
    "Host",
    "Server",
    "Set-Cookie",
  ].map((name) => [name.toLowerCase(), name]),
);

/** `Name: value CR LF` for every field, spelt as it is, without the empty line at the end (RFC 9112, section 5). */
export function fieldsToH1(fields: HeaderFields): string {
  const raw = fields.raw;
  let text = "";
  for (let at = 0; at < raw.length; at += 2) {
    text += `${raw[at] as string}: ${raw[at + 1] as string}\r\n`;
  }
  return text;
}

/** The usual HTTP/1 spelling of a lower-case name that came over HTTP/2: titled for twelve old names, else as it is. */
export function titledName(lowerName: string): string {
  return TITLED.get(lowerName) ?? lowerName;
}
