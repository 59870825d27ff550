import { ProxyError } from "@sluice/error";
import { ResponseHeader } from "@sluice/http";
import type { HeadLimits } from "../http1/head-limits.ts";

/**
 * A response head from what Node gives: `:status`, then the fields as they came. nghttp2 has checked its grammar, and that no
 * field of it speaks of one connection only (RFC 9113, section 8.2.2).
 * @throws ProxyError `InvalidHTTPHeader`, detail `too-large` beyond the limits.
 */
export function responseHeader(raw: readonly string[], limits: HeadLimits): ResponseHeader {
  const fields: string[] = [];
  let status = 0;
  let bytes = 0;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const value = raw[at + 1]!;
    bytes += name.length + value.length;
    if (name === ":status") status = Number(value);
    else fields.push(name, value);
  }
  if (bytes > limits.maxHeadBytes) throw tooLarge(`of more than ${limits.maxHeadBytes} bytes`);
  if (fields.length > limits.maxFields * 2) throw tooLarge(`with more than ${limits.maxFields} fields`);
  return new ResponseHeader(status, undefined, "2", fields);
}

function tooLarge(what: string): ProxyError {
  return ProxyError.upstream("InvalidHTTPHeader", `a response head ${what}`).setDetail("too-large");
}
