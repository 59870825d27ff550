import { createHash } from "node:crypto";
import { ProxyError } from "@sluice/error";
import { sameName, type RequestHeader } from "@sluice/http";
import type { RequestBody } from "../http/client-session.ts";
import { CONTENT_LENGTH, HOST, isHopByHop, knownField, TAG_MASK, TE } from "../http1/known-fields.ts";

/**
 * What becomes of a request on HTTP/2:
 * - `message`: a request and its response
 * - `connect`: CONNECT, which a 2xx makes a tunnel (RFC 9113, section 8.5)
 * - `websocket`: GET with `Upgrade: websocket`, which goes as an extended CONNECT (RFC 8441)
 */
export type Http2RequestKind = "message" | "connect" | "websocket";

export function requestKind(header: RequestHeader): Http2RequestKind {
  if (header.method === "CONNECT") return "connect";
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

/** What a server answers to a Sec-WebSocket-Key (RFC 6455, section 4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function addFields(fields: string[], header: RequestHeader, body: RequestBody, kind: Http2RequestKind): string[] {
  const { lines, added } = header;
  if (lines !== undefined) {
    for (let line = 0; line < lines.count; line++) {
      if ((header.gone & (1 << line)) === 0) {
        addField(fields, lines.tag(line) & TAG_MASK, lines.name(line), lines.value(line), body);
      }
    }
  }
  for (let at = 0; at < added.length; at += 2) {
    addField(fields, knownField(added[at]!), added[at]!, added[at + 1]!, body);
  }
  return kind === "websocket" ? withoutKey(fields) : fields;
}

function addField(fields: string[], tag: number, name: string, value: string, body: RequestBody): void {
  if (tag === 0) {
    if (!sameName(name, "http2-settings")) fields.push(name, value);
  } else if (tag === TE) {
    // Node compares by case.
    if (sameName(value, "trailers")) fields.push(name, "trailers");
  } else if (tag === CONTENT_LENGTH) {
    // With a body of unknown length it would be two messages to two readers.
    if (body !== "unknown-length") fields.push(name, value);
  } else if (tag !== HOST && !isHopByHop(tag)) {
    fields.push(name, value);
  }
}

/** RFC 8441, section 5: the key and what is answered to it are not used. */
function withoutKey(fields: string[]): string[] {
  const at = fields.findIndex((name, index) => index % 2 === 0 && sameName(name, "sec-websocket-key"));
  if (at >= 0) fields.splice(at, 2);
  return fields;
}

function unsayable(what: string): ProxyError {
  return ProxyError.internal("InvalidHTTPHeader", what);
}
