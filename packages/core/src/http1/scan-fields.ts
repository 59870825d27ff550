import { trimOws } from "./framing.ts";
import { CLASS, COLON, CR, FIELD_VALUE, HTAB, LF, SP, TOKEN } from "./grammar.ts";
import type { HeadLimits } from "./head-limits.ts";
import { malformed, quoteLine } from "./reject.ts";

/** Room for the fields of one head: name start and end, value start and end. Shared: a scan is read out at once. */
let offsets = new Int32Array(4 * 256);
let count = 0;

/** Set while a folded value was met; then the text read out needs its folds replaced. */
let folded = false;

/**
 * Scans field lines up to and including the empty line, in one pass over the bytes (RFC 9112, section 5).
 *
 * Strict: CR LF ends a line and nothing else; a name is a token that touches its colon; no control characters. From an
 * origin two old habits are taken, as RFC 9112 asks of a proxy: space before the colon (section 5.1) and line folding
 * (section 5.2). Both leave no trace in what is forwarded.
 * @returns The position after the empty line, or -1 when the end was not reached.
 * @throws ProxyError `InvalidHTTPHeader`; status 431 for too many fields.
 */
export function scanFields(buffer: Buffer, from: number, end: number, limits: HeadLimits, lenient: boolean): number {
  let at = from;
  count = 0;
  folded = false;
  for (;;) {
    if (at >= end) return -1;
    let byte = buffer[at]!;
    if (byte === CR) {
      if (at + 1 >= end) return -1;
      if (buffer[at + 1] !== LF) throw malformed(`a CR without LF where a field starts`);
      return at + 2;
    }
    const nameStart = at;
    if ((byte === SP || byte === HTAB) && lenient && count > 0) {
      at = scanFold(buffer, at, end);
      if (at < 0) return -1;
      continue;
    }
    if (count === limits.maxFields) throw malformed(`more than ${limits.maxFields} fields`, 431);
    while ((CLASS[byte]! & TOKEN) !== 0) {
      if (++at >= end) return -1;
      byte = buffer[at]!;
    }
    const nameEnd = at;
    if (lenient && nameEnd > nameStart) {
      while (byte === SP || byte === HTAB) {
        if (++at >= end) return -1;
        byte = buffer[at]!;
      }
    }
    if (byte !== COLON || nameEnd === nameStart) throw invalidName(buffer, nameStart, at, end);
    do {
      if (++at >= end) return -1;
      byte = buffer[at]!;
    } while (byte === SP || byte === HTAB);
    const valueStart = at;
    while ((CLASS[byte]! & FIELD_VALUE) !== 0) {
      if (++at >= end) return -1;
      byte = buffer[at]!;
    }
    const lineEnd = at;
    at = endOfLine(buffer, byte, at, end, nameStart);
    if (at < 0) return -1;
    record(nameStart, nameEnd, valueStart, trimEnd(buffer, valueStart, lineEnd));
  }
}

/** Appends the fields of the last scan to `raw`: name, value, …, as slices of `text`, which starts at byte `origin`. */
export function readFields(text: string, origin: number, raw: string[]): void {
  for (let field = 0; field < count; field++) {
    const o = field * 4;
    let value = text.slice(offsets[o + 2]! - origin, offsets[o + 3]! - origin);
    if (folded) value = unfold(value);
    raw.push(text.slice(offsets[o]! - origin, offsets[o + 1]! - origin), value);
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

function record(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
  const o = count++ * 4;
  if (o === offsets.length) {
    const larger = new Int32Array(offsets.length * 2);
    larger.set(offsets);
    offsets = larger;
  }
  offsets[o] = nameStart;
  offsets[o + 1] = nameEnd;
  offsets[o + 2] = valueStart;
  offsets[o + 3] = valueEnd;
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
    if (++at >= end) return -1;
    byte = buffer[at]!;
  }
  const valueStart = at;
  while ((CLASS[byte]! & FIELD_VALUE) !== 0) {
    if (++at >= end) return -1;
    byte = buffer[at]!;
  }
  const lineEnd = at;
  at = endOfLine(buffer, byte, at, end, from);
  if (at < 0 || lineEnd === valueStart) return at;
  const o = (count - 1) * 4;
  // A value that begins only here has no space before it.
  if (offsets[o + 2] === offsets[o + 3]) offsets[o + 2] = valueStart;
  offsets[o + 3] = trimEnd(buffer, valueStart, lineEnd);
  folded = true;
  return at;
}

/** The position after CR LF, of which `byte` at `at` must be the CR; -1 when the LF is yet to come. */
function endOfLine(buffer: Buffer, byte: number, at: number, end: number, lineStart: number): number {
  if (byte !== CR) {
    const what = byte === LF ? "a line ends with LF alone" : `byte 0x${byte.toString(16).padStart(2, "0")} in a value`;
    throw malformed(`${what}: ${quoteLine(buffer, lineStart, end)}`);
  }
  if (at + 1 >= end) return -1;
  if (buffer[at + 1] !== LF) throw malformed(`a CR without LF in ${quoteLine(buffer, lineStart, end)}`);
  return at + 2;
}

function invalidName(buffer: Buffer, nameStart: number, at: number, end: number): Error {
  const byte = buffer[at]!;
  const line = quoteLine(buffer, nameStart, end);
  if (at === nameStart && (byte === SP || byte === HTAB)) return malformed(`a folded line: ${line}`);
  if (at === nameStart && byte === COLON) return malformed(`a field without a name: ${line}`);
  if (byte === SP || byte === HTAB) return malformed(`space between field name and colon: ${line}`);
  if (byte === CR || byte === LF) return malformed(`a line without a colon: ${line}`);
  return malformed(`byte 0x${byte.toString(16).padStart(2, "0")} in a field name: ${line}`);
}
