import type { ErrorType, ProxyError } from "@sluice/error";

/** The client is gone, or was cut: nothing can be answered. */
export const CLIENT_GONE = 0;

const UPSTREAM_TIMEOUTS: ReadonlySet<ErrorType> = new Set([
  "ConnectTimedout",
  "TLSHandshakeTimedout",
  "ReadTimedout",
  "WriteTimedout",
]);

const DOWNSTREAM_DEAD: ReadonlySet<ErrorType> = new Set([
  "WriteError",
  "ReadError",
  "ConnectionClosed",
  "WriteTimedout",
]);

/**
 * The status to answer a failed request with:
 *
 * | error | status |
 * |---|---|
 * | names a status itself (`HTTPStatus`, a malformed request's 400, 414, 431, 501, 505, a late client's 408) | that |
 * | `NoPeer` | 503 |
 * | upstream, a timeout | 504 (RFC 9110, section 15.6.5; Pingora: 502) |
 * | upstream, anything else | 502 |
 * | downstream, the connection is dead | 0: nothing is sent |
 * | downstream, anything else | 400 |
 * | internal, or not said | 500 |
 */
export function errorStatus(error: ProxyError): number {
  if (error.type === "NoPeer") return 503;
  switch (error.source) {
    case "upstream":
      if (error.type === "HTTPStatus") return finalStatus(error.status, 502);
      return UPSTREAM_TIMEOUTS.has(error.type) ? 504 : 502;
    case "downstream":
      if (DOWNSTREAM_DEAD.has(error.type)) return CLIENT_GONE;
      return finalStatus(error.status, 400);
    case "internal":
    case "unset":
      return error.type === "HTTPStatus" ? finalStatus(error.status, 500) : 500;
  }
}

/** An interim status, or none, answers nothing. */
function finalStatus(status: number | undefined, otherwise: number): number {
  return status !== undefined && status >= 200 && status <= 999 ? status : otherwise;
}
