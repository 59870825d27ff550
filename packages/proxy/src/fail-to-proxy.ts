import type { ProxyError } from "@sluice/error";
import { CLIENT_GONE, errorStatus } from "./error-status.ts";
import type { Session } from "./session.ts";

/**
 * Answers a failed request with the status of {@link errorStatus}, unless the client is gone or an answer was begun.
 * @returns The status, for the log; 0 when nothing could be sent.
 */
export function defaultFailToProxy(session: Session, error: ProxyError): number {
  const status = errorStatus(error);
  if (status === CLIENT_GONE) return CLIENT_GONE;
  if (session.response === undefined) {
    // RFC 9110, section 15.5.6: a 405 says what is allowed; CONNECT is refused as a whole, so nothing is listed.
    session.respondError(status, status === 405 ? { fields: { Allow: "" } } : {});
  }
  return status;
}
