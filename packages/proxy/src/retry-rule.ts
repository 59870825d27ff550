import type { HttpPeer } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { Session } from "./session.ts";

// RFC 9110, section 9.2.2.
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Whether a request may be sent again that may have been processed. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/**
 * What happens to an error of an attempt when the app does not say otherwise: the peer is named, and a request that was lost
 * on a reused connection is sent again only if sending it twice does no harm. (Pingora does not look at the method; a POST
 * that the origin had processed before it closed would run twice there.)
 */
export function defaultErrorWhileProxy(
  peer: HttpPeer,
  session: Session,
  error: ProxyError,
  reused: boolean,
): ProxyError {
  return error.moreContext(`Peer: ${peer.toString()}`).decideReuse(reused && isIdempotent(session.sentMethod));
}
