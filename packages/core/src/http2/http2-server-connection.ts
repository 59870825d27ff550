import {
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import type { Duplex } from "node:stream";
import type { ProxyError } from "@sluice/error";
import type { ConnectionCloseReason, ConnectionSummary } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ServerConnection } from "../http/server-connection.ts";
import type { HttpApp } from "../http/server-session.ts";
import * as clientErrors from "../http1/client-errors.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { ENHANCE_YOUR_CALM, NO_ERROR } from "./error-codes.ts";
import { FloodGuard } from "./flood-guard.ts";
import { Http2ServerSession } from "./http2-server-session.ts";
import type { Http2ServerOptions } from "./server-options.ts";
import { Http2RequestHead } from "./server-request.ts";

/** RFC 9113, section 6.8: no stream is left out yet. */
const ALL_STREAMS = 2 ** 31 - 1;
/** `NGHTTP2_FLAG_END_STREAM`. */
const END_STREAM = 1;
/** A client that connected, or had an answer, within this time is taken to be busy. */
const BUSY_LATELY_MS = 1000;

const CONNECTION = Symbol("sluice.http2ServerConnection");

/** A session of Node that knows the connection: the listeners are shared by all connections. */
type OwnedSession = ServerHttp2Session & { [CONNECTION]?: Http2ServerConnection };
type OwnedStream = ByteStream & { [CONNECTION]?: Http2ServerConnection };

/** Read out at once, before another head is; so one does for all connections. */
const HEAD = new Http2RequestHead();

const log = logger("core");

/** What is known of a stream before HTTP/2 begins on it. */
export interface Http2Start {
  /** What came already, from the preface on. */
  readonly early?: Buffer;
  readonly tls?: TlsDigest | undefined;
  /** Of the same connection, if there is one. */
  readonly digest?: ConnectionDigest | undefined;
}

/** Serves HTTP/2 on one connection: each stream a session given to the app, many at a time. */
export class Http2ServerConnection implements ServerConnection {
  /** @internal */
  readonly options: Http2ServerOptions;
  readonly digest: ConnectionDigest;
  /** @internal Takes no further request. */
  shuttingDown = false;
  /** @internal The connection is over, or about to be. */
  over = false;
  /** @internal What ended it. */
  cause: Error | undefined = undefined;
  readonly #stream: OwnedStream;
  readonly #session: OwnedSession;
  readonly #app: HttpApp;
  readonly #onClosed: (connection: Http2ServerConnection) => void;
  readonly #acceptedAtMs: number;
  /** Streams whose session the app has, or that are not closed yet. */
  readonly #sessions: Set<Http2ServerSession> = new Set();
  readonly #guard: FloodGuard;
  /** While there are streams: when to look at what they hold; otherwise: when the client must have sent a request. */
  readonly #deadline: Deadline;
  #requests = 0;
  #idleSinceMs: number;
  /** GOAWAY with the last stream was sent. */
  #closing = false;
  #reason: ConnectionCloseReason | undefined = undefined;

  /** @param onClosed Called once, when the stream is gone. */
  constructor(
    stream: ByteStream,
    app: HttpApp,
    options: Http2ServerOptions,
    onClosed: (connection: Http2ServerConnection) => void,
    start: Http2Start = {},
  ) {
    this.options = options;
    this.#stream = stream;
    this.#app = app;
    this.#onClosed = onClosed;
    this.digest = start.digest ?? new StreamDigest(stream, start.tls);
    this.#acceptedAtMs = this.digest.establishedAtMs;
    this.#idleSinceMs = this.#acceptedAtMs;
    this.#guard = new FloodGuard(options, (what) => this.#flooded(what));
    this.#deadline = new Deadline(() => this.#onDeadline());
    this.#stream[CONNECTION] = this;
    stream.on("end", onPeerEnd);
    this.#session = begin(stream, options, start.early);
    this.#session[CONNECTION] = this;
    this.#session.on("stream", onStream as never);
    this.#session.on("error", onError);
    this.#session.on("close", onClose);
    this.#session.on("ping", onControlFrame);
    this.#session.on("remoteSettings", onControlFrame);
    this.#session.on("priority" as "ping", onControlFrame);
    this.#deadline.set(options.keepAliveMs);
  }

