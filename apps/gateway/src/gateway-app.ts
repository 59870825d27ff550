import { ProxyError } from "@sluice/error";
import type { HttpPeer } from "@sluice/core";
import {
  defaultErrorWhileProxy,
  type AccessLog,
  type Awaitable,
  type ProxyHttp,
  type Responded,
  type Session,
} from "@sluice/proxy";
import { logAccess } from "./access-log.ts";
import { findRoute } from "./request-route.ts";
import type { Router } from "./router.ts";
import type { Upstream } from "./upstream.ts";

/** What the gateway keeps of a request. */
export interface GatewayContext {
  route: Upstream | undefined;
  /** Servers that failed this request; `undefined` as long as there are none. */
  failed: HttpPeer[] | undefined;
  /** The server for the next attempt, if it is to be another. */
  next: HttpPeer | undefined;
}

/** Answers requests that are not to be routed; returning nothing routes them. */
export type Interceptor = (session: Session) => Awaitable<Responded | undefined>;

/** Routes each request to an upstream, tries another server when one fails and that is safe, and logs a line. */
export class GatewayApp implements ProxyHttp<GatewayContext> {
  #router: Router<Upstream>;
  readonly #intercept: Interceptor | undefined;
  readonly #accessLog: Pick<AccessLog, "write"> | undefined;

  constructor(router: Router<Upstream>, intercept?: Interceptor, accessLog?: Pick<AccessLog, "write">) {
    this.#router = router;
    this.#intercept = intercept;
    this.#accessLog = accessLog;
  }

  /** Counts for requests that come from now on; those in flight keep the upstream they have. */
  routeBy(router: Router<Upstream>): void {
    this.#router = router;
  }

  newCtx(): GatewayContext {
    return { route: undefined, failed: undefined, next: undefined };
  }

  requestFilter(session: Session, ctx: GatewayContext): Awaitable<Responded | void> {
    return this.#intercept === undefined ? this.#route(session, ctx) : this.#interceptOrRoute(session, ctx);
  }

  upstreamPeer(_session: Session, ctx: GatewayContext): HttpPeer {
    if (ctx.route === undefined) throw ProxyError.internal("InternalError", "a request without a route");
    return ctx.next ?? ctx.route.selectPeer();
  }

  /** Nothing of the request was sent yet, so another server may be asked, up to `max_retries`; unless the fault is ours. */
  failToConnect(_session: Session, peer: HttpPeer, ctx: GatewayContext, error: ProxyError): ProxyError {
    if (error.source !== "upstream") return error;
    return error.setRetry(passOver(peer, ctx));
  }

  /** The default decides whether to try again. If so, elsewhere if possible: this server may have more dead connections. */
  errorWhileProxy(
    peer: HttpPeer,
    session: Session,
    error: ProxyError,
    ctx: GatewayContext,
    reused: boolean,
  ): ProxyError {
    const described = defaultErrorWhileProxy(peer, session, error, reused);
    if (described.shouldRetry()) passOver(peer, ctx);
    return described;
  }

  logging(session: Session, error: ProxyError | undefined): void {
    logAccess(session, error);
    this.#accessLog?.write(session, error);
  }

  async #interceptOrRoute(session: Session, ctx: GatewayContext): Promise<Responded | void> {
    return (await this.#intercept?.(session)) ?? this.#route(session, ctx);
  }

  #route(session: Session, ctx: GatewayContext): Responded | void {
    ctx.route = findRoute(this.#router, session.request);
    if (ctx.route === undefined) return session.respond(404, { body: "no route\n" });
    return undefined;
  }
}

/** Chooses another server than those that failed, for the next attempt; whether there is one. */
function passOver(peer: HttpPeer, ctx: GatewayContext): boolean {
  (ctx.failed ??= []).push(peer);
  ctx.next = ctx.route?.selectOtherPeer(ctx.failed);
  return ctx.next !== undefined;
}
