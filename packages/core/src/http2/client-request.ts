import { ProxyError } from "@sluice/error";
import { sameName, type RequestHeader } from "@sluice/http";
import type { RequestBody } from "../http/client-session.ts";
import { CONTENT_LENGTH, HOST } from "../http1/known-fields.ts";
import { appendFields, goesByHttp2 } from "./fields.ts";

/**
 * What becomes of a request on HTTP/2:
 * - `message`: a request and its response
 * - `connect`: CONNECT, which a 2xx makes a tunnel (RFC 9113, section 8.5)
 * - `websocket`: GET with `Upgrade: websocket` and no body, which goes as an extended CONNECT (RFC 8441): there a body would be
 *   the first bytes of the tunnel. With one it is a message without Upgrade, which may be ignored (RFC 9110, section 7.8)
 */
export type Http2RequestKind = "message" | "connect" | "websocket";

export function requestKind(header: RequestHeader, body: RequestBody): Http2RequestKind {
  if (header.method === "CONNECT") return "connect";
  if (body !== "none") return "message";
  const upgrade = header.method === "GET" ? header.get("upgrade") : undefined;
  return upgrade !== undefined && sameName(upgrade, "websocket") ? "websocket" : "message";
}

/**
 * A request head as Node takes it: name, value, …, the pseudo-header fields first (RFC 9113, section 8.3.1). Host becomes
 * `:authority`; what speaks of one connection is left out, `te: trailers` excepted (section 8.2.2). Node makes names lower case.
 * A Cookie goes as it is: to split it for compression is allowed, not asked for (section 8.2.3).
 * @throws ProxyError `InvalidHTTPHeader` for a request that HTTP/2 cannot say.
 */
export function requestFields(
  header: RequestHeader,
  body: RequestBody,
  kind: Http2RequestKind,
  scheme: "http" | "https",
): string[] {
  const { method, target } = header;
  if (kind === "connect") {
    return addFields([":method", "CONNECT", ":authority", target], header, body, kind);
  }
  const authority = header.get("host");
  if (authority === undefined || authority === "") {
    throw unsayable("a request without Host, or with an empty one, has no :authority for HTTP/2");
  }
  if (target.charCodeAt(0) !== 0x2f && target !== "*") {
    throw unsayable(`the request target ${JSON.stringify(target)}; HTTP/2 takes a path, or * for OPTIONS`);
  }
  const fields =
    kind === "websocket"
      ? [":method", "CONNECT", ":protocol", "websocket", ":scheme", scheme, ":authority", authority, ":path", target]
      : [":method", method, ":scheme", scheme, ":authority", authority, ":path", target];
  return addFields(fields, header, body, kind);
}

function addFields(list: string[], header: RequestHeader, body: RequestBody, kind: Http2RequestKind): string[] {
  appendFields(list, header, body === "unknown-length" ? goesWithoutLength : goes);
  // RFC 8441, section 5: the key and what is answered to it are not used.
  if (kind === "websocket") removeFrom(list, "sec-websocket-key");
  return list;
}

/** RFC 9113, section 8.3.1: Host is :authority. */
function goes(tag: number, value: string): boolean {
  return tag !== HOST && goesByHttp2(tag, value);
}

/** With a body of unknown length, a length would make two messages for two readers. */
function goesWithoutLength(tag: number, value: string): boolean {
  return tag !== CONTENT_LENGTH && goes(tag, value);
}

function removeFrom(list: string[], name: string): void {
  for (let at = 0; at < list.length;) {
    if (sameName(list[at]!, name)) list.splice(at, 2);
    else at += 2;
  }
}

function unsayable(what: string): ProxyError {
  return ProxyError.internal("InvalidHTTPHeader", what);
}