  get summary(): ConnectionSummary {
    const { bytesRead, bytesWritten } = this.#stream;
    return { requests: this.#requests, bytesRead, bytesWritten, reason: this.#closeReason, error: this.cause };
  }

  get #closeReason(): ConnectionCloseReason {
    if (this.#reason !== undefined) return this.#reason;
    if (this.cause !== undefined) return "error";
    return this.shuttingDown ? "server-stop" : this.#closing ? "last-response" : "client";
  }

  /**
   * RFC 9113, section 6.8: a first GOAWAY tells the client to send no more, without leaving out what is on the way; when it has
   * answered a PING, which it gets behind it, a second one names the last stream. Requests in between are served.
   */
  shutdown(): void {
    if (this.shuttingDown) return;
    this.shuttingDown = true;
    if (this.over || this.#closing) return;
    const session = this.#session;
    session.goaway(NO_ERROR, ALL_STREAMS);
    session.ping(() => this.#lastGoaway());
    // One that answers nothing is not waited for, unless it has requests under way.
    if (this.#sessions.size === 0) this.#deadline.set(Math.min(BUSY_LATELY_MS, this.options.lingerMs));
  }

  destroy(): void {
    this.shuttingDown = true;
    this.#reason = this.#sessions.size > 0 ? "cut" : "server-stop";
    for (const session of this.#sessions) session.fail(clientErrors.serverStops());
    this.#cut(NO_ERROR);
  }

  /** @internal A piece of a request body came. */
  gotPiece(): void {
    this.#guard.allow();
  }

  /** @internal A piece of a response leaves. */
  sentPiece(): void {
    this.#guard.allow();
  }

  /** @internal The client does not take what is there for a stream. */
  stalled(session: Http2ServerSession, error: ProxyError): void {
    // The response was given to us whole, and its request is told as served.
    if (session.responseDone) log.warn({ client: this.digest.remoteAddress, err: error }, "cut a stream of a client");
  }

  /** @internal @param reset By the client, or because of what it sent. */
  streamClosed(session: Http2ServerSession, reset: boolean): void {
    this.#sessions.delete(session);
    if (reset && !this.over) this.#guard.reset();
    if (this.#sessions.size > 0 || this.over) return;
    this.#idleSinceMs = nowMs();
    this.#deadline.set(this.options.keepAliveMs, this.#idleSinceMs);
  }

  #lastGoaway(): void {
    if (this.over || this.#closing) return;
    this.#closing = true;
    // Takes no more streams, and closes when there are none.
    this.#session.close();
    if (this.#sessions.size === 0) this.#deadline.set(this.options.lingerMs);
  }

  onStream(stream: ServerHttp2Stream, flags: number, raw: string[]): void {
    const head = HEAD;
    head.read(raw, this.options);
    if (this.#sessions.size === 0) this.#deadline.set(this.#sweepMs);
    this.#guard.allow();
    const session = new Http2ServerSession(this, stream, head, (flags & END_STREAM) !== 0);
    this.#sessions.add(session);
    if (++this.#requests >= this.options.maxRequests && !this.#closing) this.#lastRequest();
    let handled: Promise<void>;
    try {
      handled = this.#app.handleRequest(session);
    } catch (thrown) {
      this.#handlerFailed(session, thrown);
      return;
    }
    handled.then(
      () => session.close(),
      (thrown: unknown) => this.#handlerFailed(session, thrown),
    );
  }

  #lastRequest(): void {
    this.#session.goaway(NO_ERROR, ALL_STREAMS);
    this.#session.ping(() => this.#lastGoaway());
  }

  #handlerFailed(session: Http2ServerSession, error: unknown): void {
    log.error({ err: error, client: this.digest.remoteAddress }, "an app failed to handle a request");
    session.abort();
  }

  onError(error: Error): void {
    this.cause ??= error;
  }

  onPeerEnd(): void {
    if (this.over) return;
    this.over = true;
    // Nothing could come any more, not even leave to send.
    this.#cut(NO_ERROR);
  }

  onClose(): void {
    this.over = true;
    this.#deadline.dispose();
    for (const session of this.#sessions) session.fail(clientErrors.connectionGone(this.cause));
    this.#onClosed(this);
  }

  onControlFrame(): void {
    this.#guard.controlFrame();
  }

  get #sweepMs(): number {
    return Math.max(this.options.writeMs / 4, 10);
  }

  #onDeadline(): void {
    if (this.#closing) {
      this.#cut(NO_ERROR);
    } else if (this.#sessions.size > 0) {
      this.#sweep();
    } else if (this.shuttingDown) {
      this.#lastGoaway();
    } else {
      this.#reason = "idle-timeout";
      this.#lastGoaway();
    }
  }

  /** Looks at who takes nothing. */
  #sweep(): void {
    for (const session of this.#sessions) session.checkWrites();
    this.#deadline.set(this.#sweepMs);
  }

  #flooded(what: string): void {
    if (this.over) return;
    log.warn({ client: this.digest.remoteAddress, reason: what }, "ended an HTTP/2 connection with ENHANCE_YOUR_CALM");
    this.#reason = "cut";
    this.over = true;
    this.#cut(ENHANCE_YOUR_CALM);
  }

  #cut(code: number): void {
    this.over = true;
    // @types/node knows only of errors.
    this.#session.destroy(undefined, code);
    this.#stream.destroy();
  }
}

/** Hands the stream over to Node. */
function begin(stream: ByteStream, options: Http2ServerOptions, early: Buffer | undefined): OwnedSession {
  const duplex = stream as unknown as Duplex;
  // What is put back is read by the session, and must not be by anybody else.
  duplex.pause();
  if (early !== undefined) duplex.unshift(early);
  const session = performServerHandshake(duplex, nodeOptions(options)) as OwnedSession;
  session.setLocalWindowSize(options.connectionWindowBytes);
  process.nextTick(() => duplex.resume());
  return session;
}

const NODE_OPTIONS = new WeakMap<Http2ServerOptions, ServerOptions>();

function nodeOptions(options: Http2ServerOptions): ServerOptions {
  let made = NODE_OPTIONS.get(options);
  if (made === undefined) {
    made = makeNodeOptions(options);
    NODE_OPTIONS.set(options, made);
  }
  return made;
}

function makeNodeOptions(options: Http2ServerOptions): ServerOptions {
  // Beyond ours a request is answered; beyond these it is reset.
  const hardBytes = options.maxHeadBytes * 2 + options.maxFields * 64;
  return {
    maxHeaderListPairs: options.maxFields * 2,
    strictSingleValueFields: false,
    streamResetBurst: options.maxResets * 10,
    streamResetRate: options.maxResets,
    settings: {
      enableConnectProtocol: options.extendedConnect,
      enablePush: false,
      initialWindowSize: options.streamWindowBytes,
      maxConcurrentStreams: options.maxConcurrentStreams,
      maxFrameSize: options.maxFrameBytes,
      maxHeaderListSize: hardBytes,
    },
  } as ServerOptions;
}

function onStream(this: OwnedSession, stream: ServerHttp2Stream, _headers: object, flags: number, raw: string[]): void {
  this[CONNECTION]!.onStream(stream, flags, raw);
}

function onError(this: OwnedSession, error: Error): void {
  this[CONNECTION]!.onError(error);
}

function onClose(this: OwnedSession): void {
  this[CONNECTION]!.onClose();
}

function onControlFrame(this: OwnedSession): void {
  this[CONNECTION]!.onControlFrame();
}

function onPeerEnd(this: OwnedStream): void {
  this[CONNECTION]!.onPeerEnd();
}
