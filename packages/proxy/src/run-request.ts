import { HttpPeer, nowMs, shown, type ClientSession, type HttpModuleContext, type ServerSession } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { tellAttempt, tellAttemptFailed, tellEnd, tellStart } from "./channels.ts";
import { logHookFailure, logRetry, summaryOf } from "./error-log.ts";
import { Exchange } from "./exchange.ts";
import { failRequest, failWithoutContext } from "./fail-request.ts";
import { asProxyError, hookError, lateHookError } from "./hook-errors.ts";
import { errorFromHook, isPromise, refusePromise } from "./hook.ts";
import type { HttpProxy } from "./http-proxy.ts";
import { maxForwardsOf, respondAsLast } from "./max-forwards.ts";
import type { ProxyHttp } from "./proxy-http.ts";
import { checkBodyIsThere } from "./request-body.ts";
import type { Responded } from "./responded.ts";
import { RetryBuffer } from "./retry-buffer.ts";
import { defaultErrorWhileProxy, isIdempotent } from "./retry-rule.ts";
import { startModules, startUpstreamModules } from "./session-modules.ts";
import { Session } from "./session.ts";
import type { SubrequestInfo } from "./subrequest/subrequest-info.ts";
import { SubrequestSpawner } from "./subrequest/subrequest-spawner.ts";
import { checkContentLength, checkMethod, upstreamRequest } from "./upstream-request.ts";

/**
 * The life of a request: every phase, in order. A hook is waited for only if it gives a promise.
 *
 * Never rejects: what fails becomes an answer, a log line and a call of `logging`.
 */
export async function runRequest<Ctx>(
  proxy: HttpProxy<Ctx>,
  downstream: ServerSession,
  subrequest?: SubrequestInfo,
): Promise<void> {
  const { app } = proxy;
  const session = new Session(downstream, proxy.proxyStatus, proxy.moduleLists, proxy);
  session.subrequest = subrequest;
  let ctx: Ctx;
  try {
    session.phase = "newCtx";
    ctx = app.newCtx();
    refusePromise(session, "newCtx", ctx);
  } catch (thrown) {
    tellStart(session);
    const error = hookError(session, "newCtx", thrown);
    failWithoutContext(session, error);
    session.times.endedAtMs = nowMs();
    tellEnd(session, error);
    return;
  }
  session.ctx = ctx;
  // Read once a connection, while it is there: whose reset it was is what a log of requests is asked first.
  if (app.logging !== undefined) void session.clientAddress;
  tellStart(session);

  let failed: ProxyError | undefined;
  let failure: ProxyError | undefined;
  try {
    session.phase = "readRequest";
    session.throwIfOver();
    if (session.request.method === "CONNECT" && !(proxy.allowConnect && downstream.isConnect)) throw refusedConnect();

    if (app.onConnectionReuse !== undefined && downstream.connectionContext !== undefined) {
      session.phase = "onConnectionReuse";
      reuseConnection(app, session, ctx, downstream.connectionContext);
    }

    if (app.earlyRequestFilter !== undefined) {
      session.phase = "earlyRequestFilter";
      const result = app.earlyRequestFilter(session, ctx);
      checkAnswered(session, isPromise(result) ? await untilGone(session, result) : result);
    }

    if (app.allowSpawningSubrequest !== undefined) {
      session.phase = "allowSpawningSubrequest";
      const allowed = app.allowSpawningSubrequest(session, ctx);
      refusePromise(session, "allowSpawningSubrequest", allowed);
      if (allowed) session.subrequests = new SubrequestSpawner(proxy, session);
    }

    // A filter that answered has answered, whether or not it said so.
    let modules: HttpModuleContext | undefined;
    if (!session.answered) {
      session.phase = "requestModules";
      modules = startModules(session);
      const waiting = modules?.requestHeader();
      if (isPromise(waiting)) await untilGone(session, waiting);
    }

    if (app.requestFilter !== undefined && !session.answered) {
      session.phase = "requestFilter";
      const result = app.requestFilter(session, ctx);
      checkAnswered(session, isPromise(result) ? await untilGone(session, result) : result);
    }

    // A cache has its place here: it answers, or goes on with a request of its own.

    if (app.proxyUpstreamFilter !== undefined && !session.answered) {
      session.phase = "proxyUpstreamFilter";
      const result = app.proxyUpstreamFilter(session, ctx);
      checkAnswered(session, isPromise(result) ? await untilGone(session, result) : result);
    }

    if (!session.answered && maxForwardsOf(session.request) === 0) {
      session.phase = "proxyUpstreamFilter";
      respondAsLast(session);
    }

    if (session.ownModules?.answering !== undefined) {
      session.phase = "responseModules";
      await untilGone(session, session.ownModules.answering);
    }

    if (session.response === undefined) {
      const retryBuffer = downstream.requestBodyEmpty && modules === undefined ? undefined : new RetryBuffer();
      for (;;) {
        session.throwIfOver();
        failed = await attempt(proxy, session, ctx, retryBuffer);
        if (failed === undefined) break;
        const again = mayTryAgain(proxy, session, failed, retryBuffer);
        tellAttemptFailed(session, failed, again);
        if (!again) throw failed;
        logRetry(session, failed, summaryOf(app, session, ctx));
      }
    } else {
      session.bodyReader?.close();
      if (!downstream.responseDone) throw unfinishedAnswer(session);
    }
  } catch (thrown) {
    // What an attempt failed with was told already.
    const error = failed !== undefined && thrown === failed ? failed : hookError(session, session.phase, thrown);
    failure = await failRequest(app, session, ctx, error);
  }
  session.times.endedAtMs = nowMs();

  if (app.logging !== undefined) {
    session.phase = "logging";
    try {
      const waiting = app.logging(session, failure, ctx);
      if (isPromise(waiting)) await waiting;
    } catch (thrown) {
      logHookFailure(session, hookError(session, "logging", thrown), summaryOf(app, session, ctx));
    }
  }

  if (app.persistConnectionContext !== undefined && downstream.servesAnother === true) {
    session.phase = "persistConnectionContext";
    persistConnection(app, session, ctx);
  }
  session.ownModules?.close();
  session.family?.end(failure);
  tellEnd(session, failure);
}

