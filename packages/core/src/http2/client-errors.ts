import { ProxyError } from "@sluice/error";
import { upstreamClosed } from "../http1/upstream-errors.ts";
import { ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, http2CodeName, PROTOCOL_ERROR, REFUSED_STREAM } from "./error-codes.ts";

/** What a connection knows of its own end, or of a stream's. */
export interface ConnectionFate {
  /** The last GOAWAY that came. */
  readonly goaway: { readonly code: number; readonly lastStreamId: number } | undefined;
  /** The connection is over: nothing comes or goes on it. */
  readonly over: boolean;
  /** The socket's error, or that of HTTP/2's own rules. */
  readonly cause: Error | undefined;
  /** A PING was not answered within this time; 0: none was missed. */
  readonly pingMissedMs: number;
}

/** How far an exchange had come when its stream ended before the response did. */
export interface StreamFate {
  readonly id: number;
  readonly rstCode: number;
  readonly error: Error | undefined;
  /** Its response head had come. */
  readonly inBody: boolean;
  readonly receivedBytes: number;
  /** The peer may be asked by HTTP/1 instead. */
  readonly allowsHttp1: boolean;
}

/** The connection ended, or was about to, before the request was sent on it. Whatever the method, it may be sent on another. */
export function notSent(fate: ConnectionFate): ProxyError {
  const error = ProxyError.upstream(
    "ConnectionClosed",
    `the HTTP/2 connection ended before the request was sent on it`,
    fate.cause,
  );
  error.retry = true;
  return error;
}

/** Why a stream ended before its response was complete. */
export function streamFailed(stream: StreamFate, connection: ConnectionFate): ProxyError {
  const error = describe(stream, connection);
  // Not a byte came: as with HTTP/1, the upstream may have closed before it saw the request.
  if (error.retry === false && connection.over && stream.receivedBytes === 0 && error.type !== "InvalidH2") {
    error.retry = "reusedOnly";
  }
  if (stream.inBody) error.detail ??= "response-body";
  return error;
}

function describe(stream: StreamFate, connection: ConnectionFate): ProxyError {
  const { rstCode, inBody } = stream;
  const { goaway } = connection;
  // RFC 9113, section 6.8: streams above the last one of a GOAWAY were not processed, whatever the method.
  if (goaway !== undefined && stream.id > goaway.lastStreamId) {
    const context = `the upstream sent GOAWAY (${http2CodeName(goaway.code)}) before it took this request`;
    return retriable(ProxyError.upstream("H2Error", context), !inBody);
  }
  if (connection.pingMissedMs > 0) {
    const context = `the upstream did not answer an HTTP/2 PING within ${connection.pingMissedMs} ms; ${where(inBody)}`;
    return ProxyError.upstream("PingTimedout", context);
  }
  if (goaway !== undefined && goaway.code !== 0 && connection.over) {
    const context = `the upstream ended the HTTP/2 connection by GOAWAY (${http2CodeName(goaway.code)}) ${where(inBody)}`;
    return ProxyError.upstream("H2Error", context);
  }
  if (connection.over) {
    // Streams hear of it before the connection does.
    const cause = connection.cause ?? stream.error;
    if (isProtocolError(cause)) {
      return ProxyError.upstream("InvalidH2", `the upstream broke the rules of HTTP/2 ${where(inBody)}`, cause);
    }
    return upstreamClosed(inBody, cause, stream.receivedBytes);
  }
  return resetError(stream, rstCode);
}

function resetError({ inBody, allowsHttp1 }: StreamFate, code: number): ProxyError {
  const context = `the upstream reset the HTTP/2 stream (${http2CodeName(code)}) ${where(inBody)}`;
  switch (code) {
    case REFUSED_STREAM:
      // RFC 9113, section 8.7: sent before any processing.
      return retriable(ProxyError.upstream("H2Error", context), !inBody);
    case HTTP_1_1_REQUIRED:
      return retriable(ProxyError.upstream("H2Downgrade", `${context}: it wants HTTP/1.1`), allowsHttp1 && !inBody);
    case PROTOCOL_ERROR: {
      // Node does not say which side found the fault.
      const what = "its response broke the rules of HTTP/2, or it found that our request did";
      return ProxyError.upstream("InvalidH2", `the HTTP/2 stream ended by PROTOCOL_ERROR ${where(inBody)}: ${what}`);
    }
    case ENHANCE_YOUR_CALM: {
      const what = "it has too much to do, or its head is larger than the limits allow";
      return ProxyError.upstream("H2Error", `the HTTP/2 stream ended by ENHANCE_YOUR_CALM ${where(inBody)}: ${what}`);
    }
    default:
      return ProxyError.upstream("H2Error", context);
  }
}

function retriable(error: ProxyError, retry: boolean): ProxyError {
  return error.setRetry(retry);
}

function where(inBody: boolean): string {
  return inBody ? "in the middle of its response body" : "before its response head was complete";
}

/** Of nghttp2, and not of the socket. */
function isProtocolError(cause: NodeJS.ErrnoException | undefined): boolean {
  const code = cause?.code;
  return code === "ERR_HTTP2_ERROR" || code?.startsWith("ERR_HTTP2_TOO_MANY") === true;
}
