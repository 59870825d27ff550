import { ProxyError } from "@sluice/error";
import {
  httpDateNow,
  reasonPhrase,
  UNTIDY,
  type HeaderFields,
  type RequestHeader,
  type ResponseHeader,
} from "@sluice/http";
import {
  CONNECTION,
  CONTENT_LENGTH,
  DATE,
  HOST,
  knownField,
  TAG_MASK,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
} from "./known-fields.ts";

/** How a message on HTTP/1 ends. */
export type BodyFraming = "none" | "content-length" | "chunked" | "until-close";

/**
 * A request head as HTTP/1.1 text (RFC 9112, section 3). Hop-by-hop fields must have left `header`; framing is added here.
 */
export function requestHeadText(header: RequestHeader, framing: BodyFraming): string {
  let text = `${header.method} ${header.target} HTTP/1.1\r\n${fieldsText(header, framing)}`;
  if (framing === "chunked") text += "Transfer-Encoding: chunked\r\n";
  // RFC 9110, sections 7.8 and 10.1.4: whoever sends Upgrade or TE says so in Connection.
  if (sawUpgrade) text += sawTe ? "Connection: upgrade, TE\r\n" : "Connection: upgrade\r\n";
  else if (sawTe) text += "Connection: TE\r\n";
  return `${text}\r\n`;
}

/**
 * To be called behind {@link requestHeadText}, before what it gave is sent: HTTP/1.1 wants exactly one Host (RFC 9112, section 3.2), and of
 * two another one than ours may be believed.
 * @throws ProxyError `InvalidHTTPHeader`.
 */
export function checkHosts(): void {
  if (hosts === 1) return;
  const found = hosts === 0 ? "no Host field" : `${hosts} Host fields`;
  throw ProxyError.internal("InvalidHTTPHeader", `a request with ${found} cannot go up: HTTP/1.1 wants exactly one`);
}

/**
 * A final response head as HTTP/1.1 text (RFC 9112, section 4): always 1.1, whatever the origin spoke, since it tells what
 * we can do (RFC 9110, section 2.5).
 * @param connection The value of the Connection field; `undefined` for none. With an Upgrade it names that, too.
 */
export function responseHeadText(header: ResponseHeader, framing: BodyFraming, connection: string | undefined): string {
  let text = statusLine(header) + fieldsText(header, framing);
  // RFC 9110, section 6.6.1: a date is appended where there is none, and one that is there is left alone.
  if (!sawDate && header.status !== 101) text += `Date: ${httpDateNow()}\r\n`;
  if (framing === "chunked") text += "Transfer-Encoding: chunked\r\n";
  if (sawUpgrade && header.status !== 101) {
    // RFC 9110, section 7.8, as in a request.
    text += `Connection: ${connection === undefined ? "" : `${connection}, `}upgrade\r\n`;
  } else if (connection !== undefined) text += `Connection: ${connection}\r\n`;
  return `${text}\r\n`;
}

/** Status lines with the standard phrase, by status: an origin's answers use few of them. */
const STATUS_LINES: string[] = [];

function statusLine({ status, reason }: ResponseHeader): string {
  if (reason !== reasonPhrase(status)) return `HTTP/1.1 ${status} ${reason}\r\n`;
  return (STATUS_LINES[status] ??= `HTTP/1.1 ${status} ${reason}\r\n`);
}

/** An interim (1xx) head: its fields as they are, no body, nothing added. */
export function informationalHeadText(header: ResponseHeader): string {
  return `HTTP/1.1 ${header.status} ${header.reason}\r\n${fieldsText(header, "none")}\r\n`;
}

/** The end of a chunked body (RFC 9112, section 7.1). */
export function lastChunkText(trailers: HeaderFields | undefined): string {
  return trailers === undefined ? "0\r\n\r\n" : `0\r\n${trailerText(trailers.raw)}\r\n`;
}

/** Whether the fields that {@link fieldsText} wrote last had a Date. Read at once: it saves a second pass. */
let sawDate = false;
/** The same for Upgrade. */
let sawUpgrade = false;
/** The same for TE. */
let sawTe = false;
/** How many of them were Host. */
let hosts = 0;

/**
 * All fields but those that only the session may write. A Content-Length is left out beside chunked: with both, two
 * readers could see two messages (RFC 9112, section 6.3).
 *
 * Tidy lines that stand together are taken in one piece, which is what writing them one by one would give.
 */
function fieldsText(fields: HeaderFields, framing: BodyFraming): string {
  const { lines, added } = fields;
  let text = "";
  sawDate = false;
  sawUpgrade = false;
  sawTe = false;
  hosts = 0;
  if (lines !== undefined) {
    let pieceStart = -1;
    for (let line = 0; line < lines.count; line++) {
      const tag = lines.tag(line);
      const goes = (fields.gone & (1 << line)) === 0 && isWritten(tag & TAG_MASK, framing);
      if (goes && tag < UNTIDY) {
        if (pieceStart < 0) pieceStart = lines.start(line);
        continue;
      }
      if (pieceStart >= 0) text += lines.text.slice(pieceStart, lines.start(line));
      pieceStart = -1;
      if (goes) text += `${lines.name(line)}: ${lines.value(line)}\r\n`;
    }
    if (pieceStart >= 0) text += lines.text.slice(pieceStart, lines.end(lines.count - 1));
  }
  for (let at = 0; at < added.length; at += 2) {
    const name = added[at]!;
    if (isWritten(knownField(name), framing)) text += `${name}: ${added[at + 1]!}\r\n`;
  }
  return text;
}

function isWritten(tag: number, framing: BodyFraming): boolean {
  switch (tag) {
    case HOST:
      hosts++;
      return true;
    case DATE:
      sawDate = true;
      return true;
    case UPGRADE:
      sawUpgrade = true;
      return true;
    case TE:
      sawTe = true;
      return true;
    case CONNECTION:
    case TRANSFER_ENCODING:
      return false;
    case CONTENT_LENGTH:
      return framing !== "chunked";
    default:
      return true;
  }
}

// Fields that frame, route or authorise have no meaning, or a dangerous one, after the body (RFC 9110, section 6.5.1).
const NOT_IN_TRAILERS = new Set([
  "authorization",
  "cache-control",
  "connection",
  "cookie",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "range",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

/** @param lowerName In lower case. */
export function mayBeTrailer(lowerName: string): boolean {
  return !NOT_IN_TRAILERS.has(lowerName);
}

function trailerText(raw: readonly string[]): string {
  let text = "";
  for (let at = 0; at < raw.length; at += 2) {
    if (mayBeTrailer(raw[at]!.toLowerCase())) text += `${raw[at]!}: ${raw[at + 1]!}\r\n`;
  }
  return text;
}
