import type { ProxyError } from "@sluice/error";
import type { Outcome } from "../outcome.ts";
import type { Session } from "../session.ts";

/** What is known of a request that is over. */
export interface AccessEntry {
  /** Of the end of the request, in milliseconds since 1970. */
  readonly timeMs: number;
  /** `undefined` where requests have none. */
  readonly requestId: string | undefined;
  /** IP address; `undefined` on a Unix socket. */
  readonly client: string | undefined;
  readonly method: string;
  /** As it stood on the request line. */
  readonly target: string;
  /** `1.1`. */
  readonly version: string;
  readonly host: string | undefined;
  /** As sent to the client; 499 when it left before that, 0 when it was sent none. */
  readonly status: number;
  /** Payload bytes sent to the client. */
  readonly bytes: number;
  /** How the response ended for the client. */
  readonly ended: Outcome["how"];
  /** From the request's head to the end of the response. */
  readonly durationMs: number;
  /** `host:port` that the last attempt went to; `undefined` when none was made. */
  readonly upstream: string | undefined;
  /** Whether that connection had served before; `undefined` without an attempt. */
  readonly reused: boolean | undefined;
  readonly tries: number;
  readonly referer: string | undefined;
  readonly userAgent: string | undefined;
  /** Why the request failed; `undefined` when it has not. */
  readonly error: string | undefined;
}

/** To be called in `logging`, when the outcome is final. */
export function accessEntry(session: Session, error: ProxyError | undefined): AccessEntry {
  const { request, peer, outcome, timing } = session;
  const endedAtMs = timing.endedAtMs ?? performance.now();
  return {
    timeMs: Date.now(),
    requestId: session.requestId,
    client: session.clientIp,
    method: request.method,
    target: request.target,
    version: request.version,
    host: request.get("host"),
    status: outcome.status,
    bytes: outcome.sent,
    ended: outcome.how,
    durationMs: Math.round((endedAtMs - timing.headReadAtMs) * 100) / 100,
    upstream: peer?.address.text,
    reused: peer === undefined ? undefined : session.upstreamReused,
    tries: session.tries,
    referer: request.get("referer"),
    userAgent: request.get("user-agent"),
    error: error?.message,
  };
}
