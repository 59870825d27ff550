import { ProxyError } from "@sluice/error";
import { RequestHeader } from "@sluice/http";
import type { ConnectionCloseReason, ConnectionSummary } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ServerConnection } from "../http/server-connection.ts";
import type { HttpApp } from "../http/server-session.ts";
import { matchPreface } from "../http2/preface.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { afterQuietTurn } from "../net/quiet-turn.ts";
import type { ChunkReceiver, SocketReader } from "../net/socket-reader.ts";
import { BodyDrain } from "./body-drain.ts";
import * as clientErrors from "./client-errors.ts";
import { Ending, NOT_ENDING } from "./ending.ts";
import { Handled, type Handing } from "./handled.ts";
import { Http1RequestIntake } from "./http1-request-intake.ts";
import { Http1ServerSession } from "./http1-server-session.ts";
import { LARGE_BYTES, Lingering, mayStillRead } from "./lingering.ts";
import { malformed } from "./reject.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import type { WriteLimits } from "./write-watch.ts";

/**
 * The life of a client's connection:
 * - `head`: waiting for a request, or in the middle of its head → `exchange`, `lingering`
 * - `exchange`: a session exists; its body may still be arriving → `head`, `draining`, `lingering`, also before the session is over
 * - `draining`: the response is complete, and the rest of the body is dropped → `head`, `lingering`
 * - `lingering`: nothing more is written, mostly our direction is ended; what the client still sends is dropped → closed
 */
type State = "head" | "exchange" | "draining" | "lingering";

/** A client that connected, or had an answer, within this time is taken to be busy. */
const BUSY_LATELY_MS = 1000;

const NOBODY: ChunkReceiver = { onData: () => undefined };

const log = logger("core");

/** Serves HTTP/1 on one stream: one request after another, in order, each as a session given to the app. */
export class Http1ServerConnection extends Http1RequestIntake implements ServerConnection, Handing {
  /**
   * @internal Called if the client turns out to speak HTTP/2, with what came: the stream is not this connection's any more. Such a
   * client is refused without it.
   */
  onHttp2: ((connection: Http1ServerConnection, stream: ByteStream, early: Buffer) => void) | undefined = undefined;
  /** @internal What the app keeps from one request to the next. */
  context: unknown = undefined;
  /** @internal Takes no further request. */
  shuttingDown = false;
  rosterPlace = -1;
  readonly #app: HttpApp;
  readonly #onClosed: (connection: Http1ServerConnection) => void;
  readonly #acceptedAtMs: number = nowMs();
  readonly #tls: TlsDigest | undefined;
  #digest: ConnectionDigest | undefined = undefined;
  #state: State = "head";
  #requests = 0;
  #idleSinceMs = 0;
  /** As the service has it, or the last request. */
  #keepAliveMs: number;
  /** While draining. */
  #drain: BodyDrain | undefined = undefined;
  #ending: Readonly<Ending> = NOT_ENDING;

  /**
   * @param onClosed Called once, when the stream is gone.
   * @param reader Reads the socket; without it, bytes come by `data` events, each in memory of its own.
   * @param tls What is known of the handshake; `undefined` on plaintext.
   */
  constructor(
    stream: ByteStream,
    app: HttpApp,
    options: Http1ServerOptions,
    onClosed: (connection: Http1ServerConnection) => void,
    reader?: SocketReader,
    tls?: TlsDigest,
  ) {
    super(stream, options, reader);
    this.#tls = tls;
    this.#app = app;
    this.#onClosed = onClosed;
    this.#keepAliveMs = options.keepAliveMs;
    reader?.start(this);
    this.readDeadline.set(options.keepAliveMs);
  }

  /** The same, to be changed. */
  get #ends(): Ending {
    if (this.#ending === NOT_ENDING) this.#ending = new Ending();
    return this.#ending;
  }

  get digest(): ConnectionDigest {
    this.#digest ??= new StreamDigest(this.stream, this.#tls, this.#acceptedAtMs);
    return this.#digest;
  }

