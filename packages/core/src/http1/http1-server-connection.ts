import { ProxyError } from "@sluice/error";
import { RequestHeader } from "@sluice/http";
import { StreamDigest, type ConnectionDigest } from "../http/connection-digest.ts";
import type { HttpApp } from "../http/server-session.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import type { SocketReader } from "../net/socket-reader.ts";
import { BodyReader } from "./body-reader.ts";
import { Framing } from "./framing.ts";
import { CR, LF } from "./grammar.ts";
import { Http1Connection } from "./http1-connection.ts";
import { Http1ServerSession } from "./http1-server-session.ts";
import { lastHeadEnd, parseRequestHead } from "./parse-head.ts";
import { malformed } from "./reject.ts";
import { checkRequest, normaliseTarget } from "./request-rules.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import type { WriteLimits } from "./write-watch.ts";

/**
 * The life of a client's connection:
 * - `head`: waiting for a request, or in the middle of its head → `exchange`, `lingering`
 * - `exchange`: a session exists; its body may still be arriving → `head`, `lingering`
 * - `lingering`: our direction is ended; what the client still sends is dropped (RFC 9112, section 9.6) → closed
 */
type State = "head" | "exchange" | "lingering";

/** A client that connected, or had an answer, within this time is taken to be busy. */
const BUSY_LATELY_MS = 1000;

/** Read out at once, before another head is; so one does for all connections. */
const FRAMING = new Framing();

const log = logger("core");

/** Serves HTTP/1 on one stream: one request after another, in order, each as a session given to the app. */
export class Http1ServerConnection extends Http1Connection {
  protected override readonly readsAhead = true;
  readonly #app: HttpApp;
  readonly #options: Http1ServerOptions;
  readonly #reader: SocketReader | undefined;
  readonly #onClosed: (connection: Http1ServerConnection) => void;
  /** Made for the first request that has a body. */
  #body: BodyReader | undefined = undefined;
  readonly #acceptedAtMs: number = nowMs();
  #digest: ConnectionDigest | undefined = undefined;
  readonly #readDeadline: Deadline;
  #state: State = "head";
  #session: Http1ServerSession | undefined = undefined;
  /** The first bytes of a head arrived, and its time runs. */
  #headBegun = false;
  /** The end of the request body was told to the session. */
  #bodyEnded = true;
  /** The protocol was changed: bytes pass as they are, and each side ends its direction alone. */
  #tunnel = false;
  #requests = 0;
  #idleSinceMs = 0;
  #shuttingDown = false;
  /** While lingering: the bytes of the response that had not left when its time was over. */
  #unsentBytes = 0;

  /**
   * @param onClosed Called once, when the stream is gone.
   * @param reader Reads the socket; without it, bytes come by `data` events, each in memory of its own.
   */
  constructor(
    stream: ByteStream,
    app: HttpApp,
    options: Http1ServerOptions,
    onClosed: (connection: Http1ServerConnection) => void,
    reader?: SocketReader,
  ) {
    super(stream, options.maxHeadBytes);
    this.#app = app;
    this.#options = options;
    this.#onClosed = onClosed;
    this.#reader = reader;
    reader?.start(this);
    this.#readDeadline = new Deadline(() => this.#onReadTimeout());
    this.#readDeadline.set(options.keepAliveMs);
  }

  get digest(): ConnectionDigest {
    this.#digest ??= new StreamDigest(this.stream, undefined, this.#acceptedAtMs);
    return this.#digest;
  }

