import { ProxyError, type ErrorDetail } from "@sluice/error";
import { latin1 } from "../net/latin1.ts";

const QUOTED_BYTES = 60;

/**
 * A head or body that breaks the protocol: an `InvalidHTTPHeader` error, source unset until the side is known.
 * @param status What RFC 9110 and 9112 ask to answer when it was a request; 400 unless they say otherwise.
 */
export function malformed(context: string, status = 400, detail?: ErrorDetail): ProxyError {
  return new ProxyError("InvalidHTTPHeader", { context, status, ...(detail !== undefined && { detail }) });
}

/** The start of the line in which something is wrong, printable, for the log. */
export function quoteLine(buffer: Buffer, from: number, end: number): string {
  const text = latin1(buffer, from, Math.min(end, from + QUOTED_BYTES));
  const line = /^[^\r\n]*/.exec(text)![0];
  return JSON.stringify(line.length < end - from && line.length === QUOTED_BYTES ? `${line}…` : line);
}

/**
 * The name in a field's line, as far as there is one, for the log. Never its value, which may be a password or a cookie: to the colon,
 * or where that is missing to the first space.
 */
export function quoteName(buffer: Buffer, from: number, end: number): string {
  const text = latin1(buffer, from, Math.min(end, from + QUOTED_BYTES));
  const name = /^[^\r\n:]*:|^[^\r\n \t]*/.exec(text)![0];
  const next = text.charAt(name.length);
  return JSON.stringify(next === "\r" || next === "\n" ? name : `${name}…`);
}

/** A text that should be `host[:port]`, for the log, without the password that may stand before the host. */
export function quoteAuthority(text: string): string {
  return JSON.stringify(text.replace(/^.*@/s, "…@").slice(0, 80));
}
