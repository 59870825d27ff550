import type { ResponseHeader } from "@sluice/http";
import type { BodyReader } from "./body-reader.ts";
import type { Framing } from "./framing.ts";

/** Seconds by which we stop reusing a connection before the origin said it would close it: its clock runs ahead of ours. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/**
 * Prepares for the body of a response (RFC 9112, section 6.3).
 * @param isHead It answers a HEAD.
 */
export function startResponseBody(body: BodyReader, framing: Framing, header: ResponseHeader, isHead: boolean): void {
  if (framing.contradictory) header.remove("content-length");
  if (isHead || header.status === 204 || header.status === 304) body.startEmpty();
  else if (framing.chunked) body.startChunked();
  else if (framing.contentLength >= 0) body.startLength(framing.contentLength);
  else body.startUntilClose();
}

/** Whether the connection can serve another request after this response, as far as its head says. */
export function allowsReuse(body: BodyReader, framing: Framing, header: ResponseHeader): boolean {
  if (framing.close || framing.contradictory || body.untilClose) return false;
  // RFC 9112, section 6.1: chunked from a 1.0 peer is not to be trusted.
  if (header.version === "1.0") return framing.keepAlive && !framing.hasTransferEncoding;
  return true;
}

/** How long it may be kept for that: `idleMs`, or less if the origin says so. */
export function reuseWithinMs(framing: Framing, idleMs: number | undefined): number | undefined {
  const promised = framing.keepAliveTimeoutSeconds;
  if (promised < 0) return idleMs;
  const safe = Math.max(promised * 1000 - KEEP_ALIVE_MARGIN_MS, 0);
  return idleMs === undefined ? safe : Math.min(safe, idleMs);
}
