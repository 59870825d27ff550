import { connect, type ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { ProxyError } from "@sluice/error";
import type { CloseReason, IdleState, PoolableConnection } from "@sluice/pool";
import type { UpstreamClosedMessage, UpstreamCloseReason } from "../diagnostics.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import type { ExchangeLimits } from "../http1/http1-client-connection.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline, MAX_TIMER_MS } from "../net/deadline.ts";
import type { ConnectionFate } from "./client-errors.ts";
import { http2CodeName } from "./error-codes.ts";
import { SocketReader } from "../net/socket-reader.ts";
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

const log = logger("core");

/**
 * Speaks HTTP/2 to an origin over one stream (RFC 9113), many exchanges at the same time. Knows how many more it can take, and
 * what has happened to it; the exchanges are {@link Http2ClientSession}s.
 */
export class Http2ClientConnection implements PoolableConnection, ConnectionFate {
  readonly digest: ConnectionDigest;
  /** The key under which it is pooled. */
  readonly key: string;
  /** The address it leads to, for logs. */
  readonly address: string;
  readonly scheme: "http" | "https";
  readonly headLimits: HeadLimits;
  readonly node: ClientHttp2Session;
  /** Exchanges that hold a slot now. */
  readonly sessions: Set<Http2ClientSession> = new Set();
  goaway: { readonly code: number; readonly lastStreamId: number } | undefined = undefined;
  cause: Error | undefined = undefined;
  pingMissedMs = 0;
  readonly #owner: Http2ConnectionOwner;
  readonly #stream: ByteStream;
  readonly #settings: Http2ConnectionSettings;
  readonly #pings: PingWatch;
  /** Fires for the exchange whose time is up first. */
  readonly #deadline: Deadline;
  #deadlineAtMs = Number.POSITIVE_INFINITY;
  /** What the origin allows at the same time. */
  #remoteMaxStreams = 0;
  /** The origin takes an extended CONNECT (RFC 8441, section 3). */
  #extendedConnect = false;
  #retired = false;
  #over = false;
  #requests = 0;
  #closeReason: UpstreamCloseReason | undefined = undefined;
  #onSettings: ((error: Error | undefined) => void) | undefined = undefined;
  /** Exchanges that were told something in this turn. */
  #told: Http2ClientSession[] = [];

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
    this.node = this.#start(stream);
    this.#pings = new PingWatch(this.node, settings.pingIntervalMs, (waitedMs) => this.#onPingMissed(waitedMs));
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
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#onSettings = undefined;
        if (error === undefined) resolve();
        else {
          reject(error);
          this.#stream.destroy();
        }
      };
      const onAbort = (): void => settle(signal!.reason as Error);
      const timer =
        connectMs > 0 && connectMs <= MAX_TIMER_MS
          ? setTimeout(() => settle(this.#silent(connectMs)), connectMs)
          : undefined;
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#onSettings = settle;
      if (signal?.aborted) onAbort();
    });
  }

  get over(): boolean {
    return this.#over || this.node.destroyed;
  }

  /**
   * Node takes no more streams, and neither side has asked for it: so it does when a head is too large for it to send, whose stream
   * it closes as if the origin had refused it.
   */
  get closedByNode(): boolean {
    return this.node.closed && this.goaway === undefined && this.cause === undefined;
  }

  /** How many more exchanges it takes now. */
  get room(): number {
    if (this.#retired || this.#pings.doubted) return 0;
    const { maxStreams, maxRequests } = this.#settings;
    const now = Math.min(maxStreams, this.#remoteMaxStreams) - this.sessions.size;
    return maxRequests === 0 ? now : Math.min(now, maxRequests - this.#requests);
  }

  /** How many it takes at the same time, as things are. */
  get capacity(): number {
    return Math.min(this.#settings.maxStreams, this.#remoteMaxStreams);
  }

  /** Whether an exchange can change its protocol by an extended CONNECT. */
  get extendedConnect(): boolean {
    return this.#extendedConnect;
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
    if (this.#retired && this.sessions.size === 0) this.#closeGracefully("not-reusable");
    else this.#owner.vacancy(this);
  }

  /** Takes no new streams any more, and closes behind those that are open. */
  retire(): void {
    this.#retire();
    if (this.sessions.size === 0) this.#closeGracefully("not-reusable");
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
    return this.#retired || this.over || this.#pings.doubted || this.#stream.destroyed ? "closed" : "usable";
  }

  closeIdle(reason: CloseReason): void {
    log.debug({ peer: this.address, reason }, "closing an idle upstream connection");
    this.#retired = true;
    this.#closeGracefully(reason);
  }

  /** An exchange was told something: when all that came is delivered, it may send on what it holds. */
  told(session: Http2ClientSession): void {
    if (this.#told.push(session) === 1) setImmediate(tellBatches, this);
  }

  /** @internal */
  tellBatches(): void {
    const told = this.#told;
    this.#told = [];
    for (const session of told) session.onBatch();
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
    const { address, digest, cause } = this;
    const { bytesRead, bytesWritten } = this.#stream;
    const reason = this.#closeReason ?? "closed";
    return { address, digest, requests: this.#requests, bytesRead, bytesWritten, reason, error: cause };
  }

  #start(stream: ByteStream): ClientHttp2Session {
    const { streamWindowBytes, connectionWindowBytes, headLimits } = this.#settings;
    // What came with the end of a TLS handshake; Node's session takes it from there.
    const early = SocketReader.of(stream)?.takeHeld();
    if (early !== undefined) (stream as unknown as Duplex).unshift(early);
    const node = connect(`${this.scheme}://upstream`, {
      createConnection: () => stream as unknown as Duplex,
      // Ours are checked first, so that the error says what was too large; these bound what is kept until then.
      maxHeaderListPairs: headLimits.maxFields * 2,
      strictSingleValueFields: false,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindowBytes,
        maxFrameSize: MAX_FRAME_BYTES,
        maxHeaderListSize: headLimits.maxHeadBytes * 2,
      },
    } as Parameters<typeof connect>[1]);
    node.setLocalWindowSize(connectionWindowBytes);
    node.on("remoteSettings", (settings) => {
      this.#remoteMaxStreams = settings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY;
      this.#extendedConnect = settings.enableConnectProtocol === true;
      const onSettings = this.#onSettings;
      if (onSettings !== undefined) onSettings(undefined);
      else this.#owner.vacancy(this);
    });
    node.on("goaway", (code, lastStreamId) => this.#onGoaway(code, lastStreamId));
    node.on("error", (error) => this.#onOver(error));
    node.on("close", () => this.#onOver(undefined));
    // Sockets are half-open, and Node's session does not look: an origin that ends its direction says no more.
    stream.on("end", () => {
      this.#over = true;
      this.#retire();
      node.destroy();
    });
    stream.on("error", (error) => {
      this.cause ??= error;
    });
    stream.on("close", () => {
      this.#onOver(undefined);
      this.#owner.closed(this);
    });
    return node;
  }

  #onGoaway(code: number, lastStreamId: number): void {
    this.goaway = { code, lastStreamId };
    log.debug({ peer: this.address, code: http2CodeName(code), lastStreamId }, "an upstream sent GOAWAY");
    // Node ends the connection at once if there was an error, and behind the open streams otherwise.
    if (code !== 0) this.#over = true;
    this.#closeReason ??= this.sessions.size === 0 ? "closed" : code === 0 ? "not-reusable" : "exchange";
    this.#retire();
    if (this.sessions.size === 0) this.#linger();
  }

  #onOver(error: Error | undefined): void {
    this.#over = true;
    this.cause ??= error;
    this.#closeReason ??= this.sessions.size === 0 ? "closed" : "exchange";
    this.#pings.dispose();
    this.#retire();
    this.#onSettings?.(this.#noHttp2());
    // Those that were not sent have no stream that could tell them.
    for (const session of this.sessions) session.onConnectionOver();
    if (!this.#stream.destroyed) this.#linger();
    else this.#deadline.dispose();
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
    this.#over = true;
    this.#retire();
    this.#stream.destroy();
  }

  /** Says GOAWAY, and closes. */
  #closeGracefully(reason: UpstreamCloseReason): void {
    this.#closeReason ??= reason;
    this.#pings.dispose();
    if (this.over) {
      this.#stream.destroy();
      return;
    }
    this.node.close();
    this.#linger();
  }

  /** Node ends our direction and waits for the origin to end its own. That may be never. */
  #linger(): void {
    const stream = this.#stream as ByteStream & { once?(event: "finish", listener: () => void): unknown };
    stream.once?.("finish", () => void stream.destroy());
    this.#deadlineAtMs = Number.NEGATIVE_INFINITY;
    this.#deadline.set(LINGER_MS);
  }

  #silent(waitedMs: number): ProxyError {
    const context = `${this.address} is connected, and did not begin to speak HTTP/2 within ${waitedMs} ms`;
    return ProxyError.upstream("ConnectTimedout", context);
  }

  #noHttp2(): ProxyError {
    const context = `${this.address} did not begin to speak HTTP/2`;
    return ProxyError.upstream("HandshakeError", context, this.cause);
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

function tellBatches(connection: Http2ClientConnection): void {
  connection.tellBatches();
}
