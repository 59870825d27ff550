import { ProxyError } from "@sluice/error";
import { clientLeft, connectionGone } from "../http1/client-errors.ts";
import type { StreamClose } from "./connection/http2-stream.ts";
import { CANCEL, CONNECT_ERROR, http2CodeName, INTERNAL_ERROR, PROTOCOL_ERROR } from "./error-codes.ts";

// What happens to a client's stream.

/**
 * It ended before the exchange did.
 * @param code Of the reset.
 * @param why What rule the client broke.
 * @param cause What ended the connection, if it is over.
 * @param bodyEnded The request was complete.
 */
export function streamEnded(
  how: StreamClose,
  code: number,
  why: string | undefined,
  cause: Error | undefined,
  bodyEnded: boolean,
): ProxyError {
  if (how === "connection") return cause === undefined ? clientLeft(bodyEnded) : connectionGone(cause);
  if (how === "rules") {
    const context = `we reset the HTTP/2 stream (${http2CodeName(code)}): ${why}`;
    return ProxyError.downstream("ConnectionClosed", context).setDetail("http2-rules");
  }
  return ProxyError.downstream("ConnectionClosed", `the client reset the stream (${http2CodeName(code)})`);
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
