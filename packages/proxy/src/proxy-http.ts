import type { ConnectionDigest, HttpModules, HttpPeer } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { BodyStep } from "./body-step.ts";
import type { FailToProxy } from "./fail-to-proxy.ts";
import type { Responded } from "./responded.ts";
import type { RespondOptions, Session } from "./session.ts";

/** A value, or a promise of it. A hook that returns no promise is not waited for: it costs a call. */
export type Awaitable<T> = T | PromiseLike<T>;

/** `T`, unless it is a promise: for what must be there at once. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * What the proxy does beyond passing requests on: two hooks that must be there, and others in the order in which they run.
 *
 * `Ctx` is yours: made once for a request and handed to every hook. A hook that throws a ProxyError fails its request with
 * it; anything else that is thrown fails its request with 500 and is logged with the phase and the stack. Nothing else is
 * disturbed.
 *
 * `Conn` is what `persistConnectionContext` leaves on a connection for `onConnectionReuse`.
 */
export interface ProxyHttp<Ctx, Conn = unknown> {
  /**
   * Once, when the proxy is made: registers the modules that requests get on the client's side. Default: `responseCompression()`,
   * which is off until a filter turns it on; whoever registers others has only those. Synchronous.
   */
  initDownstreamModules?(modules: HttpModules): void | undefined;

  /**
   * Once, when the proxy is made: registers modules that see a response as the upstream sent it, before the filters and the
   * cache; of their hooks only those for responses run, and each attempt has its own. Default: none. Synchronous.
   */
  initUpstreamModules?(modules: HttpModules): void | undefined;

  /** Makes the context of a request, before all else. Synchronous. */
  newCtx(): NotPromise<Ctx>;

  /**
   * The client's connection has served a request before, which left `previous` on it. Only on HTTP/1, and only if something was
   * left. Synchronous.
   */
  onConnectionReuse?(session: Session, ctx: Ctx, previous: Conn): void | undefined;

  /**
   * Before modules. For settings of this request; access control belongs into `requestFilter`, though an answer given here ends
   * the request, too.
   */
  earlyRequestFilter?(session: Session, ctx: Ctx): Awaitable<Responded | void>;

  /**
   * Whether hooks may make requests in the name of this one: `session.subrequests` is there if this gives `true`. Called for
   * subrequests, too (`session.isSubrequest`). Default: no. Synchronous.
   */
  allowSpawningSubrequest?(session: Session, ctx: Ctx): boolean;

  /**
   * Validate, limit, authorise, answer. `return session.respond(403)` ends the request here; returning nothing goes on. A client
   * that leaves ends the wait for it; with 64 KiB of the body waiting it is not read on, and its leaving shows when the hook is
   * through.
   */
  requestFilter?(session: Session, ctx: Ctx): Awaitable<Responded | void>;

  /**
   * The last gate before an upstream is asked, once a request; behind the cache, for what matters only if the cache has no
   * answer. `return session.decline()` asks none and answers with 502, `return session.respond(…)` with something else.
   */
  proxyUpstreamFilter?(session: Session, ctx: Ctx): Awaitable<Responded | void>;

  /**
   * Where to send the request. Called once an attempt, so it is also the place for failover and for backing off (await a
   * timer). Throwing an error with `retry: true` leads to another attempt.
   */
  upstreamPeer(session: Session, ctx: Ctx): Awaitable<HttpPeer>;

  /**
   * No connection could be had; nothing was sent. Returns the error to go on with, marked by `setRetry(true)` if another
   * attempt is to be made. Default: the error as it is, which is not tried again. Synchronous.
   */
  failToConnect?(session: Session, peer: HttpPeer, ctx: Ctx, error: ProxyError): ProxyError;

  /** A connection is there, nothing was sent yet. Throwing fails the attempt and closes the connection. */
  connectedToUpstream?(
    session: Session,
    reused: boolean,
    peer: HttpPeer,
    digest: ConnectionDigest,
    ctx: Ctx,
  ): Awaitable<void>;

  /**
   * Edit `outgoing`, a copy made for this attempt; hop-by-hop fields have already left it. `session.request` is what the
   * client sent.
   */
  upstreamRequestFilter?(session: Session, outgoing: RequestHeader, ctx: Ctx): Awaitable<void>;

  /**
   * Every piece of the request body, then once with `end` and no piece; a request without a body gets that one call only. After
   * a 101 the client's bytes follow, and the end once more. Returns what is sent instead (an empty array: nothing, for now), or
   * the same with a delay; nothing returned passes the piece on. While it waits, no more is read from the client, and
   * that the client left may show only afterwards. On a retry the pieces come again, once the call that the failed attempt was
   * waiting for is through.
   *
   * The piece is lent: it is there until the hook returns, or until its promise is settled, or its delay has passed. Keep a copy
   * (`Buffer.from(piece)`) of what you need later, and do not change it in place. Who keeps it all the same finds a notice in
   * its place, or an empty array.
   *
   * Throwing with `end` cuts the request visibly, though all pieces have gone up: the last chunk is missing, or END_STREAM, or by
   * HTTP/1 the last byte of a body with Content-Length, which waits until then. To judge a whole body before any of it goes up:
   * `session.readRequestBody`.
   */
  requestBodyFilter?(
    session: Session,
    piece: Uint8Array | undefined,
    end: boolean,
    ctx: Ctx,
  ): Awaitable<Uint8Array | BodyStep | void>;

