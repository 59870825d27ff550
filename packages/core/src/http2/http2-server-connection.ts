import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { ProxyError } from "@sluice/error";
import type { ConnectionCloseReason, ConnectionSummary } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ServerConnection } from "../http/server-connection.ts";
import type { HttpApp } from "../http/server-session.ts";
import * as clientErrors from "../http1/client-errors.ts";
import { queuedBytes } from "../http1/write-watch.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { ENHANCE_YOUR_CALM, NO_ERROR } from "./error-codes.ts";
import { FloodGuard } from "./connection/flood-guard.ts";
import { Http2ServerSession } from "./http2-server-session.ts";
import type { Http2ServerOptions } from "./server-options.ts";
import { Http2RequestHead } from "./server-request.ts";
import { nodeOptions } from "./server-node-options.ts";
import { sendGoawayForAll } from "./shutdown-notice.ts";

/** `NGHTTP2_FLAG_END_STREAM`. */
const END_STREAM = 1;
/** How long a client that has no request under way may take to answer the first GOAWAY. */
const BUSY_LATELY_MS = 1000;
/** How long the last GOAWAY may take to leave. */
const MAX_CUT_MS = 100;
/** How often it is looked at what a busy connection sends and takes. */
const MAX_SWEEP_MS = 5000;
const MIN_SWEEP_MS = 10;

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
  readonly early?: Buffer | undefined;
  readonly tls?: TlsDigest | undefined;
  /** Of the same connection, if there is one. */
  readonly digest?: ConnectionDigest | undefined;
}

