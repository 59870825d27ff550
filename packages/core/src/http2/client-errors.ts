import { ProxyError } from "@sluice/error";
import { shown } from "../config/shown.ts";
import { upstreamClosed } from "../http1/upstream-errors.ts";
import type { Http2ConnectionError } from "./connection/http2-connection-error.ts";
import type { StreamClose } from "./connection/http2-stream.ts";
import { ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, http2CodeName, PROTOCOL_ERROR, REFUSED_STREAM } from "./error-codes.ts";

/** The end of a connection, as an upstream tells it. */
export interface Goaway {
  readonly code: number;
  readonly lastStreamId: number;
  /** What it says besides the code, often why. */
  readonly debug: string;
}

/** What a connection knows of its own end, or of a stream's. */
export interface ConnectionFate {
  /** The last GOAWAY that came. */
  readonly goaway: Goaway | undefined;
  /** The socket's error. */
  readonly cause: Error | undefined;
  /** The rule that the upstream broke, for which we have ended the connection. */
  readonly broken: Http2ConnectionError | undefined;
  /** A PING was not answered within this time; 0: none was missed. */
  readonly pingMissedMs: number;
}

/** How far an exchange had come when its stream ended before the response did. */
export interface StreamFate {
  readonly how: StreamClose;
  /** Of RST_STREAM. */
  readonly code: number;
  /** What rule its response broke. */
  readonly why: string | undefined;
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

/** The origin has lowered its limit since the request got its place on the connection. */
export function noLongerAllowed(streams: number): ProxyError {
  const context = `the upstream allows ${streams} streams on the HTTP/2 connection since before the request was sent on it`;
  const error = ProxyError.upstream("H2Error", context);
  error.retry = true;
  return error;
}

/** Why a stream ended before its response was complete. */
export function streamFailed(stream: StreamFate, connection: ConnectionFate): ProxyError {
  const error = describe(stream, connection);
  if (stream.inBody) error.detail ??= "response-body";
  return error;
}

function describe(stream: StreamFate, connection: ConnectionFate): ProxyError {
  switch (stream.how) {
    case "refused":
      return notTaken(stream, connection);
    case "rules":
      return brokeRules(`the upstream broke the rules of HTTP/2 ${where(stream.inBody)}: ${stream.why}`);
    case "peer-reset":
      return resetError(stream);
    default:
      return connectionLost(stream, connection);
  }
}

/** RFC 9113, section 6.8: streams above the last one of a GOAWAY were not processed, whatever the method. */
function notTaken({ inBody }: StreamFate, { goaway }: ConnectionFate): ProxyError {
  const context = `the upstream sent GOAWAY (${inWords(goaway!)}) before it took this request`;
  return retriable(ProxyError.upstream("H2Error", context), !inBody);
}

function connectionLost(stream: StreamFate, connection: ConnectionFate): ProxyError {
  const { inBody, receivedBytes } = stream;
  const { broken, goaway, pingMissedMs } = connection;
  if (broken !== undefined) {
    const { code, what } = broken;
    if (code !== ENHANCE_YOUR_CALM) {
      return brokeRules(`the upstream broke the rules of HTTP/2 ${where(inBody)}: ${what}`, broken);
    }
    return ProxyError.upstream("H2Error", `the HTTP/2 connection was ended ${where(inBody)}: ${what}`, broken);
  }
  let error: ProxyError;
  if (pingMissedMs > 0) {
    const context = `the upstream did not answer an HTTP/2 PING within ${pingMissedMs} ms; ${where(inBody)}`;
    error = ProxyError.upstream("PingTimedout", context);
  } else if (goaway !== undefined && goaway.code !== 0) {
    const context = `the upstream ended the HTTP/2 connection by GOAWAY (${inWords(goaway)}) ${where(inBody)}`;
    error = ProxyError.upstream("H2Error", context);
  } else error = upstreamClosed(inBody, connection.cause, receivedBytes);
  // Not a byte came: as with HTTP/1, the upstream may have closed before it saw the request.
  if (error.retry === false && receivedBytes === 0) error.retry = "reusedOnly";
  return error;
}

function resetError({ inBody, allowsHttp1, code }: StreamFate): ProxyError {
  const context = `the upstream reset the HTTP/2 stream (${http2CodeName(code)}) ${where(inBody)}`;
  switch (code) {
    case REFUSED_STREAM:
      // RFC 9113, section 8.7: sent before any processing.
      return retriable(ProxyError.upstream("H2Error", context), !inBody);
    case HTTP_1_1_REQUIRED:
      return retriable(ProxyError.upstream("H2Downgrade", `${context}: it wants HTTP/1.1`), allowsHttp1 && !inBody);
    case PROTOCOL_ERROR:
      return brokeRules(`${context}: it found that our request breaks the rules of HTTP/2`);
    case ENHANCE_YOUR_CALM:
      return ProxyError.upstream("H2Error", `${context}: it has too much to do, or our head is too large for it`);
    default:
      return ProxyError.upstream("H2Error", context);
  }
}

/** `ENHANCE_YOUR_CALM: "too_many_pings"`. */
function inWords({ code, debug }: Goaway): string {
  return debug === "" ? http2CodeName(code) : `${http2CodeName(code)}: ${shown(debug)}`;
}

function brokeRules(context: string, cause?: Error): ProxyError {
  return ProxyError.upstream("InvalidH2", context, cause);
}

function retriable(error: ProxyError, retry: boolean): ProxyError {
  return error.setRetry(retry);
}

function where(inBody: boolean): string {
  return inBody ? "in the middle of its response body" : "before its response head was complete";
}
