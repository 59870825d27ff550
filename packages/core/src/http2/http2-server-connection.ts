import { ProxyError } from "@sluice/error";
import type { ConnectionCloseReason, ConnectionSummary } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ServerConnection } from "../http/server-connection.ts";
import type { HttpApp } from "../http/server-session.ts";
import * as clientErrors from "../http1/client-errors.ts";
import { LARGE_BYTES, mayStillRead } from "../http1/lingering.ts";
import { queuedBytes } from "../http1/write-watch.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import type { Http2ConnectionError } from "./connection/http2-connection-error.ts";
import type { EndpointOwner, EndpointSettings } from "./connection/endpoint-owner.ts";
import { Http2Endpoint } from "./connection/http2-endpoint.ts";
import type { Http2Stream, StreamClose } from "./connection/http2-stream.ts";
import { ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from "./error-codes.ts";
import { MAX_STREAM_ID } from "./frames/frame-types.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";
import { Http2ServerSession } from "./http2-server-session.ts";
import { endpointSettings, type Http2ServerOptions } from "./server-options.ts";
import { Http2RequestHead } from "./server-request.ts";

/** How long a client that has no request under way may take to answer the first GOAWAY. */
const BUSY_LATELY_MS = 1000;
/** How long the client may take to close after a GOAWAY that tells of an error. */
const MAX_CUT_MS = 100;
/** How often a client that goes on reading gets its time to close once more. */
const MAX_LINGERS = 20;
/** How often it is looked at what a busy connection sends and takes. */
const MAX_SWEEP_MS = 5000;
const MIN_SWEEP_MS = 10;

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

/**
 * The end of a connection comes in steps:
 * - `open`: requests are taken → `leaving`, `closing`
 * - `leaving`: the first GOAWAY was sent, that names no last stream: the client is to send no more → `closing`
 * - `closing`: the second was sent, or the client sent one: streams that are open may end → `over`
 * - `over`: nothing comes or goes any more
 */
type State = "open" | "leaving" | "closing" | "over";

/** Serves HTTP/2 on one connection: each stream a session given to the app, many at a time. */
export class Http2ServerConnection implements ServerConnection, EndpointOwner {
  rosterPlace = -1;
  /** @internal */
  readonly options: Http2ServerOptions;
  readonly digest: ConnectionDigest;
  /** @internal The service stops. */
  shuttingDown = false;
  /** @internal What ended it. */
  cause: Error | undefined = undefined;
  readonly #stream: ByteStream;
  readonly #endpoint: Http2Endpoint;
  readonly #app: HttpApp;
  readonly #onClosed: (connection: Http2ServerConnection) => void;
  /** While there are streams: when to look at them; otherwise: when the client must have sent a request, or closed. */
  readonly #deadline: Deadline;
  #state: State = "open";
  /** When the first GOAWAY was sent. */
  #leavingAtMs = 0;
  #requests = 0;
  /** It is over, and all that was asked for was answered. */
  #isWhole = false;
  /** Something was still leaving when the server ended. */
  #leavesAtStop = false;
  #toldCut = false;
  /** When the last large response had left. */
  #largeAtMs = Number.NEGATIVE_INFINITY;
  /** Bytes that had come when last looked at, and how often it was waited for more. */
  #heardBytes = 0;
  #lingers = 0;
  /** Streams that were reset before anybody saw them, and why the first one was. */
  #refused = 0;
  #refusedWhy = "";
  /** The deadline waits for the last responses to leave, not for a request: by TLS, for one that was written in this turn. */
  #lastAreLeaving = false;
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
    this.#deadline = new Deadline(() => this.#onDeadline());
    this.#endpoint = new Http2Endpoint(stream, this, settingsOf(options), start.early);
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
    return this.#state === "open" ? "client" : "last-response";
  }

  /** @internal Nothing comes or goes any more. */
  get over(): boolean {
    return this.#state === "over";
  }

  shutdown(): void {
    if (this.shuttingDown) return;
    this.shuttingDown = true;
    this.#takeNoMore();
  }

  destroy(): void {
    this.shuttingDown = true;
    this.#leavesAtStop = this.#stream.writableLength > 0;
    if (this.over) {
      // What is still leaving has had its time.
      this.#isWhole = false;
      this.#deadline.set(MAX_CUT_MS);
      return;
    }
    this.#reason = this.#busy() ? "cut" : "server-stop";
    for (const session of this.#sessions) if (session.responseDone) this.#tellCut(clientErrors.serverStops);
    this.#failAll(() => clientErrors.serverStops());
    this.#cut(NO_ERROR, "the server stops");
  }

  /** Of responses that were given to us whole, whose requests are told as served, not all leaves. */
  #tellCut(why: () => ProxyError): void {
    if (this.#toldCut) return;
    this.#toldCut = true;
    this.#reason = "cut";
    log.warn({ client: this.digest.remoteAddress, err: why() }, "cut a client");
  }

  /** @internal The client does not take what is there for a stream. */
  stalled(session: Http2ServerSession, error: ProxyError): void {
    // The response was given to us whole, and its request is told as served.
    if (session.responseDone) log.warn({ client: this.digest.remoteAddress, err: error }, "reset a stream of a client");
  }

  #busy(): boolean {
    return this.#endpoint.streams.size > 0;
  }

  get #sessions(): Iterable<Http2ServerSession> {
    return this.#endpoint.streams as Iterable<Http2Stream> as Iterable<Http2ServerSession>;
  }

  #failAll(error: () => ProxyError): void {
    for (const session of this.#sessions) session.fail(error());
  }

  /**
   * RFC 9113, section 6.8: a first GOAWAY tells the client to send no more, without leaving out what is on the way; when it has
   * answered a PING, which reaches it behind that, a second one names the last stream. Requests in between are served.
   */
  #takeNoMore(): void {
    if (this.#state !== "open") return;
    this.#state = "leaving";
    this.#leavingAtMs = nowMs();
    this.#endpoint.goaway(MAX_STREAM_ID);
    this.#endpoint.ping();
    if (!this.#busy()) this.#awaitRequest();
  }

  #lastGoaway(): void {
    if (this.#state !== "open" && this.#state !== "leaving") return;
    this.#state = "closing";
    if (this.#busy()) this.#endpoint.goaway(this.#endpoint.lastPeerStreamId);
    else this.#close();
  }

  /** All is done; the client is to close, too. */
  #close(): void {
    this.#isWhole = true;
    this.#heardBytes = this.#stream.bytesRead ?? 0;
    // Who answers has read all that stands before it.
    if (this.#mayStillRead) this.#endpoint.ping();
    this.#cut(NO_ERROR, "", this.options.lingerMs);
  }

  /** The client had its time to close; but the last of its responses may still be leaving. */
  #endWaiting(): void {
    if (!this.#isWhole) {
      if (this.#leavesAtStop && this.#stream.writableLength > 0) this.#tellCut(clientErrors.serverStops);
      this.#stream.destroy();
    } else if (this.#stream.writableLength > 0 && !this.#takesNothing()) this.#deadline.set(this.#sweepMs);
    else if (this.#readsOn() || (this.#lingers === 0 && this.#mayStillRead)) this.#deadline.set(this.options.lingerMs);
    else this.#stream.destroy();
  }

  /** By windows as large as its response, a client has no need to say that it reads. */
  get #mayStillRead(): boolean {
    return mayStillRead(this.#largeAtMs, this.options);
  }

  /**
   * Of what the system has for it, a client that takes its time still makes known by WINDOW_UPDATE that it has read some. If we closed
   * now, the system would answer the next one by a reset, and what it has not sent yet would be lost.
   */
  #readsOn(): boolean {
    const heard = this.#stream.bytesRead ?? 0;
    const readsOn = heard > this.#heardBytes && this.#lingers++ < MAX_LINGERS;
    this.#heardBytes = heard;
    return readsOn;
  }

  /** There are no streams: how long that may be so. */
  #awaitRequest(): void {
    const { keepAliveMs, lingerMs } = this.options;
    this.#lastAreLeaving = this.#stream.writableLength > 0;
    if (this.#state === "closing") this.#close();
    else if (this.#lastAreLeaving) this.#deadline.set(this.#sweepMs);
    else this.#deadline.set(this.#state === "leaving" ? Math.min(BUSY_LATELY_MS, lingerMs) : keepAliveMs);
  }

  // From the endpoint.

  /** @internal */
  beginRequest(): FieldReceiver {
    return HEAD.begin(this.options);
  }

  /** @internal */
  openStream(streamId: number, endStream: boolean): void {
    HEAD.end(endStream);
    if (HEAD.tooLarge) {
      this.#endpoint.refuse(streamId, ENHANCE_YOUR_CALM, "a head of more than twice the limits");
      return;
    }
    if (HEAD.malformed !== undefined) {
      this.#endpoint.refuse(streamId, PROTOCOL_ERROR, HEAD.malformed);
      return;
    }
    const wasBusy = this.#busy();
    const session = new Http2ServerSession(this, this.#endpoint, streamId, HEAD, endStream);
    if (!wasBusy) this.#beginSweeping();
    if (++this.#requests >= this.options.maxRequests) this.#takeNoMore();
    let handled: Promise<void>;
    try {
      handled = this.#app.handleRequest(session);
    } catch (thrown) {
      this.#handlerFailed(session, thrown);
      return;
    }
    // An app may give no promise, whatever its types say.
    Promise.resolve(handled).then(
      () => session.close(),
      (thrown: unknown) => this.#handlerFailed(session, thrown),
    );
  }

  #handlerFailed(session: Http2ServerSession, error: unknown): void {
    log.error({ err: error, client: this.digest.remoteAddress }, "an app failed to handle a request");
    session.abort();
  }

  /** @internal */
  onRefused(why: string): void {
    if (this.#refused++ === 0) this.#refusedWhy = why;
  }

  /** @internal */
  onStreamClosed(stream: Http2Stream, _how: StreamClose): void {
    if ((stream as Http2ServerSession).responseBodyBytes > LARGE_BYTES) this.#largeAtMs = nowMs();
    if (!this.over && !this.#busy()) this.#awaitRequest();
  }

  /** @internal */
  onSettings(): void {}

  /** @internal It is going to leave; what it has begun may end. */
  onGoaway(): void {
    if (this.over) return;
    if (this.#state === "open") this.#reason = "client";
    this.#state = "closing";
    if (!this.#busy()) this.#close();
  }

  /** @internal */
  onPong(): void {
    if (this.#state === "leaving") this.#lastGoaway();
  }

  /** @internal */
  onConnectionError(error: Http2ConnectionError): void {
    const client = this.digest.remoteAddress;
    if (error.code === ENHANCE_YOUR_CALM) {
      // What a busy proxy or service in front does is much for a browser.
      const hint =
        error.limit === undefined ? undefined : `if it means no harm, see ${error.limit} of the option http2`;
      log.warn({ client, reason: error.what, hint }, "ended an HTTP/2 connection with ENHANCE_YOUR_CALM");
      this.#reason = "cut";
      this.#failAll(() => {
        return ProxyError.downstream("ConnectionClosed", `we ended the HTTP/2 connection: ${error.what}`);
      });
    } else {
      // Our own fault is thrown on, and told by whoever catches it.
      if (error.code !== INTERNAL_ERROR)
        log.warn({ client, reason: error.message }, "ended an HTTP/2 connection whose client broke the protocol");
      this.cause ??= error;
    }
    this.#cut(error.code, error.what);
  }

  /** @internal Nothing could come any more, not even leave to send. */
  onPeerEnd(): void {
    if (!this.over) this.#cut(NO_ERROR, "");
  }

  /** @internal */
  onError(error: Error): void {
    this.cause ??= error;
  }

  /** @internal */
  onOver(): void {
    this.#state = "over";
    this.#deadline.dispose();
    // Of one that was ended for what it sent, the log knows.
    if (this.#refused > 0 && this.#reason !== "cut" && this.cause === undefined) this.#tellOfRefused();
    this.#onClosed(this);
  }

  #tellOfRefused(): void {
    const what = "reset streams of an HTTP/2 client that were malformed, or beyond its limits";
    log.warn({ client: this.digest.remoteAddress, streams: this.#refused, reason: this.#refusedWhy }, what);
  }

  #onDeadline(): void {
    if (this.over) this.#endWaiting();
    else if (this.#busy() || this.#stream.writableLength > 0) this.#sweep();
    else if (this.#lastAreLeaving) this.#awaitRequest();
    else {
      if (this.#state === "open") this.#reason = "idle-timeout";
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

  /** Looks for a client that takes nothing. */
  #sweep(): void {
    for (const session of this.#sessions) session.checkWrites();
    if (this.#takesNothing()) {
      this.#tellCut(() => clientErrors.takesTooSlowly(this.options));
      this.#failAll(() => clientErrors.takesTooSlowly(this.options));
      this.#cut(NO_ERROR, "it takes nothing");
      return;
    }
    // By not answering our PING a client could go on for ever.
    if (this.#state === "leaving" && nowMs() - this.#leavingAtMs >= this.options.lingerMs) this.#lastGoaway();
    if (this.#busy()) this.#deadline.set(this.#sweepMs);
    else if (!this.over) this.#awaitRequest();
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

  /** Ends the connection, and what was begun on it shows to be cut. @param waitMs How long the client may take to close. */
  #cut(code: number, why: string, waitMs: number = MAX_CUT_MS): void {
    this.#state = "over";
    this.#endpoint.finish(code, why);
    this.#deadline.set(waitMs);
  }
}

const SETTINGS = new WeakMap<Http2ServerOptions, EndpointSettings>();

/** Made once for a service. */
function settingsOf(options: Http2ServerOptions): EndpointSettings {
  let settings = SETTINGS.get(options);
  if (settings === undefined) {
    settings = endpointSettings(options);
    SETTINGS.set(options, settings);
  }
  return settings;
}
