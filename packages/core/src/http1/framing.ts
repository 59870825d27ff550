import { sameName, type HeaderFields } from "@sluice/http";
import { HTAB, SP } from "./grammar.ts";
import {
  CONNECTION,
  CONTENT_LENGTH,
  EXPECT,
  HOST,
  KEEP_ALIVE,
  knownField,
  TAG_MASK,
  TRANSFER_ENCODING,
  UPGRADE,
} from "./known-fields.ts";
import { malformed } from "./reject.ts";

/**
 * What the fields of one head say about where the message ends and whether the connection goes on: RFC 9112, sections 6
 * and 9. One object a connection, filled anew for every head.
 */
export class Framing {
  /** Of the one Content-Length; -1 if there is none. */
  contentLength = -1;
  /** Chunked is the one transfer coding. */
  chunked = false;
  /** Connection names `close`. */
  close = false;
  /** Connection names `keep-alive`. */
  keepAlive = false;
  /** Connection names `upgrade`. */
  connectionUpgrade = false;
  /** The value of Upgrade, its lines joined; `undefined` without one. */
  upgrade: string | undefined = undefined;
  /** Expect asks for something else than `100-continue`. */
  unknownExpectation = false;
  /** The number of Host fields. */
  hosts = 0;
  /** The value of the last of them, if there is one. */
  host = "";
  /** `Keep-Alive: timeout=` in seconds; -1 if there is none. */
  keepAliveTimeoutSeconds = -1;
  #transferEncoding: string | undefined = undefined;
  #contentLengths = 0;
  /** Of the last Content-Length; -1 if it is none. */
  #length = -1;
  /** The last that was none. */
  #noLength = "";

  /**
   * Reads the fields of a head.
   * @throws ProxyError `InvalidHTTPHeader` for contradicting or unreadable Content-Length, or a transfer coding that is not
   * exactly chunked (status 501 when it is chunked after another one, RFC 9112 section 6.1).
   */
  read(fields: HeaderFields): void {
    this.#reset();
    const { lines, added } = fields;
    if (lines !== undefined) {
      for (let line = 0; line < lines.count; line++) {
        const tag = lines.tag(line) & TAG_MASK;
        if (tag !== 0 && (fields.gone & (1 << line)) === 0) this.#take(tag, lines.value(line));
      }
    }
    for (let at = 0; at < added.length; at += 2) {
      const tag = knownField(added[at]!);
      if (tag !== 0) this.#take(tag, added[at + 1]!);
    }
    if (this.#transferEncoding !== undefined) this.chunked = isChunked(this.#transferEncoding);
    else if (this.#contentLengths > 0) this.contentLength = this.#readContentLength();
  }

  #take(tag: number, value: string): void {
    switch (tag) {
      case HOST:
        this.hosts++;
        // Mostly it is the one of before; to store a new string in an old object costs the garbage collector 0.1 µs.
        if (value !== this.host) this.host = value;
        break;
      case EXPECT:
        if (value.toLowerCase() !== "100-continue") this.unknownExpectation = true;
        break;
      case UPGRADE:
        this.upgrade = this.upgrade === undefined ? value : `${this.upgrade}, ${value}`;
        break;
      case CONNECTION:
        this.#addConnection(value);
        break;
      case KEEP_ALIVE:
        this.#readKeepAlive(value);
        break;
      case CONTENT_LENGTH:
        this.#contentLengths++;
        this.#length = parseLength(value);
        if (this.#length < 0) this.#noLength = value;
        break;
      case TRANSFER_ENCODING:
        this.#transferEncoding = this.#transferEncoding === undefined ? value : `${this.#transferEncoding},${value}`;
        break;
      default:
    }
  }

  /** A Transfer-Encoding field is there; Content-Length is not looked at then (RFC 9112, section 6.3). */
  get hasTransferEncoding(): boolean {
    return this.#transferEncoding !== undefined;
  }

  /** Both Transfer-Encoding and Content-Length are there: an attempt at smuggling, or a broken peer. */
  get contradictory(): boolean {
    return this.#transferEncoding !== undefined && this.#contentLengths > 0;
  }

  #reset(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.connectionUpgrade = false;
    this.upgrade = undefined;
    this.unknownExpectation = false;
    this.hosts = 0;
    this.keepAliveTimeoutSeconds = -1;
    this.#transferEncoding = undefined;
    this.#contentLengths = 0;
  }

  #addConnection(value: string): void {
    if (sameName(value, "keep-alive")) this.keepAlive = true;
    else if (sameName(value, "close")) this.close = true;
    else {
      for (const option of value.toLowerCase().split(",")) {
        const name = trimOws(option);
        if (name === "close") this.close = true;
        else if (name === "keep-alive") this.keepAlive = true;
        else if (name === "upgrade") this.connectionUpgrade = true;
      }
    }
  }

  #readKeepAlive(value: string): void {
    const match = /(?:^|[,\s])timeout\s*=\s*(\d{1,9})\s*(?:,|$)/i.exec(value);
    if (match) this.keepAliveTimeoutSeconds = Number(match[1]);
  }

  #readContentLength(): number {
    if (this.#contentLengths > 1) throw malformed("more than one Content-Length");
    if (this.#length >= 0) return this.#length;
    throw malformed(`Content-Length ${JSON.stringify(this.#noLength.slice(0, 40))} is no length`);
  }
}

/**
 * A Content-Length value (RFC 9110, section 8.6): digits and nothing else, up to 2^53-1; -1 for anything else.
 */
export function parseLength(text: string): number {
  const digits = text.length;
  if (digits === 0 || digits > 16) return -1;
  let value = 0;
  for (let at = 0; at < digits; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value > Number.MAX_SAFE_INTEGER ? -1 : value;
}

/** Without SP and HTAB around it; what else JavaScript takes for space is none in HTTP (RFC 9110, section 5.6.3). */
export function trimOws(text: string): string {
  // No regular expression: `[ \t]+$` takes quadratic time on spaces in the middle, and a client decides how many there are.
  let from = 0;
  let end = text.length;
  while (from < end && isOws(text.charCodeAt(from))) from++;
  while (end > from && isOws(text.charCodeAt(end - 1))) end--;
  return text.slice(from, end);
}

function isOws(code: number): boolean {
  return code === SP || code === HTAB;
}

/** @throws ProxyError unless the codings are exactly `chunked`; empty list elements count for nothing. */
function isChunked(codings: string): boolean {
  if (codings.length === 7 && codings.toLowerCase() === "chunked") return true;
  const names = codings
    .toLowerCase()
    .split(",")
    .map(trimOws)
    .filter((name) => name !== "");
  if (names.length === 1 && names[0] === "chunked") return true;
  const shown = JSON.stringify(codings.slice(0, 40));
  if (names.at(-1) !== "chunked") throw malformed(`Transfer-Encoding ${shown} does not end in chunked`);
  if (names.indexOf("chunked") < names.length - 1) throw malformed(`Transfer-Encoding ${shown} names chunked twice`);
  throw malformed(`Transfer-Encoding ${shown} has a coding that is not understood`, 501, "unknown-coding");
}
