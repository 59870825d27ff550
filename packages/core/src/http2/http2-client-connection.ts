import { ProxyError } from "@sluice/error";
import type { CloseReason, IdleState, PoolableConnection } from "@sluice/pool";
import type { UpstreamClosedMessage, UpstreamCloseReason } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import { usedLately } from "../http/used-lately.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import type { ExchangeLimits } from "../http/exchange-limits.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { wholeTurn } from "../net/quiet-turn.ts";
import { Roster } from "../net/roster.ts";
import type { ConnectionFate, Goaway } from "./client-errors.ts";
import type { Http2ConnectionError } from "./connection/http2-connection-error.ts";
import type { EndpointOwner } from "./connection/endpoint-owner.ts";
import { Http2Endpoint } from "./connection/http2-endpoint.ts";
import type { Http2Stream } from "./connection/http2-stream.ts";
import { http2CodeName, INTERNAL_ERROR, NO_ERROR } from "./error-codes.ts";
import { NO_RECEIVER } from "./heads/field-rules.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";
import { Http2ClientSession } from "./http2-client-session.ts";
import { PingWatch } from "./ping-watch.ts";

/** What a connection tells whoever pools it. */
export interface Http2ConnectionOwner {
  /** A stream ended, or the origin allows more of them. */
  vacancy(connection: Http2ClientConnection): void;
  /** It takes no new streams any more; those that are open may go on. */
  retired(connection: Http2ClientConnection): void;
  /** The origin answered that it wants HTTP/1.1 (RFC 9113, section 7: HTTP_1_1_REQUIRED), or broke the rules of HTTP/2. */
  prefersHttp1(connection: Http2ClientConnection): void;
  /** Its stream is closed, for whatever reason. */
  closed(connection: Http2ClientConnection): void;
}

/** How a connection is opened, by the peer that opens it. */
export interface Http2ConnectionSettings {
  /** Streams at the same time, as far as we decide. */
  readonly maxStreams: number;
  /** Requests in all; 0: no limit. */
  readonly maxRequests: number;
  /** 0: no PING. */
  readonly pingIntervalMs: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly headLimits: HeadLimits;
  readonly tls: TlsDigest | undefined;
}

/** Time for a connection that is over to send its last bytes, in milliseconds. */
const LINGER_MS = 5000;
const MAX_FRAME_BYTES = 65_536;
/**
 * Frames without content that an origin may send within ten seconds; each head, each piece of a body either way, and each KiB that we
 * send allow four more.
 * Resets are not counted beside them: there is one for each request that we made.
 */
const MAX_CONTROL_FRAMES = 1000;

const log = logger("core");

/**
 * Speaks HTTP/2 to an origin over one stream (RFC 9113), many exchanges at the same time. Knows how many more it can take, and
 * what has happened to it; the exchanges are {@link Http2ClientSession}s.
 */
export class Http2ClientConnection implements PoolableConnection, ConnectionFate, EndpointOwner {
  readonly digest: ConnectionDigest;
  /** The key under which it is pooled. */
  readonly key: string;
  /** The address it leads to, for logs. */
  readonly address: string;
  readonly scheme: "http" | "https";
  readonly headLimits: HeadLimits;
  readonly endpoint: Http2Endpoint;
  /** Exchanges that hold a slot now. */
  readonly sessions: Roster<Http2ClientSession> = new Roster();
  goaway: Goaway | undefined = undefined;
  cause: Error | undefined = undefined;
  broken: Http2ConnectionError | undefined = undefined;
  pingMissedMs = 0;
  readonly #owner: Http2ConnectionOwner;
  readonly #stream: ByteStream;
  readonly #settings: Http2ConnectionSettings;
  readonly #pings: PingWatch;
  /** Fires for the exchange whose time is up first. */
  readonly #deadline: Deadline;
  #deadlineAtMs = Number.POSITIVE_INFINITY;
  /** What the origin allows at the same time; nothing before it has said so. */
  #remoteMaxStreams = 0;
  #retired = false;
  #requests = 0;
  /** Streams without an exchange: their last bytes are still leaving, and the origin counts them. */
  #leaving = 0;
  #closeReason: UpstreamCloseReason | undefined = undefined;
  /** The origin's SETTINGS have come: whoever opened it has a connection. */
  #opened = false;
  /** When it was last given a request that was answered; until there is one, when it was opened. */
  #usedAtMs: number = nowMs();
  #onSettled: ((error: Error | undefined) => void) | undefined = undefined;

