import type { ConnectionDigest, HttpPeer } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { RequestHeader, ResponseHeader } from "@sluice/http";
import type { Responded } from "./responded.ts";
import type { Session } from "./session.ts";

/** A value, or a promise of it. A hook that returns no promise is not waited for: it costs a call. */
export type Awaitable<T> = T | PromiseLike<T>;

/**
 * What the proxy does beyond passing requests on: two hooks that must be there, and others in the order in which they run.
 *
 * `Ctx` is yours: made once for a request and handed to every hook. A hook that throws a ProxyError fails its request with
 * it; anything else that is thrown fails its request with 500 and is logged with the phase and the stack. Nothing else is
 * disturbed.
 */
export interface ProxyHttp<Ctx> {
  /** Makes the context of a request, before all else. */
  newCtx(): Ctx;

  /** First of all, before modules. For settings of this request; access control belongs into `requestFilter`. */
  earlyRequestFilter?(session: Session, ctx: Ctx): Awaitable<void>;

  /**
   * Validate, limit, authorise, answer. `return session.respond(403)` ends the request here; returning nothing goes on.
   */
  requestFilter?(session: Session, ctx: Ctx): Awaitable<Responded | void>;

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
   * Every piece of the request body, then once with `end` and no piece; a request without a body gets that one call only.
   * Returns what is sent instead (an empty array: nothing, for now); nothing returned passes the piece on. While it waits,
   * no more is read from the client. On a retry the pieces come again.
   */
  requestBodyFilter?(
    session: Session,
    piece: Uint8Array | undefined,
    end: boolean,
    ctx: Ctx,
  ): Awaitable<Uint8Array | void>;

  /** The head as the upstream sent it, without hop-by-hop fields, before caching. Also every 1xx head. */
  upstreamResponseFilter?(session: Session, response: ResponseHeader, ctx: Ctx): Awaitable<void>;

  /** The head about to go down, after caching. Also every 1xx head. */
  responseFilter?(session: Session, response: ResponseHeader, ctx: Ctx): Awaitable<void>;

  /**
   * Every piece of the response body as the upstream sent it, then once with `end` and no piece. Returns what goes on
   * instead; nothing returned passes the piece on. Synchronous: pieces are in the middle of their way. Who changes the
   * length takes `Content-Length` away in a response filter.
   */
  upstreamResponseBodyFilter?(
    session: Session,
    piece: Uint8Array | undefined,
    end: boolean,
    ctx: Ctx,
  ): Uint8Array | void;

  /** As `upstreamResponseBodyFilter`, for what goes down, after caching. */
  responseBodyFilter?(session: Session, piece: Uint8Array | undefined, end: boolean, ctx: Ctx): Uint8Array | void;

  /**
   * An attempt failed after a connection was had. Returns the error to go on with. Default: {@link defaultErrorWhileProxy},
   * which names the peer and decides whether a request lost on a reused connection is sent again. Synchronous.
   */
  errorWhileProxy?(peer: HttpPeer, session: Session, error: ProxyError, ctx: Ctx, reused: boolean): ProxyError;

  /**
   * The request failed for good. May answer as it likes if nothing was answered yet; returns the status for the log (0: the
   * client is gone, nothing was sent). Default: {@link defaultFailToProxy}.
   */
  failToProxy?(session: Session, error: ProxyError, ctx: Ctx): Awaitable<number>;

  /** Whether to leave out the error line of this failed request. Default: no. */
  suppressErrorLog?(session: Session, error: ProxyError, ctx: Ctx): boolean;

  /** How the request is named in log lines. Default: method, target and Host. */
  requestSummary?(session: Session, ctx: Ctx): string;

  /** Once for every request, last of all, also for those that failed or could not be read. */
  logging?(session: Session, error: ProxyError | undefined, ctx: Ctx): Awaitable<void>;
}
