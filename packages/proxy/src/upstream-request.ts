import { removeHopByHop, type HttpPeer, type RequestBody } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { RequestHeader } from "@sluice/http";
import { maxForwardsOf } from "./max-forwards.ts";

/**
 * The head to send to an upstream: a copy of the client's without the fields that spoke of its own connection only (RFC
 * 9110, section 7.6.1), as HTTP/1.1 whatever the client spoke (section 2.5), and with our name in Via (section 7.6.3). To an
 * HTTP/2 upstream the session makes pseudo-header fields of it. Max-Forwards is counted down (section 7.6.2).
 * A client of HTTP/1.0 may have sent no Host, which HTTP/1.1 demands: then the peer's address stands there, as with nginx, or
 * the target of a CONNECT (RFC 9112, section 3.2.3).
 * @param via Our name; `undefined` adds none.
 * @param upgrade The protocol that the client asks to change to, which goes on: the session says so in Connection.
 */
export function upstreamRequest(
  request: RequestHeader,
  peer: HttpPeer,
  via: string | undefined,
  upgrade?: string,
): RequestHeader {
  const outgoing = request.clone();
  const received = outgoing.version;
  const takesTrailers = (received === "2" || peer.maxHttpVersion === 2) && listsTrailers(request.get("te"));
  outgoing.version = "1.1";
  removeHopByHop(outgoing);
  if (received === "1.0" && !outgoing.has("host")) {
    outgoing.raw.unshift("Host", outgoing.method === "CONNECT" ? outgoing.target : hostOf(peer));
  }
  if (upgrade !== undefined) outgoing.added.push("Upgrade", upgrade);
  // We pass trailers on, and say so where HTTP/2 is spoken, for gRPC servers insist on it (RFC 9110, section 10.1.4).
  if (takesTrailers) outgoing.added.push("TE", "trailers");
  const maxForwards = maxForwardsOf(request);
  if (maxForwards !== undefined) outgoing.set("Max-Forwards", Math.max(maxForwards - 1, 0));
  if (via !== undefined) outgoing.added.push("Via", `${received} ${via}`);
  return outgoing;
}

/** How the body of the outgoing request ends: as the client's did, unless a hook changed the head. */
export function requestBodyKind(outgoing: RequestHeader, bodyEmpty: boolean): RequestBody {
  if (bodyEmpty) return "none";
  return outgoing.has("content-length") ? "content-length" : "unknown-length";
}

/**
 * To be called when a hook may have changed the head: with a Content-Length that the body does not keep, the origin would
 * see another request than we do.
 * @throws ProxyError `InvalidHTTPHeader` for one that is no length, for several, or for one that speaks of a body where
 * none is.
 */
export function checkContentLength(outgoing: RequestHeader, bodyEmpty: boolean): void {
  if (!outgoing.has("content-length")) return;
  const lengths = outgoing.getAll("content-length");
  if (lengths.length === 1 && (bodyEmpty ? /^0+$/ : /^\d{1,15}$/).test(lengths[0]!)) return;
  const what = bodyEmpty ? "a request without body" : "a request";
  throw ProxyError.internal("InvalidHTTPHeader", `${what} with Content-Length ${JSON.stringify(lengths.join(", "))}`);
}

/**
 * To be called when a hook may have changed the head: with CONNECT on one side alone, one would speak of a tunnel and the other
 * of a response.
 * @param isConnect What the client sent is a CONNECT.
 * @throws ProxyError `InternalError`.
 */
export function checkMethod(outgoing: RequestHeader, isConnect: boolean): void {
  if ((outgoing.method === "CONNECT") === isConnect) return;
  const what = isConnect ? `a CONNECT that goes up as ${outgoing.method}` : "another method that goes up as CONNECT";
  throw ProxyError.internal("InternalError", `${what}: a hook cannot make or unmake a tunnel`);
}

function listsTrailers(te: string | undefined): boolean {
  return te !== undefined && /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(te);
}

function hostOf({ address }: HttpPeer): string {
  return address.host === undefined ? "localhost" : address.text;
}