  /**
   * The trailers of the request, if there are any, after the end of its body. Edit them: what is taken from a head can come back
   * as a trailer. They go up if the length of the body was not known before (chunked), and else nowhere.
   */
  requestTrailerFilter?(session: Session, trailers: HeaderFields, ctx: Ctx): Awaitable<void>;

  /**
   * Before the upstream's modules see a head, also a 1xx: the place to turn them on and off by what was answered.
   * @param end Nothing follows that head.
   */
  adjustUpstreamModules?(session: Session, response: Readonly<ResponseHeader>, end: boolean, ctx: Ctx): Awaitable<void>;

  /** The head as the upstream sent it, without hop-by-hop fields, before caching. Also every 1xx head. */
  upstreamResponseFilter?(session: Session, response: ResponseHeader, ctx: Ctx): Awaitable<void>;

  /** The head about to go down, after caching. Also every 1xx head. */
  responseFilter?(session: Session, response: ResponseHeader, ctx: Ctx): Awaitable<void>;

  /**
   * Every piece of the response body as the upstream sent it, then once with `end` and no piece. Returns what goes on
   * instead, or the same with a delay; nothing returned passes the piece on. Synchronous: pieces are in the middle of their way.
   * They are lent, as those of `requestBodyFilter`. Who changes the length takes `Content-Length` away in a response filter.
   */
  upstreamResponseBodyFilter?(
    session: Session,
    piece: Uint8Array | undefined,
    end: boolean,
    ctx: Ctx,
  ): Uint8Array | BodyStep | void;

  /** As `upstreamResponseBodyFilter`, for what goes down, after caching. Delays of both add up. */
  responseBodyFilter?(
    session: Session,
    piece: Uint8Array | undefined,
    end: boolean,
    ctx: Ctx,
  ): Uint8Array | BodyStep | void;

  /**
   * The trailers of the response as the upstream sent them, if there are any, after the end of its body and before caching. Edit
   * them. Synchronous.
   */
  upstreamResponseTrailerFilter?(session: Session, trailers: HeaderFields, ctx: Ctx): void | undefined;

  /**
   * The trailers about to go down, if there are any; a client of HTTP/1.0 gets none. Edit them, or return bytes, which become the
   * end of the body instead of the trailers.
   */
  responseTrailerFilter?(session: Session, trailers: HeaderFields, ctx: Ctx): Awaitable<Uint8Array | void>;

  /**
   * An attempt failed after a connection was had. Returns the error to go on with. Default: {@link defaultErrorWhileProxy},
   * which names the peer and decides whether a request lost on a reused connection is sent again. Synchronous.
   */
  errorWhileProxy?(peer: HttpPeer, session: Session, error: ProxyError, ctx: Ctx, reused: boolean): ProxyError;

  /**
   * The request failed for good. May answer as it likes, if nothing was answered yet; returns the status, with which the request
   * is answered if the hook has not. 0: nothing is to be sent. Default: {@link errorStatus}, which also says 0 when the client
   * is gone. A client that leaves ends the wait for it.
   */
  failToProxy?(session: Session, error: ProxyError, ctx: Ctx): Awaitable<FailToProxy | number>;

  /**
   * What the default answer to a failed request holds beside its status; not called when nothing can be sent. Failing, it leaves
   * the answer plain: no body.
   */
  errorPage?(session: Session, status: number, error: ProxyError, ctx: Ctx): Awaitable<RespondOptions | void>;

  /** Whether to leave out the error line of this failed request. Default: no. */
  suppressErrorLog?(session: Session, error: ProxyError, ctx: Ctx): boolean;

  /** How the request is named in log lines. Default: method, target and Host. */
  requestSummary?(session: Session, ctx: Ctx): string;

  /**
   * Once for every request, also for those that failed or could not be read, when all else is over. It is waited for without
   * limit, also when the client is gone: until then the connection reads no other request.
   */
  logging?(session: Session, error: ProxyError | undefined, ctx: Ctx): Awaitable<void>;

  /**
   * After `logging`, if the client's connection is about to serve another request (HTTP/1): what that request's
   * `onConnectionReuse` is to be told; `undefined` for nothing. Dropped when the connection ends after all, or when the next
   * request cannot be read. Synchronous.
   */
  persistConnectionContext?(session: Session, ctx: Ctx): Conn | undefined;
}
