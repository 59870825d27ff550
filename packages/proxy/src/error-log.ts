import { logger } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import { errorHint } from "./error-hint.ts";
import type { Session } from "./session.ts";

const log = logger("proxy");

/** The one line of a request that failed for good. An error in the code of the app comes with its stack. */
export function logFailure(session: Session, error: ProxyError, summary: string | undefined): void {
  const cause = error.rootCause();
  const stack = error.source === "internal" && cause instanceof Error ? cause.stack : undefined;
  const { response, responseDone } = session.downstream;
  // What the client was told, which an error after the head cannot change any more.
  const status = response?.status ?? 0;
  const cut = response !== undefined && !responseDone;
  log.error(
    { ...facts(session, error, summary), status, ...(cut && { cut }), ...(stack !== undefined && { stack }) },
    "request failed",
  );
}

/** The line of an attempt that failed and is made again. */
export function logRetry(session: Session, error: ProxyError, summary: string | undefined): void {
  log.warn(facts(session, error, summary), "attempt failed, trying again");
}

function facts(session: Session, error: ProxyError, summary: string | undefined): object {
  const hint = errorHint(error, session.upstreamReused);
  return {
    request: summary ?? defaultSummary(session),
    phase: session.phase,
    peer: session.peer?.toString(),
    reused: session.peer === undefined ? undefined : session.upstreamReused,
    tries: session.tries,
    client: session.clientAddress,
    error: error.message,
    ...(hint !== undefined && { hint }),
  };
}

function defaultSummary(session: Session): string {
  const { method, target } = session.request;
  return `${method} ${target}, Host: ${session.request.get("host") ?? "-"}`;
}