  /**
   * Comes to an end: the next response says that it is the last, and an idle connection closes now, but not with a request unread. A
   * client that connected or was answered a moment ago, or takes a response that does not say so, may have a request on the way: it
   * gets an answer (RFC 9112, section 9.6).
   */
  shutdown(): void {
    this.shuttingDown = true;
    if (this.#state === "draining") this.#awaitRest(nowMs());
    if (this.#state !== "head" || this.hasPartOfHead() || this.congested) return;
    const idleMs = nowMs() - (this.#requests > 0 ? this.#idleSinceMs : this.#acceptedAtMs);
    if (idleMs < BUSY_LATELY_MS) this.readDeadline.set(BUSY_LATELY_MS - idleMs);
    else this.#closeIfIdle();
  }

  /** What there is to tell of it, now that it is closed. */
  get summary(): ConnectionSummary {
    const { bytesRead, bytesWritten } = this.stream;
    return { requests: this.#requests, bytesRead, bytesWritten, reason: this.#closeReason, error: this.streamError };
  }

  get #closeReason(): ConnectionCloseReason {
    if (this.#ending.hadUnsent) return "cut";
    if (this.#state === "lingering") {
      if (this.#ending.cutShort) return "cut";
      if (this.shuttingDown) return "server-stop";
      return this.#ending.wasIdle ? "idle-timeout" : "last-response";
    }
    if (this.streamError !== undefined) return "error";
    // A client may have ended its direction of a tunnel long before.
    if (this.peerEnded && !this.#ending.cutByStop) return "client";
    if (this.shuttingDown) return "server-stop";
    return this.#state === "head" && !this.congested ? "idle-timeout" : "cut";
  }

  /**
   * Behind a quiet turn, so that a request that has just arrived is answered. (Once it is, another may be on the way: the connection is
   * as good as one that was used now.) Who may still be reading is lingered for: a request of his would else take what he has not read.
   */
  #closeIfIdle(): void {
    const requests = this.#requests;
    afterQuietTurn(() => {
      if (this.closed || this.#state !== "head" || this.hasPartOfHead() || this.#requests !== requests) return;
      const took = this.#ending.takesLast;
      this.#ends.takesLast = this.unsentBytes > 0;
      if (this.#ending.takesLast) this.watchUnsent();
      // A client that was still taking its response may ask again now that it has it.
      if (this.#ending.takesLast || took) {
        this.#idleSinceMs = nowMs();
        this.#awaitRequest(this.#idleSinceMs);
      } else if (this.#mayStillRead) {
        this.#ends.wasIdle = true;
        this.#close();
      } else this.stream.destroy();
    });
  }

  /** Of the answers that have left, not all need to have reached the client. */
  get #mayStillRead(): boolean {
    return (this.stream.bytesWritten ?? 0) > LARGE_BYTES && mayStillRead(this.#idleSinceMs, this.options);
  }

  /** Ends at once, because the server does. */
  destroy(): void {
    const { session } = this;
    this.#ends.cutByStop = session !== undefined && session.error === undefined && !session.responseDone;
    if (this.#state === "head" && !this.congested && this.hasPartOfHead()) this.refuse(clientErrors.serverStops());
    else session?.fail(clientErrors.serverStops());
    if (session === undefined || session.responseDone || session.response === undefined) {
      this.#cutServed(clientErrors.serverStops);
    } else this.#cut();
  }

  /** Closes at once. What has not left are responses that we were given whole; their requests are told as served, so this is told. */
  #cutServed(why: () => ProxyError): void {
    this.writeLate();
    if (this.stream.writableLength > 0) {
      this.#ends.hadUnsent = true;
      log.warn({ client: this.digest.remoteAddress, err: why() }, "cut a client");
    }
    this.#cut();
  }

  /** Closes at once, so that nobody takes what was cut for whole. */
  #cut(session: Http1ServerSession | undefined = this.session): void {
    const { stream } = this;
    // It was told as served.
    this.writeLate();
    const looksDone =
      session === undefined ? this.#ending.endsByClosing && stream.writableLength > 0 : session.wouldLookDone;
    if (looksDone || this.#ending.endsByReset) this.reset();
    else stream.destroy();
  }

  /** @internal The end of the connection will be the end of a response. */
  endsByClosing(): void {
    this.#ends.endsByClosing = true;
  }

  // Called by the session, which gives itself: one that is over must not reach into the next exchange.

  /** @internal Whether the connection may serve another request after this one. */
  mayGoOn(keepAlive: boolean): boolean {
    return keepAlive && !this.shuttingDown && this.#mayAskAgain() && this.#requests < this.options.maxRequests;
  }

  /** @internal Whether it will, now that the response is complete. */
  servesAnother(session: Http1ServerSession): boolean {
    return session === this.session && !this.closed && this.#mayAskAgain();
  }

  /** One that has ended its direction has asked all that it will; where it may wait for its responses, what came before is served. */
  #mayAskAgain(): boolean {
    if (!this.peerEnded) return true;
    return this.input !== undefined && this.options.halfClose === "waits" && !this.#failedToRead();
  }

  /** The client's direction did not end as one that it ended itself. */
  #failedToRead(): boolean {
    return this.streamError !== undefined || this.truncated;
  }

  /** @internal */
  write(session: Http1ServerSession, text: string, flush: boolean): void {
    if (session !== this.session) return;
    if (text.length > 0) this.hold(text);
    if (flush) this.flush();
  }

  /** @internal A final head. */
  writeHead(session: Http1ServerSession, text: string): void {
    if (session === this.session) this.holdBack(text);
  }

  /** @internal The final head, and what came behind it, if none of it has left. */
  takeBackHead(session: Http1ServerSession): boolean {
    return session === this.session && !this.closed && this.takeBack();
  }

  /** @internal */
  writeBytes(session: Http1ServerSession, chunk: Uint8Array): boolean {
    if (session !== this.session) return false;
    const writable = this.send(chunk);
    this.tunnel?.keep();
    return writable;
  }

  /** @internal The response is complete. */
  endResponse(session: Http1ServerSession): void {
    if (session === this.session) this.flushLater();
  }

  /** @internal Nothing more will be written, while more may be read. */
  endDirection(session: Http1ServerSession): void {
    if (session !== this.session || this.closed || this.ended) return;
    this.flush();
    this.stream.end();
    this.tunnel?.halfClose();
  }

  /** @internal */
  abort(session: Http1ServerSession): void {
    if (session === this.session) this.#breakOff(session);
  }

  /** The connection ends in the middle of an exchange. What there is to send of its response shows to be cut. */
  #breakOff(session: Http1ServerSession): void {
    if (this.closed || this.stream.destroyed || this.#state === "lingering") return;
    this.#ends.cutShort = true;
    if (!this.#mayLose) {
      this.#cut(session);
      return;
    }
    if (!session.wouldLookDone) this.#close(session);
    else if (!this.#resetLater(session)) return;
    // As by a close that comes at once: whoever still works on it does so for nobody.
    process.nextTick(() => {
      if (session === this.session) session.fail(clientErrors.connectionGone(undefined));
    });
  }

  /**
   * Only a reset shows that the response was cut, and it takes what came before, too: so it waits as long as a client may take for that.
   * Returns `false` if that time is over, and it is done.
   */
  #resetLater(session: Http1ServerSession): boolean {
    this.flush();
    const waitMs = this.options.lingerMs - (nowMs() - session.headReadAtMs);
    if (waitMs <= 0 && this.stream.writableLength === 0) {
      this.#cut(session);
      return false;
    }
    this.#ends.endsByReset = true;
    this.#linger(session, Math.max(waitMs, 1));
    return true;
  }

  /**
   * Answers to earlier requests may still be leaving, also where the system has them all; and of a client that sends more to a connection
   * that is closed, they are taken (RFC 9112, section 9.6).
   */
  get #mayLose(): boolean {
    return this.#requests > 1 && (!this.peerEnded || this.unsentBytes > 0);
  }

  protected consume(): boolean {
    switch (this.#state) {
      case "head":
        // A client that asks and asks but takes no answer would fill our memory: its next request waits.
        return !this.congested && this.readHead();
      case "exchange":
        return this.readBody();
      case "draining":
        return this.#drainBody();
      case "lingering":
        this.input = undefined;
        return false;
    }
  }

  protected onConsumed(): void {
    // All that came before the end is served.
    if (this.#state === "head" && this.peerEnded && !this.congested) this.onPeerEnd();
    if (this.#state !== "exchange") return;
    this.session!.events?.onRequestBatch();
    // What arrived before the end was used first.
    if (this.peerEnded && !this.bodyEnded && this.session?.error === undefined) this.onPeerEnd();
  }

  protected onDrained(): void {
    if (this.#state === "head") this.#becomeIdle();
    else this.session?.events?.onDownstreamWritable();
  }

  protected onPeerEnd(): void {
    if (this.#state === "exchange") {
      const session = this.session!;
      const mayEnd = this.tunnel !== undefined || this.limitsOf(session).halfClose === "waits";
      if (mayEnd && !this.#failedToRead()) {
        this.endInput(session);
        return;
      }
      // Known while the socket is open only, and wanted in the log of the request that fails.
      void this.digest.remoteAddress;
      // A client that ends its direction in the middle of an exchange is taken to have left, as in Pingora: waiting for its
      // answer would keep upstreams busy for clients that are gone.
      session.fail(clientErrors.clientLeft(this.bodyEnded));
    } else if (this.#state === "head" && !this.congested && this.hasPartOfHead()) {
      void this.digest.remoteAddress;
      this.refuse(clientErrors.closedInHead());
    } else if (this.#state !== "lingering" && !(this.congested && this.#mayAskAgain())) {
      // Where we linger, our direction is ended already: to end it again would make Node an error, which costs 20 µs.
      this.#close();
    }
  }

  protected onHeadBegun(): void {
    // Known while the socket is open only, and wanted in the log if it is reset before the rest has come.
    void this.digest.remoteAddress;
  }

  protected onStreamClosed(): void {
    this.readDeadline.dispose();
    if (this.#state === "head" && !this.congested && this.hasPartOfHead()) {
      this.refuse(clientErrors.failedInHead(this.streamError));
    }
    this.session?.fail(clientErrors.connectionGone(this.streamError));
    this.#onClosed(this);
  }

  /** The preface of HTTP/2 is a head of HTTP/1 that nobody would send: so it costs nobody anything to look for it. */
  protected override onMalformedHead(error: ProxyError): boolean {
    const match = this.#requests > 0 ? "none" : matchPreface(this.input!, this.inputAt, this.inputEnd);
    if (match === "none") return super.onMalformedHead(error);
    if (this.onHttp2 === undefined) {
      return super.onMalformedHead(malformed("the client speaks HTTP/2 without TLS, which http2.h2c allows", 505));
    }
    if (match === "part") {
      this.readDeadline.set(this.options.headMs);
      return false;
    }
    this.readDeadline.dispose();
    this.reader?.start(NOBODY);
    this.onHttp2(this, this.stream, this.leave());
    return false;
  }

  /** Gives the app a session for a request that could not be read, so that it is answered and logged like all others. */
  protected refuse(error: ProxyError, request?: RequestHeader): void {
    this.forgetInput();
    this.context = undefined;
    this.serve(request ?? new RequestHeader("-", "-", "1.1"), true, false, undefined, error);
  }

  protected serve(
    request: RequestHeader,
    bodyEmpty: boolean,
    keepAlive: boolean,
    upgrade: string | undefined,
    error?: ProxyError,
  ): void {
    this.#requests++;
    this.#state = "exchange";
    this.bodyEnded = bodyEmpty;
    this.readDeadline.clear();
    const session = new Http1ServerSession(this, request, bodyEmpty, keepAlive, upgrade);
    if (error !== undefined) session.fail(error);
    this.session = session;
    let handled: Promise<void>;
    try {
      handled = this.#app.handleRequest(session);
    } catch (thrown) {
      this.onHandlerFailed(thrown);
      return;
    }
    Handled.tell(handled, this);
  }

  /** @internal */
  onHandlerFailed(error: unknown): void {
    log.error({ err: error, client: this.digest.remoteAddress }, "an app failed to handle a request");
    const session = this.session!;
    if (!session.responseDone) session.leaveUnfinished();
    this.#breakOff(session);
  }

  /** @internal */
  onHandled(): void {
    const session = this.session!;
    session.events = undefined;
    if (!session.responseDone) session.leaveUnfinished();
    this.session = undefined;
    this.readingPaused = false;
    if (this.closed || this.#state === "lingering") return;
    if (!session.responseDone) {
      this.#breakOff(session);
    } else if (!session.keepAlive || !this.#mayAskAgain()) {
      this.#close(session);
    } else {
      this.#keepAliveMs = session.ownLimits === undefined ? this.options.keepAliveMs : session.ownLimits.keepAliveMs;
      if (this.bodyEnded) this.#nextRequest();
      else this.#startDraining(session);
    }
  }

  #nextRequest(): void {
    this.#state = "head";
    this.reader?.useOwnBuffer(false);
    this.#becomeIdle();
  }

  #becomeIdle(): void {
    const now = nowMs();
    this.#idleSinceMs = now;
    // Until the client has taken the last response, only the time for taking it counts.
    if (this.congested) this.readDeadline.clear();
    else if (this.hasPartOfHead()) this.readDeadline.set(this.options.headMs, now);
    else this.#awaitRequest(now);
    this.pump();
  }

  #awaitRequest(now: number): void {
    this.readDeadline.set(this.shuttingDown ? BUSY_LATELY_MS : this.#keepAliveMs, now);
  }

  /** The session has promised to get behind the rest of the body. */
  #startDraining(session: Http1ServerSession): void {
    const now = nowMs();
    this.#state = "draining";
    this.#drain = new BodyDrain(this.limitsOf(session), now);
    this.#awaitRest(now);
    this.pump();
  }

  #awaitRest(now: number): void {
    const waitMs = this.#drain!.waitMs(now);
    this.readDeadline.set(this.shuttingDown ? Math.min(waitMs, BUSY_LATELY_MS) : waitMs, now);
  }

  #drainBody(): boolean {
    const drain = this.#drain!;
    try {
      if (!drain.take(this.dropBody())) return this.#stopDraining("it is too long");
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return this.#stopDraining(error.message);
    }
    if (this.bodyEnded) {
      this.#drain = undefined;
      this.#nextRequest();
    } else {
      this.#awaitRest(nowMs());
    }
    return true;
  }

  /** The response was complete, so this is nobody's failure. */
  #stopDraining(why: string): false {
    log.debug({ client: this.digest.remoteAddress, why }, "the rest of a request body is not read; closing");
    this.#close();
    return false;
  }

  /** @param session The exchange that was the last. */
  #close(session?: Http1ServerSession): void {
    if (this.closed) return;
    this.flush();
    const over = this.peerEnded && this.stream.writableLength === 0;
    this.stream.end();
    if (!over) this.#linger(session, this.options.lingerMs);
  }

  #linger(session: Http1ServerSession | undefined, waitMs: number): void {
    this.#state = "lingering";
    this.ended = true;
    this.input = undefined;
    this.readingPaused = false;
    const limits = this.limitsOf(session);
    const cut = (): void => this.#cutServed(() => clientErrors.takesTooSlowly(limits));
    this.#ends.lingering = new Lingering(this.stream, this.readDeadline, waitMs, limits, cut);
    this.updateReading();
  }

  /** @internal */
  onReadTimeout(): void {
    const { session, tunnel } = this;
    if (this.#state === "lingering") {
      this.#ending.lingering!.onTimeout();
    } else if (session !== undefined) {
      session.fail(tunnel?.timedOut() ?? clientErrors.bodyTooLate(this.limitsOf(session).bodyMs));
    } else if (this.#state === "draining") {
      this.#stopDraining("it does not come in time");
    } else if (this.hasPartOfHead()) {
      this.refuse(clientErrors.headTooLate(this.options.headMs));
    } else {
      this.#closeIfIdle();
    }
  }

  protected get writeLimits(): WriteLimits {
    return this.limitsOf(this.session);
  }

  protected onStalled(): void {
    const why = (): ProxyError => clientErrors.takesTooSlowly(this.watchedLimits ?? this.options);
    if (this.session === undefined) {
      this.#cutServed(why);
      return;
    }
    this.session.fail(why());
    this.#cut();
  }
}