/** Hands over what an earlier request left on the connection; it is told once. */
function reuseConnection<Ctx>(app: ProxyHttp<Ctx>, session: Session, ctx: Ctx, previous: unknown): void {
  session.downstream.connectionContext = undefined;
  refusePromise(session, "onConnectionReuse", app.onConnectionReuse!(session, ctx, previous));
}

/** Asks for what the connection's next request is to know. A failure costs just that. */
function persistConnection<Ctx>(app: ProxyHttp<Ctx>, session: Session, ctx: Ctx): void {
  const { downstream } = session;
  try {
    const kept = app.persistConnectionContext!(session, ctx);
    refusePromise(session, "persistConnectionContext", kept);
    downstream.connectionContext = kept;
  } catch (thrown) {
    downstream.connectionContext = undefined;
    logHookFailure(session, hookError(session, "persistConnectionContext", thrown), summaryOf(app, session, ctx));
  }
}

/** Whether another attempt is wanted, allowed, and can be the same request. */
function mayTryAgain<Ctx>(
  proxy: HttpProxy<Ctx>,
  session: Session,
  failed: ProxyError,
  retryBuffer: RetryBuffer | undefined,
): boolean {
  if (!failed.shouldRetry()) return false;
  if (session.tries >= proxy.maxAttempts) {
    session.retriesExhausted = true;
    return false;
  }
  // What the client has seen cannot be taken back, and half a body cannot be sent again.
  return session.response === undefined && retryBuffer?.truncated !== true;
}

/** Whether it could be, as far as is known before it is sent, if it was lost. */
function mayBeSentAgain<Ctx>(proxy: HttpProxy<Ctx>, session: Session, retryBuffer: RetryBuffer | undefined): boolean {
  // A body may grow too long for it.
  return retryBuffer === undefined && isIdempotent(session.request.method) && session.tries < proxy.maxAttempts;
}

/** As {@link ClientSession.isStillOpen}. */
function isStillOpen(upstream: ClientSession): true | Promise<boolean> {
  return upstream.isStillOpen?.() ?? true;
}

