import { RequestHeader, ResponseHeader, reasonPhrase, type HttpVersion } from "@sluice/http";
import { latin1 } from "../net/latin1.ts";
import { CLASS, CR, DIGIT, FIELD_VALUE, LF, SP, TARGET, TOKEN } from "./grammar.ts";
import type { HeadLimits } from "./head-limits.ts";
import type { PartialHead } from "./partial-head.ts";
import { malformed, quoteLine } from "./reject.ts";
import { scanFields, takeFields } from "./scan-fields.ts";

/** Empty lines that may stand before a request line (RFC 9112, section 2.2 asks for at least one). */
const MAX_EMPTY_LINES = 4;

/** The first byte of a client that speaks TLS (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;

/** Where the head ended that {@link parseRequestHead} or {@link parseResponseHead} returned last. */
let headEnd = 0;

/** The position after the head that was parsed last. Read at once: parsers share it, which saves an object a head. */
export function lastHeadEnd(): number {
  return headEnd;
}

/**
 * Parses a request head in one pass (RFC 9112, sections 3 and 5).
 * @param partial Kept from one call to the next while the head is not complete; without it all is looked at each time.
 * @returns `undefined` when the head is not complete yet.
 * @throws ProxyError `InvalidHTTPHeader` with the status to answer: 400, 414, 431 or 505.
 */
export function parseRequestHead(
  buffer: Buffer,
  from: number,
  arrived: number,
  limits: HeadLimits,
  partial?: PartialHead,
): RequestHeader | undefined {
  if (partial?.isStillPartial(buffer, from, arrived, limits.maxHeadBytes, limits, false)) return undefined;
  const lineStart = skipEmptyLines(buffer, from, arrived);
  // A byte beyond the limit is not looked at, so that what is said of a head does not depend on how much of it came.
  const end = Math.min(arrived, lineStart + limits.maxHeadBytes + 1);
  let at = lineStart;
  while (at < end && (CLASS[buffer[at]!]! & TOKEN) !== 0) at++;
  const methodEnd = at;
  if (at >= end) {
    partial?.stoppedInStartLine(from, arrived, at > lineStart ? TOKEN : 0);
    return incomplete(lineStart, at, limits, 400);
  }
  if (buffer[lineStart] === TLS_HANDSHAKE) throw malformed("a TLS handshake instead of a request", 400, "tls-spoken");
  if (methodEnd === lineStart || buffer[at] !== SP) throw malformed(`no method: ${quoteLine(buffer, lineStart, end)}`);
  const targetStart = ++at;
  while (at < end && (CLASS[buffer[at]!]! & TARGET) !== 0) at++;
  const targetEnd = at;
  if (at >= end || at - lineStart > limits.maxHeadBytes) {
    partial?.stoppedInStartLine(from, arrived, TARGET);
    return incomplete(lineStart, at, limits, 414);
  }
  if (targetEnd === targetStart || buffer[at] !== SP) {
    throw malformed(`no target, or a byte in it that cannot be: ${quoteLine(buffer, lineStart, end)}`);
  }
  at++;
  if (at + 10 > end) {
    for (let rest = at; rest < end; rest++) {
      if (buffer[rest] !== LF) continue;
      if (rest >= at + 8 && readVersion(buffer, at) !== undefined) throw untidyEnd(buffer, lineStart, end);
      throw unknownVersion(buffer, at, lineStart, end);
    }
    partial?.stoppedInStartLine(from, arrived, 0);
    return incomplete(lineStart, end, limits, 414);
  }
  const version = readVersion(buffer, at);
  if (version === undefined) throw unknownVersion(buffer, at, lineStart, end);
  if (buffer[at + 8] !== CR || buffer[at + 9] !== LF) {
    throw untidyEnd(buffer, lineStart, end);
  }
  const fieldsEnd = scanFields(buffer, at + 10, end, limits, false);
  if (fieldsEnd < 0) {
    partial?.stoppedInFields(from, arrived);
    return incomplete(lineStart, end, limits, 431);
  }
  if (fieldsEnd - lineStart > limits.maxHeadBytes) throw tooLarge(limits, 431);
  const text = latin1(buffer, lineStart, fieldsEnd);
  headEnd = fieldsEnd;
  const method = text.startsWith("GET ") ? "GET" : text.slice(0, methodEnd - lineStart);
  const target = text.slice(targetStart - lineStart, targetEnd - lineStart);
  return new RequestHeader(method, target, version, takeFields(text, lineStart));
}

/**
 * Parses a response head in one pass (RFC 9112, sections 4 and 5), taking the old habits that {@link scanFields} names,
 * and a status line that ends after the status.
 * @param partial As for {@link parseRequestHead}.
 * @returns `undefined` when the head is not complete yet.
 * @throws ProxyError `InvalidHTTPHeader`.
 */