  /**
   * Takes no further request: a busy connection closes after its response, which says so; an idle one closes now, but not
   * with a request unread. A client that connected or was answered a moment ago may have a request on the way: it gets an
   * answer.
   */
  shutdown(): void {
    this.#shuttingDown = true;
    if (this.#state !== "head" || this.input !== undefined) return;
    const idleMs = nowMs() - (this.#requests > 0 ? this.#idleSinceMs : this.#acceptedAtMs);
    if (idleMs < BUSY_LATELY_MS) this.#readDeadline.set(BUSY_LATELY_MS - idleMs);
    // What has arrived is read in this turn of the event loop.
    else setImmediate(() => this.#closeIfIdle());
  }

  #closeIfIdle(): void {
    if (this.#state === "head" && this.input === undefined) this.#endIdle();
  }

  /** Closes; but a response that is still leaving leaves first. */
  #endIdle(): void {
    if (this.stream.writableLength > 0) this.#close();
    else this.stream.destroy();
  }

  /** Ends at once, because the server does. */
  destroy(): void {
    this.#session?.fail(ProxyError.downstream("ConnectionClosed", "we cut the connection: the server stops"));
    this.stream.destroy();
  }

  // Called by the session. All take it, since a session that is over must not reach into the next exchange.

  /** @internal */
  requestBodyDone(session: Http1ServerSession): boolean {
    return session !== this.#session || this.#bodyEnded;
  }

  /** @internal */
  requestBodyBytes(session: Http1ServerSession): number {
    return session === this.#session ? (this.#body?.bytes ?? 0) : 0;
  }

  /** @internal */
  readOn(session: Http1ServerSession): void {
    if (session !== this.#session || this.#bodyEnded) return;
    if (!this.readingPaused) this.#extendReading();
    this.pump();
  }

  /** @internal Nobody reads the body: it is not the client that is late. */
  readNoMore(session: Http1ServerSession): void {
    if (session === this.#session && !this.#bodyEnded) this.#readDeadline.clear();
  }

  /** @internal */
  keepChunk(): void {
    this.#reader?.keep();
  }

  override onData(buffer: Buffer, end: number): void {
    // Pieces of a body may be kept.
    const mayBeKept = this.#bodyEnded || this.#reader?.isShared(buffer) !== true;
    super.onData(mayBeKept ? buffer : Buffer.from(buffer.subarray(0, end)), end);
    if (this.input !== undefined) this.#keepInput();
  }

  /** @internal */
  pauseBody(session: Http1ServerSession): void {
    if (session !== this.#session || this.#bodyEnded) return;
    this.readingPaused = true;
    if (!this.#tunnel) this.#readDeadline.clear();
  }

  /** @internal */
  resumeBody(session: Http1ServerSession): void {
    if (session !== this.#session || !this.readingPaused) return;
    this.readingPaused = false;
    if (!this.#bodyEnded && session.events !== undefined) this.#extendReading();
    this.pump();
  }

  /** @internal Whether the connection may serve another request after this one. */
  mayGoOn(keepAlive: boolean): boolean {
    return keepAlive && !this.#shuttingDown && !this.peerEnded && this.#requests < this.#options.maxRequests;
  }

  /** @internal */
  write(session: Http1ServerSession, text: string, flush: boolean): void {
    if (session !== this.#session) return;
    if (text.length > 0) this.hold(text);
    if (flush) this.flush();
  }

  /** @internal */
  writeBytes(session: Http1ServerSession, chunk: Uint8Array): boolean {
    if (session !== this.#session) return false;
    const writable = this.send(chunk);
    if (this.#tunnel) this.#keepTunnel();
    return writable;
  }

  /** @internal */
  abort(session: Http1ServerSession, byReset: boolean): void {
    if (session !== this.#session || this.closed) return;
    if (byReset) this.reset();
    else this.stream.destroy();
  }

  protected consume(): boolean {
    switch (this.#state) {
      case "head":
        // A client that asks and asks but takes no answer would fill our memory: its next request waits.
        return !this.congested && this.#readHead();
      case "exchange":
        return this.#readBody();
      case "lingering":
        this.input = undefined;
        return false;
    }
  }

  protected onConsumed(): void {
    if (this.#state !== "exchange") return;
    this.#session!.events?.onRequestBatch();
    // What arrived before the end is used first.
    if (this.#tunnel && this.peerEnded && !this.#bodyEnded) this.onPeerEnd();
  }

  protected onDrained(): void {
    if (this.#state === "head") this.#awaitHead(nowMs());
    else this.#session?.events?.onDownstreamWritable();
  }

  /** @internal The protocol changes, once the request body was read to its end. */
  openTunnel(session: Http1ServerSession): void {
    if (session !== this.#session) return;
    this.#tunnel = true;
    if (this.#bodyEnded) this.#readTunnel();
    this.#keepTunnel();
  }

  /** @internal Nothing more will be written, while more may be read. */
  endDirection(session: Http1ServerSession): void {
    if (session === this.#session && !this.closed) this.stream.end();
  }

  #readTunnel(): void {
    this.#bodyReader().startUntilClose();
    this.#bodyEnded = false;
    this.#reader?.useOwnBuffer(true);
    if (this.input !== undefined) this.#keepInput();
    if (this.peerEnded) this.onPeerEnd();
    else queueMicrotask(() => this.pump());
  }

  /** Either side has sent something, or the tunnel has just begun. */
  #keepTunnel(): void {
    this.#readDeadline.set(this.#options.tunnelIdleMs);
  }

  protected onPeerEnd(): void {
    if (this.#tunnel && this.#state === "exchange" && this.streamError === undefined) {
      if (this.input !== undefined || this.readingPaused) return;
      this.#body!.endOfConnection();
      this.#bodyEnded = true;
      this.#session!.events?.onRequestEnd(undefined);
    } else if (this.#state === "exchange") {
      const session = this.#session!;
      // Known while the socket is open only, and wanted in the log of the request that fails.
      void this.digest.remoteAddress;
      // A client that ends its direction in the middle of an exchange is taken to have left, as in Pingora: waiting for its
      // answer would keep upstreams busy for clients that are gone.
      const what = this.#bodyEnded ? "before the response was complete" : "before its request was complete";
      session.fail(ProxyError.downstream("ConnectionClosed", `the client closed ${what}`));
    } else if (this.#state === "head" && this.#hasPartOfHead()) {
      this.#refuse(
        new ProxyError("ConnectionClosed", { context: "the client closed in the middle of a head" }),
        undefined,
      );
    } else {
      this.#close();
    }
  }

  /** Empty lines are none: some clients send one after a body (RFC 9112, section 2.2). */
  #hasPartOfHead(): boolean {
    return (
      !this.congested &&
      (this.input?.subarray(this.inputAt, this.inputEnd).some((byte) => byte !== CR && byte !== LF) ?? false)
    );
  }

  protected onStreamClosed(): void {
    this.#readDeadline.dispose();
    if (this.#state === "head" && this.#hasPartOfHead()) {
      this.#refuse(
        new ProxyError("ReadError", {
          context: "the connection failed in the middle of a head",
          cause: this.streamError,
        }),
        undefined,
      );
    }
    if (this.#session !== undefined) {
      const cause = this.streamError;
      this.#session.fail(
        cause === undefined
          ? ProxyError.downstream("ConnectionClosed", "the client's connection closed")
          : ProxyError.downstream("ReadError", "the client's connection failed", cause),
      );
    }
    this.#onClosed(this);
  }

  #readHead(): boolean {
    try {
      const request = parseRequestHead(this.input!, this.inputAt, this.inputEnd, this.#options);
      if (request === undefined) {
        if (!this.#headBegun) {
          this.#headBegun = true;
          this.#readDeadline.set(this.#options.headMs);
        }
        return false;
      }
      this.usedUpTo(lastHeadEnd());
      this.#begin(request);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.#refuse(error, undefined);
    }
    return true;
  }

  #begin(request: RequestHeader): void {
    const framing = FRAMING;
    try {
      framing.read(request);
      checkRequest(request, framing);
      if (request.target.charCodeAt(0) !== 0x2f) normaliseTarget(request);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.#refuse(error, request);
      return;
    }
    const hasBody = framing.chunked || framing.contentLength > 0;
    if (framing.chunked) this.#bodyReader().startChunked();
    else if (hasBody) this.#bodyReader().startLength(framing.contentLength);
    else this.#body?.startEmpty();
    let keepAlive = request.version === "1.1" ? !framing.close : framing.keepAlive && !framing.close;
    if (framing.contradictory) {
      // RFC 9112, section 6.1: Transfer-Encoding decides, Content-Length goes, and the connection is not trusted further.
      request.remove("content-length");
      keepAlive = false;
    }
    if (hasBody) {
      this.#reader?.useOwnBuffer(true);
      if (this.input !== undefined) this.#keepInput();
    }
    // RFC 9110, section 7.8: to be ignored in HTTP/1.0, and meant for us only if Connection names it.
    const asksToUpgrade = framing.connectionUpgrade && request.version === "1.1";
    this.#serve(request, !hasBody, keepAlive, asksToUpgrade ? framing.upgrade : undefined, undefined);
  }

  #bodyReader(): BodyReader {
    this.#body ??= new BodyReader(this.#options, false);
    return this.#body;
  }

  /** What could not be used yet outlives its read. */
  #keepInput(): void {
    if (this.#reader?.isShared(this.input!) === true) this.copyInput();
    else this.#reader?.keep();
  }

  /** Gives the app a session for a request that could not be read, so that it is answered and logged like all others. */
  #refuse(error: ProxyError, request: RequestHeader | undefined): void {
    this.input = undefined;
    this.#body?.startEmpty();
    this.#serve(request ?? new RequestHeader("-", "-", "1.1"), true, false, undefined, error);
  }

  #serve(
    request: RequestHeader,
    bodyEmpty: boolean,
    keepAlive: boolean,
    upgrade: string | undefined,
    error: ProxyError | undefined,
  ): void {
    this.#requests++;
    this.#headBegun = false;
    this.#state = "exchange";
    this.#bodyEnded = bodyEmpty;
    this.#readDeadline.clear();
    const session = new Http1ServerSession(this, request, bodyEmpty, keepAlive, upgrade);
    if (error !== undefined) session.fail(error);
    this.#session = session;
    let handled: Promise<void>;
    try {
      handled = this.#app.handleRequest(session);
    } catch (thrown) {
      this.#handlerFailed(thrown);
      return;
    }
    handled.then(this.#handled, this.#handlerFailed);
  }

  /** Delivers body bytes to whoever drives the session; without one they wait. */
  #readBody(): boolean {
    const session = this.#session!;
    const events = session.events;
    // Bytes after the body belong to the next request, which waits its turn (RFC 9112, section 9.3.2).
    if (this.#bodyEnded || events === undefined || this.readingPaused || session.error !== undefined) return false;
    const body = this.#body!;
    try {
      this.usedUpTo(body.read(this.input!, this.inputAt, this.inputEnd));
    } catch (error) {
      this.input = undefined;
      session.fail(error instanceof ProxyError ? error : malformed(String(error)));
      return false;
    }
    this.#extendReading();
    const piece = body.piece;
    if (piece !== undefined) {
      body.piece = undefined;
      events.onRequestData(piece);
    }
    if (body.done && this.#session === session && !this.#bodyEnded) {
      this.#bodyEnded = true;
      this.#readDeadline.clear();
      if (this.#tunnel) this.#readTunnel();
      else session.events?.onRequestEnd(body.trailers);
    }
    return true;
  }

  #extendReading(): void {
    if (this.#tunnel) this.#keepTunnel();
    else this.#readDeadline.set(this.#options.bodyMs);
  }

  // Bound once a connection instead of once a request.
  readonly #handled = (): void => this.#afterExchange();
  readonly #handlerFailed = (error: unknown): void => {
    log.error({ err: error, client: this.digest.remoteAddress }, "an app failed to handle a request");
    this.stream.destroy();
  };

  #afterExchange(): void {
    const session = this.#session!;
    session.events = undefined;
    this.#session = undefined;
    this.readingPaused = false;
    if (this.closed) return;
    this.flush();
    if (!session.responseDone) {
      this.stream.destroy();
    } else if (!session.keepAlive || !this.#bodyEnded || this.peerEnded || this.#shuttingDown) {
      this.#close();
    } else {
      this.#state = "head";
      this.#reader?.useOwnBuffer(false);
      this.#idleSinceMs = nowMs();
      this.#awaitHead(this.#idleSinceMs);
    }
  }

  #awaitHead(now: number): void {
    // Until the client has taken the last response, only the time for taking it counts.
    if (this.congested) this.#readDeadline.clear();
    else if (!this.#shuttingDown)
      this.#readDeadline.set(this.input === undefined ? this.#options.keepAliveMs : this.#options.headMs, now);
    this.pump();
  }

  /**
   * Ends our direction and reads on for a while: closing with unread bytes would reset the connection, and the client could
   * lose the response (RFC 9112, section 9.6).
   */
  #close(): void {
    if (this.closed) return;
    this.flush();
    if (this.peerEnded && !this.congested) {
      this.stream.end();
      return;
    }
    this.#state = "lingering";
    this.input = undefined;
    this.readingPaused = false;
    this.#unsentBytes = 0;
    this.stream.end();
    this.#readDeadline.set(this.#options.lingerMs);
    this.updateReading();
  }

  #onReadTimeout(): void {
    const session = this.#session;
    if (session !== undefined) {
      const { bodyMs, tunnelIdleMs } = this.#options;
      const context = this.#tunnel
        ? `neither side of the tunnel sent anything for ${tunnelIdleMs} ms`
        : `the client sent no body bytes for ${bodyMs} ms`;
      session.fail(new ProxyError("ReadTimedout", { context, status: 408 }));
    } else if (this.#state === "head" && this.input !== undefined) {
      const ms = this.#options.headMs;
      this.#refuse(
        new ProxyError("ReadTimedout", { context: `the client sent no complete head within ${ms} ms`, status: 408 }),
        undefined,
      );
    } else if (this.#state === "head") {
      // A request that has just arrived is read in this turn of the event loop.
      setImmediate(() => this.#closeIfIdle());
    } else if (this.#takesBytes()) {
      this.#readDeadline.set(this.#options.writeMs);
    } else {
      // Lingered long enough: nothing that was promised is lost.
      this.stream.destroy();
    }
  }

  /** While lingering: the response is still leaving, and the client has taken some of it since it was asked last. */
  #takesBytes(): boolean {
    const before = this.#unsentBytes;
    this.#unsentBytes = this.stream.writableLength;
    return this.#unsentBytes > 0 && (before === 0 || this.#unsentBytes < before);
  }

  protected get writeLimits(): WriteLimits {
    return { writeMs: this.#options.writeMs, minBytesPerSecond: this.#options.minSendBytesPerSecond };
  }

  protected onStalled(): void {
    const { writeMs, minSendBytesPerSecond } = this.#options;
    const context =
      minSendBytesPerSecond > 0
        ? `the client took less than ${minSendBytesPerSecond} bytes a second for ${writeMs} ms`
        : `the client took no bytes for ${writeMs} ms`;
    const error = ProxyError.downstream("WriteTimedout", context);
    // The response was given to us whole, and its request is told as served.
    if (this.#session === undefined) log.warn({ client: this.digest.remoteAddress, err: error }, "cut a client");
    else this.#session.fail(error);
    this.stream.destroy();
  }
}