  constructor(
    stream: ByteStream,
    address: string,
    key: string,
    owner: Http2ConnectionOwner,
    settings: Http2ConnectionSettings,
  ) {
    this.digest = new StreamDigest(stream, settings.tls);
    this.key = key;
    this.address = address;
    this.scheme = settings.tls === undefined ? "http" : "https";
    this.headLimits = settings.headLimits;
    this.#owner = owner;
    this.#stream = stream;
    this.#settings = settings;
    this.#deadline = new Deadline(() => this.#onDeadline());
    this.endpoint = new Http2Endpoint(stream, this, {
      role: "client",
      streamWindowBytes: settings.streamWindowBytes,
      connectionWindowBytes: settings.connectionWindowBytes,
      // A client that takes its response slowly must not hold up the others on this connection.
      creditsConnection: "when-received",
      maxFrameBytes: MAX_FRAME_BYTES,
      // Ours are checked first, so that the error says what was too large.
      maxHeaderListBytes: settings.headLimits.maxHeadBytes * 2,
      maxConcurrentStreams: 0,
      extendedConnect: false,
      maxResets: Number.POSITIVE_INFINITY,
      maxControlFrames: MAX_CONTROL_FRAMES,
    });
    this.#pings = new PingWatch(this.endpoint, settings.pingIntervalMs, (waitedMs) => this.#onPingMissed(waitedMs));
  }

  /**
   * Resolves when the origin's SETTINGS have come. Before, nobody knows how many streams it takes, nor that it speaks HTTP/2 at
   * all: what it does not speak must not get a request. Rejects with `HandshakeError`, or `ConnectTimedout`; it is closed then.
   * @param connectMs How long they may take. Milliseconds; 0 waits for ever.
   * @param signal Gives up.
   */
  settled(connectMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: Error | undefined): void => {
        deadline.dispose();
        signal?.removeEventListener("abort", onAbort);
        this.#onSettled = undefined;
        if (error === undefined) resolve();
        else {
          reject(error);
          this.#stream.destroy();
        }
      };
      const onAbort = (): void => settle(signal!.reason as Error);
      const deadline = new Deadline(() => settle(this.#silent(connectMs)));
      deadline.set(connectMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#onSettled = settle;
      if (signal?.aborted) onAbort();
    });
  }

  /** Streams can be opened on it: for those who have a slot, also when it is retired. */
  get opensStreams(): boolean {
    return this.goaway === undefined && !this.endpoint.finished;
  }

  /** The origin takes one more; always so for those who have a slot, unless it has lowered its limit meanwhile. */
  get allowsStream(): boolean {
    return this.endpoint.streams.size < this.#remoteMaxStreams;
  }

