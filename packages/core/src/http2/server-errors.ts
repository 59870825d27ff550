import { ProxyError } from "@sluice/error";
import { clientLeft, connectionGone } from "../http1/client-errors.ts";
import { CANCEL, CONNECT_ERROR, http2CodeName, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from "./error-codes.ts";

// What happens to a client's stream.

/**
 * It ended before the exchange did.
 * @param code Of the reset, or of the connection's end.
 * @param cause What ended the connection, if it is over.
 * @param bodyEnded The request was complete.
 */
export function streamEnded(
  code: number,
  connectionOver: boolean,
  cause: Error | undefined,
  bodyEnded: boolean,
): ProxyError {
  if (connectionOver) return cause === undefined ? clientLeft(bodyEnded) : connectionGone(cause);
  // Nothing more can be answered: nghttp2 has sent the reset itself, if it was not the client.
  if (code === NO_ERROR || code === CANCEL) {
    return ProxyError.downstream("ConnectionClosed", `the client reset the stream (${http2CodeName(code)})`);
  }
  const context = `the HTTP/2 stream was reset (${http2CodeName(code)}), by the client or because of what it sent`;
  return ProxyError.downstream("ConnectionClosed", context);
}

/**
 * The code to reset a stream with whose response cannot be completed.
 * @param error What the session failed with.
 * @param inTunnel Of a CONNECT (RFC 9113, section 8.5).
 */
export function cutCode(error: ProxyError | undefined, inTunnel = false): number {
  if (error === undefined) return inTunnel ? CONNECT_ERROR : INTERNAL_ERROR;
  if (error.type === "InvalidHTTPHeader") return PROTOCOL_ERROR;
  // The client has left, or takes nothing: it is not we who have a fault.
  return CANCEL;
}
