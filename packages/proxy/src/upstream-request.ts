import { removeHopByHop, type RequestBody } from "@sluice/core";
import type { RequestHeader } from "@sluice/http";

/**
 * The head to send to an upstream: a copy of the client's without the fields that spoke of its own connection only (RFC
 * 9110, section 7.6.1), as HTTP/1.1 whatever the client spoke (section 2.5), and with our name in Via (section 7.6.3).
 * @param via Our name; `undefined` adds none.
 */
export function upstreamRequest(request: RequestHeader, via: string | undefined): RequestHeader {
  const outgoing = request.clone();
  const received = outgoing.version;
  outgoing.version = "1.1";
  removeHopByHop(outgoing);
  if (via !== undefined) outgoing.raw.push("Via", `${received} ${via}`);
  return outgoing;
}

/** How the body of the outgoing request ends: as the client's did, unless a hook changed the head. */
export function requestBodyKind(outgoing: RequestHeader, bodyEmpty: boolean): RequestBody {
  if (bodyEmpty) return "none";
  return outgoing.has("content-length") ? "content-length" : "unknown-length";
}