  /** For an exchange that has a slot: whether it can begin once all that has arrived is read; `true` at once where that is known. */
  isStillOpen(): true | Promise<boolean> {
    if (usedLately(this.#usedAtMs)) return true;
    return wholeTurn().then(() => this.opensStreams && !this.#stream.destroyed);
  }

  /** How many more exchanges it takes now. */
  get room(): number {
    if (this.#retired || this.#pings.doubted) return 0;
    const { maxRequests } = this.#settings;
    const now = Math.min(this.capacity - this.sessions.size - this.#leaving, this.endpoint.streamIdsLeft);
    return maxRequests === 0 ? now : Math.min(now, maxRequests - this.#requests);
  }

  /** How many it takes at the same time, as things are. */
  get capacity(): number {
    return Math.min(this.#settings.maxStreams, this.#remoteMaxStreams);
  }

  /** Whether an exchange can change its protocol by an extended CONNECT (RFC 8441, section 3). */
  get extendedConnect(): boolean {
    return this.endpoint.peer.extendedConnect;
  }

  /** A slot for one exchange; only while there is {@link room}. */
  take(limits: ExchangeLimits, reused: boolean, allowsHttp1: boolean): Http2ClientSession {
    const session = new Http2ClientSession(this, limits, reused, allowsHttp1);
    this.sessions.add(session);
    this.#requests++;
    const { maxRequests } = this.#settings;
    if (maxRequests > 0 && this.#requests >= maxRequests) this.retire();
    return session;
  }

  /** An exchange is over. */
  leave(session: Http2ClientSession): void {
    if (!this.sessions.delete(session)) return;
    if (session.id !== 0 && !session.closed) {
      session.leavesLate = true;
      this.#leaving++;
    }
    if (session.remoteEnded && session.sentAtMs > this.#usedAtMs) this.#usedAtMs = session.sentAtMs;
    if (this.#retired) this.#closeBehindLast("not-reusable");
    else this.#owner.vacancy(this);
  }

  /** Takes no new streams any more, and closes behind those that are open. */
  retire(): void {
    this.#retire();
    this.#closeBehindLast("not-reusable");
  }

  /** An exchange waited in vain. If nobody answers on the connection either, it is dead. */
  doubt(): void {
    if (this.#retired) return;
    this.#pings.doubt();
  }

  prefersHttp1(): void {
    this.#owner.prefersHttp1(this);
  }

  idleState(): IdleState {
    return this.#retired || this.endpoint.finished || this.#pings.doubted || this.#stream.destroyed
      ? "closed"
      : "usable";
  }

  closeIdle(reason: CloseReason): void {
    log.debug({ peer: this.address, reason }, "closing an idle upstream connection");
    this.#retired = true;
    // The last exchange on it waited in vain: it is we who do not want it any more.
    this.#closeBehindLast(reason === "closed" && this.#pings.doubted ? "exchange" : reason);
  }

  /** An exchange waits until then, in `performance.now()` milliseconds. */
  wakeAt(dueAtMs: number): void {
    if (dueAtMs >= this.#deadlineAtMs) return;
    this.#deadlineAtMs = dueAtMs;
    const now = nowMs();
    this.#deadline.set(Math.max(dueAtMs - now, 1), now);
  }

  /** What there is to tell of it, now that it is closed. */
  get summary(): UpstreamClosedMessage {
    const { address, digest } = this;
    const { bytesRead, bytesWritten } = this.#stream;
    const reason = this.#closeReason ?? "closed";
    const error = this.broken ?? this.cause;
    return { address, digest, requests: this.#requests, bytesRead, bytesWritten, reason, error };
  }

  // From the endpoint.

  /** @internal */
  onSettings(): void {
    this.#opened = true;
    this.#remoteMaxStreams = this.endpoint.peer.maxConcurrentStreams;
    if (this.#onSettled !== undefined) this.#onSettled(undefined);
    else if (!this.#retired) this.#owner.vacancy(this);
  }

  /** @internal */
  onGoaway(code: number, lastStreamId: number, debug: string): void {
    this.goaway = { code, lastStreamId, debug };
    log.debug({ peer: this.address, code: http2CodeName(code), lastStreamId, debug }, "an upstream sent GOAWAY");
    this.#closeReason ??= this.sessions.size === 0 ? "closed" : code === NO_ERROR ? "not-reusable" : "exchange";
    this.#retire();
    this.#tellNoMoreStreams();
    // RFC 9113, section 5.4.1: with an error it ends the connection.
    if (code === NO_ERROR) this.#closeBehindLast("closed");
    else {
      this.endpoint.closeAbove(lastStreamId);
      this.#finish();
    }
  }

  /** @internal */
  onPong(): void {
    this.#pings.onPong();
  }

  /** @internal */
  onStreamClosed(stream: Http2Stream): void {
    // The others are told by the leaving of their exchanges, be it before this, by a failure, or behind it.
    const session = stream as Http2ClientSession;
    if (!session.leavesLate) return;
    session.leavesLate = false;
    this.#leaving--;
    if (this.#retired) this.#closeBehindLast("not-reusable");
    else this.#owner.vacancy(this);
  }

  /** @internal */
  onConnectionError(error: Http2ConnectionError): void {
    const { code, what } = error;
    // Our own fault is thrown on, and told by whoever catches it.
    if (code === INTERNAL_ERROR) this.cause ??= error;
    else {
      this.broken = error;
      log.warn(
        { peer: this.address, code: http2CodeName(code), what },
        "an upstream broke the rules of HTTP/2; closing the connection",
      );
    }
    this.#noteEnd();
    this.#retire();
    this.#tellNoMoreStreams();
    this.#linger();
  }

  /** @internal Sockets are half-open: an origin that ends its direction says no more. */
  onPeerEnd(): void {
    this.#noteEnd();
    this.#retire();
    this.#stream.destroy();
  }

  /** @internal */
  onError(error: Error): void {
    this.#noteEnd();
    this.cause ??= error;
  }

  /** @internal */
  onOver(): void {
    this.#noteEnd();
    this.#pings.dispose();
    this.#deadline.dispose();
    this.#retire();
    this.#onSettled?.(this.#noHttp2());
    this.#tellNoMoreStreams();
    // What was never opened has failed, and that is told by whoever wanted it.
    if (this.#opened) this.#owner.closed(this);
  }

  /** @internal Of servers alone. */
  beginRequest(): FieldReceiver {
    return NO_RECEIVER;
  }

  /** @internal Of servers alone. */
  openStream(): void {}

  /** @internal Of servers alone. */
  onRefused(): void {}

  /** It ends now, before those who are on it are told. */
  #noteEnd(): void {
    this.#closeReason ??= this.sessions.size === 0 ? "closed" : "exchange";
  }

  /** Exchanges that have no stream yet get none. */
  #tellNoMoreStreams(): void {
    for (const session of this.sessions) session.onNoMoreStreams();
  }

  #retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#owner.retired(this);
  }

  #onPingMissed(waitedMs: number): void {
    this.pingMissedMs = waitedMs;
    log.warn({ peer: this.address, waitedMs }, "an upstream did not answer an HTTP/2 PING; closing the connection");
    this.#closeReason ??= "ping-timeout";
    this.#retire();
    this.#stream.destroy();
  }

  /** If nothing is left on it, says GOAWAY, and closes. */
  #closeBehindLast(reason: UpstreamCloseReason): void {
    if (this.sessions.size > 0 || this.#leaving > 0 || this.endpoint.finished) return;
    this.#closeReason ??= reason;
    this.#finish();
  }

  #finish(): void {
    this.endpoint.finish(NO_ERROR);
    this.#linger();
  }

  /** Our direction is ended; the origin may never end its own. */
  #linger(): void {
    this.#pings.dispose();
    const stream = this.#stream as ByteStream & { once?(event: "finish", listener: () => void): unknown };
    stream.once?.("finish", () => void stream.destroy());
    this.#deadlineAtMs = Number.NEGATIVE_INFINITY;
    this.#deadline.set(LINGER_MS);
  }

  #silent(waitedMs: number): ProxyError {
    const context = `${this.address} is connected, and did not begin to speak HTTP/2 within ${waitedMs} ms`;
    return ProxyError.upstream("ConnectTimedout", context).setDetail("http2-silent");
  }

  #noHttp2(): ProxyError {
    const context = `${this.address} did not begin to speak HTTP/2`;
    return ProxyError.upstream("HandshakeError", context, this.broken ?? this.cause);
  }

  #onDeadline(): void {
    if (this.#deadlineAtMs === Number.NEGATIVE_INFINITY) {
      this.#stream.destroy();
      return;
    }
    const now = nowMs();
    this.#deadlineAtMs = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const session of this.sessions) {
      if (session.dueAtMs - now <= 0.5) session.onDue();
      next = Math.min(next, session.dueAtMs);
    }
    if (next !== Number.POSITIVE_INFINITY) this.wakeAt(next);
  }
}
