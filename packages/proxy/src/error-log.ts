import { logger, nowMs, shown } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import { isClientGone, proxyStatusError } from "./error-answers.ts";
import { errorHint } from "./error-hint.ts";
import { hookError } from "./hook-errors.ts";
import { notPromise } from "./hook.ts";
import type { ProxyHttp } from "./proxy-http.ts";
import type { Session } from "./session.ts";

const log = logger("proxy");

/**
 * The one line of a request that failed for good: at level info where a client, or a rule of the app, is why, and nobody need be
 * woken. An error in the code of the app comes with its stack.
 */
export function logFailure(session: Session, error: ProxyError, summary: string | undefined): void {
  const { response, responseDone } = session.downstream;
  // What the client was told, which an error after the head cannot change any more.
  const { status } = session.outcome;
  const cut = response !== undefined && !responseDone;
  const { failedStatus, retriesExhausted } = session;
  log[failureLevel(error)](
    {
      ...facts(session, error, summary),
      duration_ms: Math.round((nowMs() - session.timing.headReadAtMs) * 100) / 100,
      status,
      ...(cut && { cut }),
      ...(failedStatus !== undefined && failedStatus !== status && { failed_status: failedStatus }),
      ...(retriesExhausted && { retries_exhausted: true }),
      ...stackOf(error),
    },
    "request failed",
  );
}

/**
 * The line of a hook that failed when its request was over, or had failed already: it is not why the client was told what it
 * was told.
 */
export function logHookFailure(session: Session, error: ProxyError, summary: string | undefined): void {
  const status = session.responseStatus;
  const told = status === undefined ? undefined : { status };
  log.error({ ...facts(session, error, summary), ...told, ...stackOf(error) }, "a hook failed");
}

/** The line of an attempt that failed and is made again. */
export function logRetry(session: Session, error: ProxyError, summary: string | undefined): void {
  log.warn(facts(session, error, summary), "attempt failed, trying again");
}

function failureLevel(error: ProxyError): "info" | "error" {
  // What we cut ourselves is no client's doing.
  if (error.source === "downstream") return error.rootError().detail === "server-stop" ? "error" : "info";
  const reason = proxyStatusError(error);
  if (reason === "http_request_error") return "info";
  return error.source !== "internal" && reason === "http_request_denied" ? "info" : "error";
}

function stackOf(error: ProxyError): object | undefined {
  const stack = error.source === "internal" ? error.causeStack() : undefined;
  return stack === undefined ? undefined : { stack };
}

/** What `requestSummary` says; an error in it costs nothing but itself. */
export function summaryOf<Ctx>(app: ProxyHttp<Ctx>, session: Session, ctx: Ctx): string | undefined {
  try {
    const given: unknown = notPromise(session, "requestSummary", app.requestSummary?.(session, ctx));
    if (typeof given === "string") return given;
    if (given === undefined || given === null) return undefined;
    throw new TypeError(`requestSummary must return text; it returned ${shown(given)}`);
  } catch (thrown) {
    return `(${hookError(session, "requestSummary", thrown).message})`;
  }
}

function facts(session: Session, error: ProxyError, summary: string | undefined): object {
  const hint = errorHint(error, session.upstreamReused) ?? leftHint(session, error);
  return {
    request: `${summary ?? defaultSummary(session)}${session.isSubrequest ? " (subrequest)" : ""}`,
    phase: session.phase,
    peer: session.peer?.toString(),
    reused: session.peer === undefined ? undefined : session.upstreamReused,
    tries: session.tries,
    client: session.clientAddress,
    request_id: session.requestId,
    source: error.source,
    type: error.type,
    detail: error.rootError().detail,
    proxy_status: proxyStatusError(error),
    error: error.message,
    ...(hint !== undefined && { hint }),
  };
}

/** What a client that left may have waited for in vain. */
function leftHint({ phase, timing, response }: Session, error: ProxyError): string | undefined {
  if (!isClientGone(error) || phase === "readRequest" || response !== undefined) return undefined;
  if (phase === "connect") return "the client left while a connection to the upstream was waited for";
  if (phase !== "exchange") return `the client left while ${phase} was under way: what does that wait for?`;
  return timing.requestSentAtMs === undefined || timing.responseHeadAtMs !== undefined
    ? undefined
    : "the client left before the upstream had answered: is the upstream slow?";
}

function defaultSummary(session: Session): string {
  const { method, target } = session.request;
  return `${method} ${target}, Host: ${session.request.get("host") ?? "-"}`;
}