export function parseResponseHead(
  buffer: Buffer,
  from: number,
  arrived: number,
  limits: HeadLimits,
  partial?: PartialHead,
): ResponseHeader | undefined {
  if (partial?.isStillPartial(buffer, from, arrived, limits.maxHeadBytes, limits, true)) return undefined;
  const end = Math.min(arrived, from + limits.maxHeadBytes + 1);
  if (from + 13 > end) {
    // Even before a whole status line is there, a peer that does not speak HTTP can be told by its first bytes.
    checkPrefix(buffer, from, end);
    partial?.stoppedInStartLine(from, arrived, 0);
    return incomplete(from, end, limits, 431);
  }
  const version = readVersion(buffer, from);
  if (version === undefined) throw malformed(`no HTTP/1 status line: ${quoteLine(buffer, from, end)}`, 400, "not-http");
  const status = readStatus(buffer, from + 8);
  let at = from + 12;
  const after = buffer[at]!;
  if (status < 100 || (after !== SP && after !== CR)) {
    throw malformed(`no status in the status line: ${quoteLine(buffer, from, end)}`);
  }
  if (after === SP) at++;
  const reasonStart = at;
  while (at < end && (CLASS[buffer[at]!]! & FIELD_VALUE) !== 0) at++;
  const reasonEnd = at;
  if (at + 1 >= end) {
    partial?.stoppedInStartLine(from, arrived, at >= end ? FIELD_VALUE : 0);
    return incomplete(from, at, limits, 431);
  }
  if (buffer[at] !== CR || buffer[at + 1] !== LF) {
    throw malformed(`a status line that does not end in CR LF: ${quoteLine(buffer, from, end)}`);
  }
  const fieldsEnd = scanFields(buffer, at + 2, end, limits, true);
  if (fieldsEnd < 0) {
    partial?.stoppedInFields(from, arrived);
    return incomplete(from, end, limits, 431);
  }
  if (fieldsEnd - from > limits.maxHeadBytes) throw tooLarge(limits, 431);
  const text = latin1(buffer, from, fieldsEnd);
  headEnd = fieldsEnd;
  const usual = reasonPhrase(status);
  const isUsual = reasonEnd - reasonStart === usual.length && text.startsWith(usual, reasonStart - from);
  const reason = isUsual ? undefined : text.slice(reasonStart - from, reasonEnd - from);
  return new ResponseHeader(status, reason, version, takeFields(text, from));
}

function skipEmptyLines(buffer: Buffer, from: number, end: number): number {
  let at = from;
  while (at + 1 < end && buffer[at] === CR && buffer[at + 1] === LF) {
    at += 2;
    if (at - from > 2 * MAX_EMPTY_LINES) throw malformed(`more than ${MAX_EMPTY_LINES} empty lines before a request`);
  }
  if (at < end && buffer[at] === CR && at + 1 === end) return end;
  return at;
}

/** `HTTP/1.` and a digit, compared as numbers: it costs less than making a string. */
function readVersion(buffer: Buffer, at: number): HttpVersion | undefined {
  const isHttp1 =
    buffer[at] === 0x48 &&
    buffer[at + 1] === 0x54 &&
    buffer[at + 2] === 0x54 &&
    buffer[at + 3] === 0x50 &&
    buffer[at + 4] === 0x2f &&
    buffer[at + 5] === 0x31 &&
    buffer[at + 6] === 0x2e;
  if (!isHttp1) return undefined;
  if (buffer[at + 7] === 0x31) return "1.1";
  return buffer[at + 7] === 0x30 ? "1.0" : undefined;
}

/** SP and three digits; 0 when they are not there. */
function readStatus(buffer: Buffer, at: number): number {
  if (buffer[at] !== SP) return 0;
  let status = 0;
  for (let digit = at + 1; digit <= at + 3; digit++) {
    if ((CLASS[buffer[digit]!]! & DIGIT) === 0) return 0;
    status = status * 10 + buffer[digit]! - 0x30;
  }
  return status;
}

function incomplete(from: number, at: number, limits: HeadLimits, status: number): undefined {
  if (at - from > limits.maxHeadBytes) throw tooLarge(limits, status);
  return undefined;
}

function tooLarge(limits: HeadLimits, status: number): Error {
  return malformed(`a head of more than ${limits.maxHeadBytes} bytes`, status, "too-large");
}

function untidyEnd(buffer: Buffer, lineStart: number, end: number): Error {
  return malformed(`a request line that does not end after its version: ${quoteLine(buffer, lineStart, end)}`);
}

function unknownVersion(buffer: Buffer, at: number, lineStart: number, end: number): Error {
  const line = quoteLine(buffer, lineStart, end);
  const looksLikeHttp = /^HTTP\/\d\.\d/.test(latin1(buffer, at, Math.min(at + 8, end)));
  return looksLikeHttp
    ? malformed(`a version that is not HTTP/1: ${line}`, 505)
    : malformed(`no HTTP version: ${line}`);
}

function checkPrefix(buffer: Buffer, from: number, end: number): void {
  const expected = "HTTP/1.";
  const start = latin1(buffer, from, Math.min(end, from + expected.length));
  if (!expected.startsWith(start))
    throw malformed(`no HTTP/1 status line: ${quoteLine(buffer, from, end)}`, 400, "not-http");
}
