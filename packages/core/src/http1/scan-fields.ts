import { FieldLines, MAX_FIELD_LINES, UNTIDY } from "@sluice/http";
import { trimOws } from "./framing.ts";
import { CLASS, COLON, CR, FIELD_VALUE, HTAB, LF, OWS, SP, TOKEN } from "./grammar.ts";
import type { HeadLimits } from "./head-limits.ts";
import { knownFieldAt } from "./known-fields.ts";
import { malformed, quoteName } from "./reject.ts";

/** The {@link FieldLines.marks} of one head, in positions of the buffer. Shared: a scan is read out at once. */
const marks: number[] = [];
const MARKS = 5;
let count = 0;

/** Set while a folded value was met; then the text read out needs its folds replaced. */
let folded = false;

/**
 * Where the last scan stopped that did not reach its end: in which line, behind how many fields, and which classes of bytes
 * could follow there without deciding anything. Read at once: scans share it.
 */
export const lastStop: { line: number; fields: number; accepts: number } = { line: 0, fields: 0, accepts: 0 };

/**
 * Scans field lines up to and including the empty line, in one pass over the bytes (RFC 9112, section 5).
 *
 * Strict: CR LF ends a line and nothing else; a name is a token that touches its colon; no control characters. From an
 * origin two old habits are taken, as RFC 9112 asks of a proxy: space before the colon (section 5.1) and line folding
 * (section 5.2). Both leave no trace in what is forwarded.
 * @param fieldsBefore Fields of the same head that stand before `from`, where a line begins.
 * @returns The position after the empty line, or -1 when the end was not reached; then {@link lastStop} says where.
 * @throws ProxyError `InvalidHTTPHeader`; status 431 for too many fields.
 */
export function scanFields(
  buffer: Buffer,
  from: number,
  end: number,
  limits: HeadLimits,
  lenient: boolean,
  fieldsBefore = 0,
): number {
  let at = from;
  count = fieldsBefore;
  folded = false;
  for (;;) {
    if (at >= end) return stop(at, 0);
    let byte = buffer[at]!;
    if (byte === CR) {
      if (at + 1 >= end) return stop(at, 0);
      if (buffer[at + 1] !== LF) throw malformed(`a CR without LF where a field starts`);
      return at + 2;
    }
    const nameStart = at;
    if ((byte === SP || byte === HTAB) && lenient && count > 0) {
      at = scanFold(buffer, at, end);
      if (at < 0) return -1;
      continue;
    }
    if (count === limits.maxFields) throw malformed(`more than ${limits.maxFields} fields`, 431, "too-large");
    while ((CLASS[byte]! & TOKEN) !== 0) {
      if (++at >= end) return stop(nameStart, TOKEN);
      byte = buffer[at]!;
    }
    const nameEnd = at;
    if (lenient && nameEnd > nameStart) {
      while (byte === SP || byte === HTAB) {
        if (++at >= end) return stop(nameStart, OWS);
        byte = buffer[at]!;
      }
    }
    if (byte !== COLON || nameEnd === nameStart) throw invalidName(buffer, nameStart, at, end);
    do {
      if (++at >= end) return stop(nameStart, FIELD_VALUE);
      byte = buffer[at]!;
    } while (byte === SP || byte === HTAB);
    const valueStart = at;
    while ((CLASS[byte]! & FIELD_VALUE) !== 0) {
      if (++at >= end) return stop(nameStart, FIELD_VALUE);
      byte = buffer[at]!;
    }
    const lineEnd = at;
    at = endOfLine(buffer, byte, at, end, nameStart);
    if (at < 0) return -1;
    record(buffer, nameStart, nameEnd, valueStart, lineEnd);
  }
}

/**
 * The fields of the last scan, read out of `text`, which starts at byte `origin`: as lines, or name, value, … where lines
 * cannot say it, because they were folded or are too many.
 */
export function takeFields(text: string, origin: number): FieldLines | string[] {
  if (count <= MAX_FIELD_LINES && !folded) {
    const own = marks.slice(0, count * MARKS);
    if (origin > 0) shift(own, origin);
    return new FieldLines(text, own);
  }
  const raw: string[] = [];
  for (let o = 0; o < count * MARKS; o += MARKS) {
    let value = text.slice(marks[o + 2]! - origin, marks[o + 3]! - origin);
    if (folded) value = unfold(value);
    raw.push(text.slice(marks[o]! - origin, marks[o + 1]! - origin), value);
  }
  return raw;
}

