import { HttpPeer, type ClientSession, type ServerSession } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { logFailure, logRetry } from "./error-log.ts";
import { Exchange } from "./exchange.ts";
import { defaultFailToProxy } from "./fail-to-proxy.ts";
import { errorFromHook, hookError, isPromise, nameOf, notPromise } from "./hook.ts";
import type { HttpProxy } from "./http-proxy.ts";
import type { Responded } from "./responded.ts";
import { RetryBuffer } from "./retry-buffer.ts";
import { defaultErrorWhileProxy } from "./retry-rule.ts";
import { Session } from "./session.ts";
import { checkContentLength, upstreamRequest } from "./upstream-request.ts";

/**
 * The life of a request: every phase, in order. A hook is waited for only if it gives a promise.
 *
 * Never rejects: what fails becomes an answer, a log line and a call of `logging`.
 */
export async function runRequest<Ctx>(proxy: HttpProxy<Ctx>, downstream: ServerSession): Promise<void> {
  const { app } = proxy;
  const session = new Session(downstream);
  let ctx: Ctx;
  try {
    session.phase = "newCtx";
    ctx = app.newCtx();
    if (isPromise(ctx)) {
      notPromise(ctx);
      throw new TypeError("newCtx must give the context, not a promise of it");
    }
  } catch (thrown) {
    // Without a context no other hook can run.
    const error = hookError("newCtx", thrown);
    defaultFailToProxy(session, error);
    logFailure(session, error, undefined);
    return;
  }

  let failure: ProxyError | undefined;
  try {
    session.phase = "readRequest";
    session.throwIfOver();
    if (session.request.method === "CONNECT") throw refusedConnect();

    if (app.earlyRequestFilter !== undefined) {
      session.phase = "earlyRequestFilter";
      const waiting = app.earlyRequestFilter(session, ctx);
      if (isPromise(waiting)) await untilGone(downstream, waiting);
    }

    if (app.requestFilter !== undefined && session.response === undefined) {
      session.phase = "requestFilter";
      const result = app.requestFilter(session, ctx);
      const responded: Responded | void = isPromise(result) ? await untilGone(downstream, result) : result;
      if (responded !== undefined && session.response === undefined) throw notAnswered();
    }

    // A cache has its place here: it answers, or goes on with a request of its own.

    // A filter that answered has answered, whether or not it said so.
    if (session.response === undefined) {
      const retryBuffer = downstream.requestBodyEmpty ? undefined : new RetryBuffer();
      for (;;) {
        session.throwIfOver();
        const failed = await attempt(proxy, session, ctx, retryBuffer);
        if (failed === undefined) break;
        if (!mayTryAgain(proxy, session, failed, retryBuffer)) throw failed;
        logRetry(session, failed, summaryOf(proxy, session, ctx));
      }
    }
  } catch (thrown) {
    failure = await failRequest(proxy, session, ctx, hookError(session.phase, thrown));
  }

  if (app.logging !== undefined) {
    session.phase = "logging";
    try {
      const waiting = app.logging(session, failure, ctx);
      if (isPromise(waiting)) await waiting;
    } catch (thrown) {
      logFailure(session, hookError("logging", thrown), summaryOf(proxy, session, ctx));
    }
  }
}