/** One attempt: choose a peer, connect or reuse, send the request, bring the response. */
async function attempt<Ctx>(
  proxy: HttpProxy<Ctx>,
  session: Session,
  ctx: Ctx,
  retryBuffer: RetryBuffer | undefined,
): Promise<ProxyError | undefined> {
  const { app, connector } = proxy;
  const { downstream } = session;
  session.tries++;
  session.times.beginAttempt();
  session.phase = "upstreamPeer";
  let peer: HttpPeer;
  try {
    const chosen = app.upstreamPeer(session, ctx);
    peer = isPromise(chosen) ? await untilGone(session, chosen) : chosen;
    if (!(peer instanceof HttpPeer)) throw new TypeError(`upstreamPeer must give an HttpPeer; it gave ${shown(peer)}`);
    if (retryBuffer !== undefined && !retryBuffer.begun) checkBodyIsThere(session);
  } catch (thrown) {
    return hookError(session, "upstreamPeer", thrown);
  }
  // Where one idle connection was dead, others may be too: they could use up all attempts.
  const lostReused = session.upstreamReused;
  session.beginAttempt(peer);
  tellAttempt(session, peer);

  session.phase = "connect";
  let upstream: ClientSession | undefined = lostReused ? undefined : connector.reuse(peer, downstream.upgrade);
  if (upstream !== undefined) {
    const open = mayBeSentAgain(proxy, session, retryBuffer) || isStillOpen(upstream);
    if (open !== true && !(await open)) {
      upstream.destroy();
      // Of the others it is known now, too.
      upstream = connector.reuse(peer, downstream.upgrade);
    }
  }
  while (upstream === undefined) {
    session.times.connecting();
    const connected = await connect(proxy, session, peer);
    if (connected instanceof ProxyError) {
      if (downstream.error !== undefined) return downstream.error;
      session.phase = "failToConnect";
      const described =
        app.failToConnect === undefined
          ? connected
          : errorFromHook(session, "failToConnect", app.failToConnect(session, peer, ctx, connected), connected);
      session.phase = "connect";
      return described;
    }
    // By HTTP/2 it may be one that others use, and where it was waited for room, the answer that made it may have been the last.
    const open = mayBeSentAgain(proxy, session, retryBuffer) || isStillOpen(connected);
    if (open === true || (await open)) upstream = connected;
    else connected.destroy();
  }
  session.connected(upstream);

  let outgoing;
  try {
    if (app.connectedToUpstream !== undefined) {
      session.phase = "connectedToUpstream";
      const waiting = app.connectedToUpstream(session, upstream.reused, peer, upstream.digest, ctx);
      if (isPromise(waiting)) await untilGone(session, waiting);
    }
    outgoing = upstreamRequest(session.request, peer, proxy.via, downstream.upgrade);
    proxy.requestIds?.toUpstream(outgoing, session);
    session.bodyReader?.prepare(outgoing);
    const { phase } = session;
    session.phase = "upstreamModules";
    startUpstreamModules(session, outgoing);
    session.phase = phase;
    if (app.upstreamRequestFilter !== undefined) {
      session.phase = "upstreamRequestFilter";
      const waiting = app.upstreamRequestFilter(session, outgoing, ctx);
      if (isPromise(waiting)) await untilGone(session, waiting);
    }
    // Any hook may have edited the head.
    checkContentLength(outgoing, downstream.requestBodyEmpty);
    checkMethod(outgoing, downstream.isConnect === true);
    session.sentMethod = outgoing.method;
    session.throwIfOver();
  } catch (thrown) {
    upstream.destroy();
    return failedAttempt(app, session, ctx, peer, hookError(session, session.phase, thrown), upstream.reused);
  }

  const exchange = new Exchange(app, session, ctx, upstream, retryBuffer);
  const failure = await exchange.run(outgoing);
  if (failure === undefined) return undefined;
  const described = failedAttempt(app, session, ctx, peer, failure, upstream.reused);
  // The next attempt would call again a hook that is still busy with this one.
  if (exchange.pending !== undefined && mayTryAgain(proxy, session, described, retryBuffer)) {
    await untilGone(session, exchange.pending);
  }
  return described;
}

/** An attempt failed after a connection was had: the error to go on with. */
function failedAttempt<Ctx>(
  app: ProxyHttp<Ctx>,
  session: Session,
  ctx: Ctx,
  peer: HttpPeer,
  failure: ProxyError,
  reused: boolean,
): ProxyError {
  const failedIn = session.phase;
  session.phase = "errorWhileProxy";
  const described =
    app.errorWhileProxy === undefined
      ? defaultErrorWhileProxy(peer, session, failure, reused)
      : errorFromHook(session, "errorWhileProxy", app.errorWhileProxy(peer, session, failure, ctx, reused), failure);
  session.phase = failedIn;
  return described;
}

/**
 * Waits for a hook, but not longer than the client does: one that leaves ends the request, and what the hook still gives is
 * nobody's.
 */
function untilGone<T>(session: Session, waiting: PromiseLike<T>): Promise<T> {
  const { downstream, phase } = session;
  let gone = false;
  return new Promise<T>((resolve, reject) => {
    const leave = (error: ProxyError): void => {
      gone = true;
      reject(error);
    };
    downstream.onGone = leave;
    if (downstream.error !== undefined) leave(downstream.error);
    waiting.then(resolve, (thrown: unknown) => (gone ? lateHookError(session, phase, thrown) : reject(thrown)));
  }).finally(() => (downstream.onGone = undefined));
}

/** A new connection, or why there is none. A client that leaves meanwhile ends the wait. */
async function connect<Ctx>(
  proxy: HttpProxy<Ctx>,
  session: Session,
  peer: HttpPeer,
): Promise<ClientSession | ProxyError> {
  const watch = new AbortController();
  const { downstream } = session;
  downstream.onGone = (error) => watch.abort(error);
  try {
    return await proxy.connector.connect(peer, watch.signal, downstream.upgrade);
  } catch (thrown) {
    return asProxyError("connect", thrown);
  } finally {
    downstream.onGone = undefined;
  }
}

/** @throws ProxyError for a filter that says that it answered, and did not. */
function checkAnswered(session: Session, responded: Responded | void): void {
  if (responded === undefined || session.answered) return;
  session.throwIfOver();
  const hint = "return session.respond(…) to answer, or nothing to go on";
  throw ProxyError.internal("InternalError", `${session.phase} returned a value, but did not answer: ${hint}`);
}

function unfinishedAnswer(session: Session): ProxyError {
  const hint = "a hook that writes by itself is through when its response is";
  return ProxyError.internal("InternalError", `${session.phase} began an answer and did not finish it: ${hint}`);
}

function refusedConnect(): ProxyError {
  const context = "CONNECT is not enabled";
  return new ProxyError("HTTPStatus", { source: "downstream", status: 405, context });
}