function shift(own: number[], origin: number): void {
  for (let o = 0; o < own.length; o += MARKS) {
    for (let mark = o; mark < o + 4; mark++) own[mark]! -= origin;
  }
}

/** One space in the place of each fold. Split and trimmed: a regular expression takes quadratic time on runs of spaces. */
function unfold(value: string): string {
  const lines = value.split("\r\n");
  if (lines.length === 1) return value;
  return lines
    .map(trimOws)
    .filter((line) => line !== "")
    .join(" ");
}

function record(buffer: Buffer, nameStart: number, nameEnd: number, valueStart: number, lineEnd: number): void {
  const valueEnd = trimEnd(buffer, valueStart, lineEnd);
  const tidy = valueStart === nameEnd + 2 && buffer[nameEnd + 1] === SP && valueEnd === lineEnd;
  const known = knownFieldAt(buffer, nameStart, nameEnd);
  const o = count++ * MARKS;
  marks[o] = nameStart;
  marks[o + 1] = nameEnd;
  marks[o + 2] = valueStart;
  marks[o + 3] = valueEnd;
  marks[o + 4] = tidy ? known : known | UNTIDY;
}

function trimEnd(buffer: Buffer, from: number, end: number): number {
  let last = end;
  while (last > from && (buffer[last - 1] === SP || buffer[last - 1] === HTAB)) last--;
  return last;
}

/** Extends the value of the field before by a continuation line; its text is mended when it is read out. */
function scanFold(buffer: Buffer, from: number, end: number): number {
  let at = from;
  let byte = buffer[at]!;
  while (byte === SP || byte === HTAB) {
    if (++at >= end) return stop(from, FIELD_VALUE);
    byte = buffer[at]!;
  }
  const valueStart = at;
  while ((CLASS[byte]! & FIELD_VALUE) !== 0) {
    if (++at >= end) return stop(from, FIELD_VALUE);
    byte = buffer[at]!;
  }
  const lineEnd = at;
  at = endOfLine(buffer, byte, at, end, from);
  if (at < 0) return at;
  const o = (count - 1) * MARKS;
  // Also a continuation of spaces only stands between this line and the next.
  marks[o + 4]! |= UNTIDY;
  if (lineEnd === valueStart) return at;
  // A value that begins only here has no space before it.
  if (marks[o + 2] === marks[o + 3]) marks[o + 2] = valueStart;
  marks[o + 3] = trimEnd(buffer, valueStart, lineEnd);
  folded = true;
  return at;
}

/** The position after CR LF, of which `byte` at `at` must be the CR; -1 when the LF is yet to come. */
function endOfLine(buffer: Buffer, byte: number, at: number, end: number, lineStart: number): number {
  if (byte !== CR) {
    const what = byte === LF ? "a line ends with LF alone" : `byte 0x${byte.toString(16).padStart(2, "0")} in a value`;
    throw malformed(`${what}: ${quoteName(buffer, lineStart, end)}`);
  }
  if (at + 1 >= end) return stop(lineStart, 0);
  if (buffer[at + 1] !== LF) throw malformed(`a CR without LF in ${quoteName(buffer, lineStart, end)}`);
  return at + 2;
}

function stop(line: number, accepts: number): number {
  lastStop.line = line;
  lastStop.fields = count;
  lastStop.accepts = accepts;
  return -1;
}

function invalidName(buffer: Buffer, nameStart: number, at: number, end: number): Error {
  const byte = buffer[at]!;
  const line = quoteName(buffer, nameStart, end);
  if (at === nameStart && (byte === SP || byte === HTAB)) return malformed(`a folded line behind field ${count}`);
  if (at === nameStart && byte === COLON) return malformed(`a field without a name, behind field ${count}`);
  if (byte === SP || byte === HTAB) return malformed(`space between field name and colon: ${line}`);
  if (byte === CR || byte === LF) return malformed(`a line without a colon: ${line}`);
  return malformed(`byte 0x${byte.toString(16).padStart(2, "0")} in a field name: ${line}`);
}