/** Whether another attempt is wanted, allowed, and can be the same request. */
function mayTryAgain<Ctx>(
  proxy: HttpProxy<Ctx>,
  session: Session,
  failed: ProxyError,
  retryBuffer: RetryBuffer | undefined,
): boolean {
  if (!failed.shouldRetry() || session.tries >= proxy.maxAttempts) return false;
  // What the client has seen cannot be taken back, and half a body cannot be sent again.
  return session.response === undefined && retryBuffer?.truncated !== true;
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
  session.phase = "upstreamPeer";
  let peer: HttpPeer;
  try {
    const chosen = app.upstreamPeer(session, ctx);
    peer = isPromise(chosen) ? await untilGone(downstream, chosen) : chosen;
    if (!(peer instanceof HttpPeer)) throw new TypeError(`upstreamPeer must give an HttpPeer; it gave ${nameOf(peer)}`);
  } catch (thrown) {
    return hookError("upstreamPeer", thrown);
  }
  // Where one idle connection was dead, others may be too: they could use up all attempts.
  const lostReused = session.upstreamReused;
  session.beginAttempt(peer);

  session.phase = "connect";
  let upstream: ClientSession | undefined = lostReused ? undefined : connector.reuse(peer);
  if (upstream === undefined) {
    const connected = await connect(proxy, session, peer);
    if (connected instanceof ProxyError) {
      if (downstream.error !== undefined) return downstream.error;
      session.phase = "failToConnect";
      const described =
        app.failToConnect === undefined
          ? connected
          : errorFromHook("failToConnect", app.failToConnect(session, peer, ctx, connected), connected);
      session.phase = "connect";
      return described;
    }
    upstream = connected;
  }
  session.connected(upstream);

  let outgoing;
  try {
    if (app.connectedToUpstream !== undefined) {
      session.phase = "connectedToUpstream";
      const waiting = app.connectedToUpstream(session, upstream.reused, peer, upstream.digest, ctx);
      if (isPromise(waiting)) await untilGone(downstream, waiting);
    }
    outgoing = upstreamRequest(session.request, peer, proxy.via, downstream.upgrade);
    if (app.upstreamRequestFilter !== undefined) {
      session.phase = "upstreamRequestFilter";
      const waiting = app.upstreamRequestFilter(session, outgoing, ctx);
      if (isPromise(waiting)) await untilGone(downstream, waiting);
    }
    // Any hook may have edited the head.
    checkContentLength(outgoing, downstream.requestBodyEmpty);
    session.sentMethod = outgoing.method;
    session.throwIfOver();
  } catch (thrown) {
    upstream.destroy();
    return hookError(session.phase, thrown);
  }

  const failure = await new Exchange(app, session, ctx, upstream, retryBuffer).run(outgoing);
  if (failure === undefined) return undefined;
  const phase = session.phase;
  session.phase = "errorWhileProxy";
  const described =
    app.errorWhileProxy === undefined
      ? defaultErrorWhileProxy(peer, session, failure, upstream.reused)
      : errorFromHook("errorWhileProxy", app.errorWhileProxy(peer, session, failure, ctx, upstream.reused), failure);
  session.phase = phase;
  return described;
}

/**
 * Waits for a hook, but not longer than the client does: one that leaves ends the request, and what the hook still gives is
 * nobody's.
 */
function untilGone<T>(downstream: ServerSession, waiting: PromiseLike<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    downstream.onGone = reject;
    if (downstream.error !== undefined) reject(downstream.error);
    waiting.then(resolve, reject);
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
    return await proxy.connector.connect(peer, watch.signal);
  } catch (thrown) {
    return hookError("connect", thrown);
  } finally {
    downstream.onGone = undefined;
  }
}

/** Answers a request that failed for good, and says so in the log. */
async function failRequest<Ctx>(
  proxy: HttpProxy<Ctx>,
  session: Session,
  ctx: Ctx,
  error: ProxyError,
): Promise<ProxyError> {
  const { app } = proxy;
  const failedIn = session.phase;
  try {
    if (app.failToProxy === undefined) {
      defaultFailToProxy(session, error);
    } else {
      session.phase = "failToProxy";
      const answering = app.failToProxy(session, error, ctx);
      if (isPromise(answering)) await answering;
    }
  } catch (thrown) {
    logFailure(session, hookError("failToProxy", thrown), summaryOf(proxy, session, ctx));
    defaultFailToProxy(session, error);
  }
  // What was begun and cannot be completed is cut, so that nobody takes it for whole.
  if (!session.downstream.responseDone) session.downstream.abort();
  session.phase = failedIn;
  if (!isSuppressed(proxy, session, ctx, error)) logFailure(session, error, summaryOf(proxy, session, ctx));
  return error;
}

function isSuppressed<Ctx>(proxy: HttpProxy<Ctx>, session: Session, ctx: Ctx, error: ProxyError): boolean {
  try {
    return notPromise(proxy.app.suppressErrorLog?.(session, error, ctx)) === true;
  } catch {
    return false;
  }
}

function summaryOf<Ctx>(proxy: HttpProxy<Ctx>, session: Session, ctx: Ctx): string | undefined {
  try {
    return notPromise(proxy.app.requestSummary?.(session, ctx));
  } catch (thrown) {
    return `(${hookError("logging", thrown).message})`;
  }
}

function notAnswered(): ProxyError {
  const hint = "return session.respond(…) to answer, or nothing to go on";
  return ProxyError.internal("InternalError", `requestFilter returned a value, but did not answer: ${hint}`);
}

function refusedConnect(): ProxyError {
  const context = "CONNECT is not enabled";
  return new ProxyError("HTTPStatus", { source: "downstream", status: 405, context });
}
