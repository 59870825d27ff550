import { createHash } from "node:crypto";
import { ProxyError } from "@sluice/error";
import type { RequestHeader, ResponseHeader } from "@sluice/http";

/** What a server answers to a Sec-WebSocket-Key (RFC 6455, section 4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/**
 * Looks at what an HTTP/1 upstream answers to the handshake of a WebSocket: the client of HTTP/2 cannot, since it sent no key
 * (RFC 8441, section 5; RFC 6455, section 4.1). An answer without the field passes: not all that is upgraded is a WebSocket.
 * @throws ProxyError `InvalidHTTPHeader`, source upstream.
 */
export function checkAccept(request: RequestHeader, response: ResponseHeader): void {
  const key = request.get("sec-websocket-key");
  const accept = response.get("sec-websocket-accept");
  if (key === undefined || accept === undefined) return;
  if (accept === webSocketAccept(key)) return;
  throw ProxyError.upstream(
    "InvalidHTTPHeader",
    "the 101 of the upstream has a Sec-WebSocket-Accept of another handshake",
  );
}
