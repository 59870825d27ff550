import { ProxyError } from "@sluice/error";
import { sameName, type RequestHeader } from "@sluice/http";
import type { RequestBody } from "../http/client-session.ts";
import { CONTENT_LENGTH, HOST } from "../http1/known-fields.ts";
import { goesByHttp2, writeFields, type FieldWriter } from "./fields.ts";
import { FIELD_OVERHEAD_BYTES } from "./heads/field-rules.ts";

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

/** `:method`, `:scheme`, `:path` and perhaps `:protocol`, but for what stands in them; `:authority` is counted as Host. */
const REST_BYTES = 4 * FIELD_OVERHEAD_BYTES + 50;
/**
 * A larger head is not sent, whatever the origin allows: those that are built on nghttp2 end the connection for it, and with it the
 * requests of others.
 */
const MAX_HEAD_BYTES = 65_536;

/**
 * @param maxListBytes What the origin takes (SETTINGS_MAX_HEADER_LIST_SIZE).
 * @throws ProxyError `InvalidHTTPHeader` for a request that HTTP/2 cannot say, or the origin will not take.
 */
export function checkRequest(header: RequestHeader, kind: Http2RequestKind, maxListBytes: number): void {
  const { target } = header;
  const maxBytes = Math.min(maxListBytes, MAX_HEAD_BYTES);
  if (roughBytes(header) > maxBytes && listBytes(header) > maxBytes) {
    const whose =
      maxListBytes < MAX_HEAD_BYTES
        ? "that the upstream takes by HTTP/2 (SETTINGS_MAX_HEADER_LIST_SIZE)"
        : "that are sent by HTTP/2";
    const context = `a request head of ${listBytes(header)} bytes, of ${maxBytes} ${whose}`;
    throw unsayable(context).setDetail("too-large");
  }
  if (kind === "connect") return;
  const authority = header.get("host");
  if (authority === undefined || authority === "") {
    throw unsayable("a request without Host, or with an empty one, has no :authority for HTTP/2");
  }
  if (target.charCodeAt(0) !== 0x2f && target !== "*") {
    throw unsayable(`the request target ${JSON.stringify(target)}; HTTP/2 takes a path, or * for OPTIONS`);
  }
}

/**
 * Writes a request head, the pseudo-header fields first (RFC 9113, section 8.3.1). Host becomes `:authority`; what speaks of one
 * connection is left out, `te: trailers` excepted (section 8.2.2). A Cookie goes as it is: to split it for compression is allowed, not
 * asked for (section 8.2.3).
 * @param header As {@link checkRequest} takes it.
 */
export function writeRequestHead(
  head: FieldWriter,
  header: RequestHeader,
  body: RequestBody,
  kind: Http2RequestKind,
  scheme: "http" | "https",
): void {
  if (kind === "connect") {
    head.field(":method", "CONNECT");
    head.field(":authority", header.target);
  } else {
    head.field(":method", kind === "websocket" ? "CONNECT" : header.method);
    if (kind === "websocket") head.field(":protocol", "websocket");
    head.field(":scheme", scheme);
    const { neverIndexed } = header;
    head.field(":authority", header.get("host")!, neverIndexed?.has("host"));
    head.field(":path", header.target, neverIndexed?.has(":path"));
  }
  // RFC 8441, section 5: the key and what is answered to it are not used.
  if (kind === "websocket") writeFields(new WithoutKey(head), header, goes);
  else writeFields(head, header, body === "unknown-length" ? goesWithoutLength : goes);
}

/** No less than {@link listBytes}, without making a string of each name and value. */
function roughBytes({ method, target, lines, added }: RequestHeader): number {
  let bytes = method.length + target.length + REST_BYTES;
  if (lines !== undefined) bytes += lines.text.length + lines.count * FIELD_OVERHEAD_BYTES;
  for (const text of added) bytes += text.length + FIELD_OVERHEAD_BYTES / 2;
  return bytes;
}

/** As SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, section 6.5.2). */
function listBytes(header: RequestHeader): number {
  let bytes = header.method.length + header.target.length + REST_BYTES;
  for (const [name, value] of header) bytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
  return bytes;
}

class WithoutKey implements FieldWriter {
  readonly #head: FieldWriter;

  constructor(head: FieldWriter) {
    this.#head = head;
  }

  field(name: string, value: string, neverIndex?: boolean): void {
    if (name !== "sec-websocket-key") this.#head.field(name, value, neverIndex);
  }
}

/** RFC 9113, section 8.3.1: Host is :authority. */
function goes(tag: number, value: string): boolean {
  return tag !== HOST && goesByHttp2(tag, value);
}

/** With a body of unknown length, a length would make two messages for two readers. */
function goesWithoutLength(tag: number, value: string): boolean {
  return tag !== CONTENT_LENGTH && goes(tag, value);
}

function unsayable(what: string): ProxyError {
  return ProxyError.internal("InvalidHTTPHeader", what);
}
