import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { sameName, type FieldLines, type HeaderFields } from "@sluice/http";
import { trimOws } from "../http1/framing.ts";
import { isHopByHop, knownField, TAG_MASK, TE } from "../http1/known-fields.ts";
import { mayBeTrailer } from "../http1/serialize.ts";
import { latin1 } from "../net/latin1.ts";

/** Where fields are written to. */
export interface FieldWriter {
  /**
   * @param name In lower case.
   * @param neverIndex Keep it out of every compression table (RFC 7541, section 7.1.3).
   */
  field(name: string, value: string, neverIndex?: boolean): void;
}

/**
 * Writes fields in their order, names in lower case. Left out are those for which `goes` says no, those that speak of one connection only
 * must be among them (RFC 9113, section 8.2.2).
 * @param goes Is given the tag of the field's name (0 for most) and its value.
 */
export function writeFields(
  head: FieldWriter,
  fields: HeaderFields,
  goes: (tag: number, value: string) => boolean,
): void {
  const { lines, added, neverIndexed } = fields;
  if (lines !== undefined) {
    for (let line = 0; line < lines.count; line++) {
      if ((fields.gone & (1 << line)) !== 0) continue;
      const tag = lines.tag(line) & TAG_MASK;
      const name = lowerNameAt(lines, line);
      const value = lines.value(line);
      if (tag === 0 ? name !== "http2-settings" : goes(tag, value)) head.field(name, tag === TE ? "trailers" : value);
    }
  }
  for (let at = 0; at < added.length; at += 2) {
    const name = added[at]!;
    const value = added[at + 1]!;
    const tag = knownField(name);
    if (!goes(tag, value) || isSettings(name)) continue;
    const lower = lowerName(name);
    head.field(lower, tag === TE ? "trailers" : trimmed(value), neverIndexed?.has(lower));
  }
}

/** Whether any of the fields may stand behind a body. */
export function hasTrailers(fields: HeaderFields): boolean {
  const { raw } = fields;
  for (let at = 0; at < raw.length; at += 2) {
    if (mayBeTrailer(raw[at]!.toLowerCase())) return true;
  }
  return false;
}

/** Those that may. */
export function writeTrailers(head: FieldWriter, fields: HeaderFields): void {
  const { raw, neverIndexed } = fields;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (mayBeTrailer(name)) head.field(name, trimmed(raw[at + 1]!), neverIndexed?.has(name));
  }
}

/**
 * The names that stood last at each place of a head, as spelt and in lower case: heads of an origin have the same names in the same
 * places mostly, and to compare costs a tenth of cutting a name out and looking it up (1 µs for a head of nine fields).
 */
const SPELT: string[] = [];
const LOWER: string[] = [];

function lowerNameAt(lines: FieldLines, line: number): string {
  const spelt = SPELT[line];
  if (spelt !== undefined && lines.isSpelt(line, spelt)) return LOWER[line]!;
  const name = lines.name(line);
  const lower = lowerName(name);
  if (name.length <= MAX_NAME_CHARS) {
    SPELT[line] = ownText(name);
    LOWER[line] = lower;
  }
  return lower;
}

/** What was cut out of a head would keep all of it. */
function ownText(text: string): string {
  return latin1(Buffer.from(text, "latin1"), 0, text.length);
}

/** Names by their spelling: there are few, and each is the same string again and again, whose hash is known. */
const LOWER_NAMES = new Map<string, string>();
const MAX_LOWER_NAMES = 500;
const MAX_NAME_CHARS = 60;

function lowerName(name: string): string {
  const known = LOWER_NAMES.get(name);
  if (known !== undefined) return known;
  const lower = ownText(name.toLowerCase());
  if (LOWER_NAMES.size < MAX_LOWER_NAMES && name.length <= MAX_NAME_CHARS) {
    LOWER_NAMES.set(ownText(name), lower);
  }
  return lower;
}

/** Whether a field may stand in a message of HTTP/2 (RFC 9113, section 8.2.2). */
export function goesByHttp2(tag: number, value: string): boolean {
  return !isHopByHop(tag) || (tag === TE && value.toLowerCase() === "trailers");
}

/** `HTTP2-Settings` speaks of one connection, too (RFC 7540, section 3.2.1). */
function isSettings(name: string): boolean {
  return name.length === 14 && sameName(name, "http2-settings");
}

/** RFC 9113, section 8.2.1: no space around a value. */
function trimmed(value: string): string {
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  return first === 0x20 || first === 9 || last === 0x20 || last === 9 ? trimOws(value) : value;
}
