import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { InvalidHeaderError, sameName, type FieldLines, type HeaderFields } from "@sluice/http";
import { trimOws } from "../http1/framing.ts";
import { isHopByHop, knownField, TAG_MASK, TE } from "../http1/known-fields.ts";
import { mayBeTrailer } from "../http1/serialize.ts";
import { latin1 } from "../net/latin1.ts";
import type { HeadWriter } from "./connection/head-writer.ts";

/** What a field costs beside its bytes, as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, section 6.5.2). */
const FIELD_OVERHEAD_BYTES = 32;

/** Bytes of a list of names and values as HTTP/2 counts them. */
export function fieldListBytes(list: readonly string[]): number {
  let bytes = list.length * (FIELD_OVERHEAD_BYTES / 2);
  for (const text of list) bytes += text.length;
  return bytes;
}

/**
 * Puts fields at the end of a list as Node takes them: name, value, …, of which it makes the names lower case. Left out are
 * those for which `goes` says no; those that speak of one connection only must be among them (RFC 9113, section 8.2.2).
 * @param goes Is given the tag of the field's name (0 for most) and its value.
 * @throws InvalidHeaderError for a field with a NUL.
 */
export function appendFields(
  list: string[],
  fields: HeaderFields,
  goes: (tag: number, value: string) => boolean,
): void {
  const { lines, added } = fields;
  if (lines !== undefined) {
    for (let line = 0; line < lines.count; line++) {
      if ((fields.gone & (1 << line)) !== 0) continue;
      const tag = lines.tag(line) & TAG_MASK;
      const name = lines.name(line);
      const value = lines.value(line);
      if (tag === 0 ? !isSettings(name) : goes(tag, value)) list.push(name, tag === TE ? "trailers" : value);
    }
  }
  for (let at = 0; at < added.length; at += 2) {
    const name = added[at]!;
    const value = added[at + 1]!;
    const tag = knownField(name);
    // Fields can be put here unchecked, and to Node this is the end of one.
    if (name.includes("\0")) throw new InvalidHeaderError("field name", name, "a name without NUL");
    if (value.includes("\0")) throw new InvalidHeaderError(`value of ${name}`, value, "one without NUL");
    // Node compares TE by case.
    if (goes(tag, value) && !isSettings(name)) list.push(name, tag === TE ? "trailers" : trimmed(value));
  }
}

/**
 * Writes fields in their order, names in lower case. Left out are those for which `goes` says no, as for {@link appendFields}.
 * @param goes Is given the tag of the field's name (0 for most) and its value.
 */
export function writeFields(
  head: HeadWriter,
  fields: HeaderFields,
  goes: (tag: number, value: string) => boolean,
): void {
  const { lines, added } = fields;
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
    if (goes(tag, value) && !isSettings(name)) head.field(lowerName(name), tag === TE ? "trailers" : trimmed(value));
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

/** A list of names and values as nghttp2 takes it from Node: each `name NUL value NUL`, and a character of flags. */
export function fieldBlock(list: readonly string[]): string {
  let block = "";
  for (let at = 0; at < list.length; at += 2) block += `${list[at]!.toLowerCase()}\0${list[at + 1]!}\0\0`;
  return block;
}

/** Whether a field may stand in a message of HTTP/2 (RFC 9113, section 8.2.2). */
export function goesByHttp2(tag: number, value: string): boolean {
  return !isHopByHop(tag) || (tag === TE && value.toLowerCase() === "trailers");
}

/** Fields as Node takes trailers and interim heads; `undefined` if none is left. Names that are equal share an array. */
export function fieldObject(fields: HeaderFields, isTrailers: boolean): Record<string, string | string[]> | undefined {
  const object: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  const { raw } = fields;
  let any = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = trimmed(raw[at + 1]!);
    if (isTrailers ? !mayBeTrailer(name) : !goesByHttp2(knownField(name), value)) continue;
    if (isSettings(name)) continue;
    const before = object[name];
    if (before === undefined) object[name] = value;
    else if (typeof before === "string") object[name] = [before, value];
    else before.push(value);
    any = true;
  }
  return any ? object : undefined;
}

/** `HTTP2-Settings` speaks of one connection, too (RFC 7540, section 3.2.1), and Node throws at it. */
function isSettings(name: string): boolean {
  return name.length === 14 && sameName(name, "http2-settings");
}

/** RFC 9113, section 8.2.1: no space around a value. */
export function trimmed(value: string): string {
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  return first === 0x20 || first === 9 || last === 0x20 || last === 9 ? trimOws(value) : value;
}