/** Serves HTTP/2 on one connection: each stream a session given to the app, many at a time. */
export class Http2ServerConnection implements ServerConnection {
  /** @internal */
  readonly options: Http2ServerOptions;
  readonly digest: ConnectionDigest;
  /** @internal The service stops. */
  shuttingDown = false;
  /** @internal What ended it. */
  cause: Error | undefined = undefined;
  readonly #stream: OwnedStream;
  readonly #session: OwnedSession;
  readonly #app: HttpApp;
  readonly #onClosed: (connection: Http2ServerConnection) => void;
  /** Those whose stream is not closed yet. */
  readonly #sessions: Set<Http2ServerSession> = new Set();
  readonly #guard: FloodGuard;
  /** While there are streams: when to look at them; otherwise: when the client must have sent a request. */
  readonly #deadline: Deadline;
  #requests = 0;
  /** Those of which Node told. */
  #streams = 0;
  /** Of those, and, once the end is near, of all that came. */
  #firstStreamId = 0;
  #lastStreamId = 0;
  #over = false;
  /** The first GOAWAY was sent, that names no last stream. */
  #leaving = false;
  /** GOAWAY with the last stream was sent, or the client sent one. */
  #closing = false;
  /** Bytes that the system had taken when last looked at, and when it took some. */
  #takenBytes = 0;
  #takenAtMs = 0;
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
    // Wanted in the log of what a client does wrong, when the socket has none any more.
    void this.digest.remoteAddress;
    this.#guard = new FloodGuard(options, (what) => this.#flooded(what));
    this.#deadline = new Deadline(() => this.#onDeadline());
    this.#stream[CONNECTION] = this;
    stream.on("end", onPeerEnd);
    this.#session = begin(stream, options, start.early);
    this.#session[CONNECTION] = this;
    // @types/node does not know of the last parameter.
    this.#session.on("stream", onStream as (stream: ServerHttp2Stream) => void);
    this.#session.on("error", onError);
    this.#session.on("close", onClose);
    this.#session.on("goaway", onGoaway);
    this.#session.on("ping", onControlFrame);
    this.#session.on("remoteSettings", onControlFrame);
    this.#awaitRequest();
  }

  get summary(): ConnectionSummary {
    const { bytesRead, bytesWritten } = this.#stream;
    return { requests: this.#requests, bytesRead, bytesWritten, reason: this.#closeReason, error: this.cause };
  }

  get #closeReason(): ConnectionCloseReason {
    if (this.#reason !== undefined) return this.#reason;
    if (this.cause !== undefined) return "error";
    if (this.shuttingDown) return "server-stop";
    return this.#leaving ? "last-response" : "client";
  }

  /** @internal Nothing comes or goes any more. */
  get over(): boolean {
    return this.#over || this.#session.destroyed;
  }

  shutdown(): void {
    if (this.shuttingDown) return;
    this.shuttingDown = true;
    this.#takeNoMore();
  }

  destroy(): void {
    this.shuttingDown = true;
    if (this.over) return;
    for (const session of this.#sessions) session.fail(clientErrors.serverStops());
    this.#reason = this.#sessions.size > 0 ? "cut" : "server-stop";
    this.#cut(NO_ERROR);
  }

  /** @internal A piece of a body came or leaves. @param cameBytes Of one that came. */
  movedPiece(cameBytes = 0): void {
    this.#guard.allow(cameBytes);
  }

  /** @internal The client does not take what is there for a stream. */
  stalled(session: Http2ServerSession, error: ProxyError): void {
    // The response was given to us whole, and its request is told as served.
    if (session.responseDone) log.warn({ client: this.digest.remoteAddress, err: error }, "reset a stream of a client");
  }

  /** @internal @param reset By the client, or because of what it sent. */
  streamClosed(session: Http2ServerSession, reset: boolean): void {
    this.#sessions.delete(session);
    if (this.over) return;
    if (reset) this.#guard.reset();
    if (this.#sessions.size === 0) this.#awaitRequest();
  }

  /**
   * RFC 9113, section 6.8: a first GOAWAY tells the client to send no more, without leaving out what is on the way; when it has
   * answered a PING, which reaches it behind that, a second one names the last stream. Requests in between are served. Where the
   * first cannot be sent, clients send again what came too late, as they may.
   */
  #takeNoMore(): void {
    if (this.over || this.#closing || this.#leaving) return;
    this.#leaving = true;
    if (!sendGoawayForAll(this.#stream)) {
      this.#lastGoaway();
      return;
    }
    this.#session.ping(() => this.#lastGoaway());
    if (this.#sessions.size === 0) this.#awaitRequest();
  }

  #lastGoaway(): void {
    if (this.over || this.#closing) return;
    this.#closing = true;
    this.#noteLastStream();
    // Takes no more streams, and closes when there are none.
    this.#session.close();
    if (this.#sessions.size === 0) this.#awaitRequest();
  }

  /** There are no streams: how long that may be so. */
  #awaitRequest(): void {
    const { keepAliveMs, lingerMs } = this.options;
    this.#deadline.set(this.#closing ? lingerMs : this.#leaving ? Math.min(BUSY_LATELY_MS, lingerMs) : keepAliveMs);
  }

  /** @internal */
  onStream(stream: ServerHttp2Stream, flags: number, raw: string[]): void {
    if (this.#streams++ === 0) this.#firstStreamId = stream.id!;
    this.#lastStreamId = Math.max(this.#lastStreamId, stream.id!);
    if (this.over) {
      // It came together with what ended the connection, and fails with it.
      stream.on("error", noop);
      return;
    }
    const head = HEAD;
    head.read(raw, this.options);
    if (this.#sessions.size === 0) this.#beginSweeping();
    this.#guard.allow(head.bytes);
    const session = new Http2ServerSession(this, stream, head, (flags & END_STREAM) !== 0);
    this.#sessions.add(session);
    if (++this.#requests >= this.options.maxRequests) this.#takeNoMore();
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

  #handlerFailed(session: Http2ServerSession, error: unknown): void {
    log.error({ err: error, client: this.digest.remoteAddress }, "an app failed to handle a request");
    session.abort();
  }

  /** @internal */
  onError(error: Error): void {
    this.cause ??= error;
    if ((error as NodeJS.ErrnoException).code?.startsWith("ERR_HTTP2_") !== true) return;
    const client = this.digest.remoteAddress;
    log.warn({ client, reason: error.message }, "ended an HTTP/2 connection whose client broke the protocol");
  }

  /** @internal Nothing could come any more, not even leave to send. */
  onPeerEnd(): void {
    if (!this.over) this.#cut(NO_ERROR);
  }

  /** nghttp2 resets what is malformed, or too much, and tells nobody; but it knows the last stream that came. */
  #noteLastStream(): void {
    this.#lastStreamId = Math.max(this.#lastStreamId, this.#session.state.lastProcStreamID ?? 0);
  }

  #tellOfRefused(): void {
    const ids = this.#lastStreamId - this.#firstStreamId;
    const streams = this.#streams === 0 ? Math.min(this.#lastStreamId, 1) : ids / 2 + 1 - this.#streams;
    if (streams < 1) return;
    const what = "reset streams of an HTTP/2 client that were malformed, or beyond maxConcurrentStreams";
    log.warn({ client: this.digest.remoteAddress, streams }, what);
  }

  /** @internal Node takes no more streams then, and closes when there are none. */
  onGoaway(): void {
    this.#closing = true;
    this.#noteLastStream();
    if (this.#sessions.size === 0) this.#awaitRequest();
  }

  /** @internal */
  onClose(): void {
    this.#over = true;
    this.#deadline.dispose();
    if (this.cause === undefined) this.#tellOfRefused();
    this.#onClosed(this);
  }

  /** @internal */
  onControlFrame(): void {
    this.#guard.controlFrame();
  }

  #onDeadline(): void {
    if (this.over) {
      this.#stream.destroy();
    } else if (this.#sessions.size > 0) {
      this.#sweep();
    } else if (this.#closing) {
      this.#cut(NO_ERROR);
    } else if (this.#leaving) {
      this.#lastGoaway();
    } else {
      this.#reason = "idle-timeout";
      this.#lastGoaway();
    }
  }

  #beginSweeping(): void {
    this.#takenAtMs = nowMs();
    this.#deadline.set(this.#sweepMs);
  }

  get #sweepMs(): number {
    const { writeMs } = this.options;
    return writeMs === 0 ? MAX_SWEEP_MS : Math.min(Math.max(writeMs / 4, MIN_SWEEP_MS), MAX_SWEEP_MS);
  }

  /** Looks for a client that takes nothing, and for one that sends what is worth nothing. */
  #sweep(): void {
    for (const session of this.#sessions) session.checkWrites();
    if (this.#takesNothing()) {
      const error = clientErrors.takesTooSlowly(this.options);
      log.warn({ client: this.digest.remoteAddress, err: error }, "cut a client");
      for (const session of this.#sessions) session.fail(clientErrors.takesTooSlowly(this.options));
      this.#reason = "cut";
      this.#cut(NO_ERROR);
      return;
    }
    this.#guard.look(this.#stream.bytesRead ?? 0);
    if (!this.over) this.#deadline.set(this.#sweepMs);
  }

  /** The system has had bytes for the client for too long. */
  #takesNothing(): boolean {
    const { writeMs } = this.options;
    const now = nowMs();
    const queued = queuedBytes(this.#stream);
    const taken = (this.#stream.bytesWritten ?? 0) - queued;
    if (queued === 0 || taken !== this.#takenBytes) this.#takenAtMs = now;
    this.#takenBytes = taken;
    return writeMs > 0 && now - this.#takenAtMs >= writeMs;
  }

  #flooded(what: string): void {
    if (this.over) return;
    log.warn({ client: this.digest.remoteAddress, reason: what }, "ended an HTTP/2 connection with ENHANCE_YOUR_CALM");
    this.#reason = "cut";
    for (const session of this.#sessions) {
      session.fail(ProxyError.downstream("ConnectionClosed", `we ended the HTTP/2 connection: ${what}`));
    }
    this.#cut(ENHANCE_YOUR_CALM);
  }

  /** Ends the connection, and what was begun on it shows to be cut. */
  #cut(code: number): void {
    this.#over = true;
    const session = this.#session;
    if (session.destroyed) return;
    this.#noteLastStream();
    session.goaway(code);
    // Node would close before the GOAWAY has left. (@types/node does not know that there may be no error: we have said why.)
    setImmediate(() => session.destroy(null as unknown as Error, code));
    // It would wait for a client that takes nothing.
    this.#deadline.set(MAX_CUT_MS);
  }
}

/** Hands the stream over to Node. */
function begin(stream: ByteStream, options: Http2ServerOptions, early: Buffer | undefined): OwnedSession {
  const duplex = stream as unknown as Duplex;
  // What is put back is read by the session, in its next turn, and must not be by anybody else.
  duplex.pause();
  if (early !== undefined) duplex.unshift(early);
  const session = performServerHandshake(duplex, nodeOptions(options)) as OwnedSession;
  session.setLocalWindowSize(options.connectionWindowBytes);
  process.nextTick(() => duplex.resume());
  return session;
}

function noop(): void {}

function onStream(this: OwnedSession, stream: ServerHttp2Stream, _fields: object, flags: number, raw: string[]): void {
  this[CONNECTION]!.onStream(stream, flags, raw);
}

function onError(this: OwnedSession, error: Error): void {
  this[CONNECTION]!.onError(error);
}

function onClose(this: OwnedSession): void {
  this[CONNECTION]!.onClose();
}

function onGoaway(this: OwnedSession): void {
  this[CONNECTION]!.onGoaway();
}

function onControlFrame(this: OwnedSession): void {
  this[CONNECTION]!.onControlFrame();
}

function onPeerEnd(this: OwnedStream): void {
  this[CONNECTION]!.onPeerEnd();
}
