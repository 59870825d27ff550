import { logger } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { Outcome, Session } from "@sluice/proxy";

/** The message of access lines; {@link AccessRecord} are their fields. */
export const ACCESS_MESSAGE = "request";

/** One line a request. */
export interface AccessRecord {
  method: string;
  target: string;
  /** As sent to the client; 499 when it left before that, 0 when it was sent none. */
  status: number;
  /** Payload bytes sent to the client. */
  bytes: number;
  /** How the response ended, unless whole: `cut`, `client-left` or `not-sent`. */
  ended: Exclude<Outcome["how"], "complete"> | undefined;
  /** From the request's head to the end of the response. */
  duration_ms: number;
  /** `host:port` that the last attempt went to; absent when none was made. */
  upstream: string | undefined;
  /** Whether that connection had served before; absent without an attempt. */
  reused: boolean | undefined;
  client: string | undefined;
  error: string | undefined;
}

const log = logger("gateway");

export function logAccess(session: Session, error: ProxyError | undefined): void {
  if (!log.isLevelEnabled("info")) return;
  const { status, sent, how } = session.outcome;
  const { headReadAtMs, endedAtMs } = session.timing;
  const record: AccessRecord = {
    method: session.request.method,
    target: session.request.target,
    status,
    bytes: sent,
    ended: how === "complete" ? undefined : how,
    duration_ms: Math.round((endedAtMs! - headReadAtMs) * 100) / 100,
    upstream: session.peer?.address.text,
    reused: session.peer === undefined ? undefined : session.upstreamReused,
    client: session.clientAddress,
    error: error?.message,
  };
  log.info(record, ACCESS_MESSAGE);
}
