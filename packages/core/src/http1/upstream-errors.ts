import { ProxyError, type ErrorType } from "@sluice/error";

// What happens to a connection to an upstream, besides what the upstream says on it. Where: had its response head come whole?

/**
 * It closed, or broke, before the response was complete.
 * @param cause What the stream says; `undefined` if it was closed without an error.
 * @param receivedBytes Of any kind, for this request.
 */
export function upstreamClosed(inBody: boolean, cause: Error | undefined, receivedBytes: number): ProxyError {
  const where = inBody ? "in the middle of its response body" : "before its response head was complete";
  const type = typeOf(inBody, cause);
  const error = ProxyError.upstream(type, `the upstream closed the connection ${where}`, cause);
  // Not a byte came: the upstream may have closed before it saw the request, as happens to pooled connections.
  if (receivedBytes === 0) error.retry = "reusedOnly";
  return error;
}

/** It sent something before any of the request had left, so another connection may take that. */
export function upstreamSpokeFirst(reused: boolean): ProxyError {
  const error = ProxyError.upstream("InvalidHTTPHeader", "the upstream sent a response before the request was sent");
  // One that speaks on new connections will do so on the next.
  return error.setRetry(reused);
}

/** It ended what only ends with the connection, and TLS did not say so (RFC 9112, section 9.8). */
export function upstreamTruncated(): ProxyError {
  const what = "the upstream's connection ended without a close_notify of TLS: its response may have been cut";
  return ProxyError.upstream("ConnectionClosed", what);
}

export function upstreamTooLate(inBody: boolean, readMs: number): ProxyError {
  const waited = inBody ? "more of its response body" : "its response head";
  return ProxyError.upstream("ReadTimedout", `the upstream sent nothing for ${readMs} ms; waiting for ${waited}`);
}

export function upstreamTakesNothing(writeMs: number): ProxyError {
  return ProxyError.upstream("WriteTimedout", `the upstream took no bytes for ${writeMs} ms`);
}

export function isWriteError(error: Error): boolean {
  return (error as NodeJS.ErrnoException).syscall === "write";
}

function typeOf(inBody: boolean, cause: Error | undefined): ErrorType {
  if (cause === undefined) return "ConnectionClosed";
  if (!isWriteError(cause)) return "ReadError";
  // Of a response that has begun it is the end that is missing, however we came to know.
  return inBody ? "ConnectionClosed" : "WriteError";
}
