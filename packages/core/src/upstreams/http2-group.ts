import { ProxyError } from "@sluice/error";
import type { ClientSession } from "../http/client-session.ts";
import { Http2ClientConnection } from "../http2/http2-client-connection.ts";
import type { HttpPeer } from "./http-peer.ts";
import { Http2Waiter } from "./http2-waiter.ts";

/** What a group asks of the connector. */
export interface Http2GroupOwner {
  /**
   * Opens a connection; what the origin turned out to speak decides which.
   * @param onStep Told what comes next.
   */
  openAny(
    peer: HttpPeer,
    signal: AbortSignal,
    onStep: (step: OpeningStep) => void,
  ): Promise<Http2ClientConnection | ClientSession>;
  /** A session on an HTTP/1 connection of its own, for a peer that allows it. */
  openHttp1(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession>;
  /** A request has a stream on a connection that others opened, or use. */
  shared(peer: HttpPeer, session: ClientSession): void;
  /** A connection has no streams any more. */
  idle(connection: Http2ClientConnection, idleMs: number): void;
  /** Nothing is left of the group. */
  empty(group: Http2Group): void;
}

/** How far a connection is, beside TCP: the TLS handshake, or the SETTINGS of HTTP/2, is waited for. */
export type OpeningStep = "tls" | "http2";

/** Connections that are opened at the same time for those who wait. */
const MAX_OPENING = 8;

/**
 * The HTTP/2 connections to one origin that are in use, and those who wait for a stream on one. A cold start opens one connection
 * however many wait: only when it is there is known how many of them it takes, or that the origin speaks HTTP/1.
 *
 * New streams go to the connection that was opened first and has room, so that surplus ones become idle and age out.
 */
export class Http2Group {
  readonly key: string;
  readonly #owner: Http2GroupOwner;
  readonly #connections: Http2ClientConnection[] = [];
  readonly #waiters: Http2Waiter[] = [];
  readonly #attempts = new Map<AbortController, OpeningStep | "tcp">();
  /** Those that nobody waited for any more, and that have not ended yet. */
  #givenUp = 0;
  /** How many streams the last connection took; unknown before the first. */
  #streamsEach = Number.POSITIVE_INFINITY;
  #idleMs = 0;

  constructor(key: string, owner: Http2GroupOwner) {
    this.key = key;
    this.#owner = owner;
  }

  /** A stream on a connection that has room; at once. */
  take(peer: HttpPeer, needsExtendedConnect: boolean): ClientSession | undefined {
    for (const connection of this.#connections) {
      if (connection.room <= 0 || (needsExtendedConnect && !connection.extendedConnect)) continue;
      return this.#takeOn(connection, peer, true);
    }
    return undefined;
  }

  /** Takes over a connection that was idle. */
  add(connection: Http2ClientConnection): void {
    this.#connections.push(connection);
  }

  /** A connection tells that the origin has no extended CONNECT. */
  get knownWithoutExtendedConnect(): boolean {
    return this.#connections.some((connection) => !connection.extendedConnect);
  }

  wait(peer: HttpPeer, needsExtendedConnect: boolean, signal: AbortSignal | undefined): Promise<ClientSession> {
    const waiter = new Http2Waiter(
      peer,
      needsExtendedConnect,
      signal,
      (gone, error) => this.#onGone(gone, error),
      () => this.#tooLate(peer),
    );
    this.#waiters.push(waiter);
    this.#idleMs = peer.idleMs;
    this.#open();
    return waiter.promise;
  }

  /** A stream of it ended, or the origin allows more of them. */
  vacancy(connection: Http2ClientConnection): void {
    this.#serve(connection);
    if (connection.sessions.size > 0) return;
    if (!this.#remove(connection)) return;
    this.#owner.idle(connection, this.#idleMs);
    this.#checkEmpty();
  }

  /** It takes no new streams any more. */
  retired(connection: Http2ClientConnection): void {
    if (!this.#remove(connection)) return;
    this.#open();
    this.#checkEmpty();
  }

  #takeOn(connection: Http2ClientConnection, peer: HttpPeer, shared: boolean): ClientSession {
    this.#idleMs = peer.idleMs;
    const session = connection.take(peer, shared, peer.minHttpVersion === 1);
    if (shared) this.#owner.shared(peer, session);
    return session;
  }

  /** Gives what it has room for to those who wait, in their order. */
  #serve(connection: Http2ClientConnection, shared = true): void {
    let isShared = shared;
    for (let at = 0; at < this.#waiters.length && connection.room > 0;) {
      const waiter = this.#waiters[at]!;
      if (waiter.needsExtendedConnect && !connection.extendedConnect) {
        this.#waiters.splice(at, 1);
        this.#withoutExtendedConnect(waiter);
        continue;
      }
      this.#waiters.splice(at, 1);
      waiter.resolve(this.#takeOn(connection, waiter.peer, isShared));
      isShared = true;
    }
  }

  #withoutExtendedConnect(waiter: Http2Waiter): void {
    const { peer } = waiter;
    if (peer.minHttpVersion === 1) waiter.resolve(this.#owner.openHttp1(peer, waiter.signal));
    else waiter.reject(noExtendedConnect(peer));
  }

  /** Opens as many connections as those who wait need, as far as that is known. */
  #open(): void {
    const needed = Math.min(Math.ceil(this.#waiters.length / this.#streamsEach), MAX_OPENING);
    const waiting = this.#waiters.length > 0 ? Math.max(needed, 1) : 0;
    while (this.#attempts.size < waiting) void this.#attempt(this.#waiters[0]!.peer);
  }

  async #attempt(peer: HttpPeer): Promise<void> {
    const attempt = new AbortController();
    this.#attempts.set(attempt, "tcp");
    try {
      const opened = await this.#owner.openAny(peer, attempt.signal, (step) => {
        if (this.#attempts.has(attempt)) this.#attempts.set(attempt, step);
      });
      this.#attempts.delete(attempt);
      if (opened instanceof Http2ClientConnection) this.#onHttp2(opened);
      else this.#onHttp1(opened);
    } catch (error) {
      // Whoever has come since it was given up waits for another one, and is not concerned by the reason.
      if (this.#attempts.delete(attempt)) this.#onFailed(error);
    }
    if (attempt.signal.aborted) this.#givenUp--;
    this.#open();
    this.#checkEmpty();
  }

  #onHttp2(connection: Http2ClientConnection): void {
    if (connection.capacity <= 0) {
      connection.retire();
      this.#onFailed(noStreams(connection));
      return;
    }
    this.#streamsEach = connection.capacity;
    this.#connections.push(connection);
    this.#serve(connection, false);
    // Nobody waits any more.
    if (connection.sessions.size === 0) this.vacancy(connection);
  }

  /** The origin speaks HTTP/1: each needs a connection of its own. */
  #onHttp1(session: ClientSession): void {
    const waiters = this.#waiters.splice(0);
    const first = waiters.shift();
    if (first === undefined) session.destroy();
    else first.resolve(session);
    for (const waiter of waiters) waiter.resolve(this.#owner.openHttp1(waiter.peer, waiter.signal));
  }

  /** Whoever waited for it hears why; with other connections in use, one does, and the others wait for those. */
  #onFailed(error: unknown): void {
    const failed = this.#waiters.splice(0, this.#connections.length > 0 ? 1 : this.#waiters.length);
    failed.forEach((waiter, index) => waiter.reject(index === 0 ? error : copyOf(error)));
  }

  #onGone(waiter: Http2Waiter, error: unknown): void {
    const at = this.#waiters.indexOf(waiter);
    if (at >= 0) this.#waiters.splice(at, 1);
    if (this.#waiters.length > 0) return;
    for (const attempt of this.#attempts.keys()) attempt.abort(error);
    this.#givenUp += this.#attempts.size;
    this.#attempts.clear();
    this.#checkEmpty();
  }

  #tooLate(peer: HttpPeer): ProxyError {
    if (this.#connections.length > 0) return noFreeStream(peer);
    const steps = new Set(this.#attempts.values());
    return openingTimedOut(peer, steps.has("http2") ? "http2" : steps.has("tls") ? "tls" : undefined);
  }

  #remove(connection: Http2ClientConnection): boolean {
    const at = this.#connections.indexOf(connection);
    if (at < 0) return false;
    this.#connections.splice(at, 1);
    return true;
  }

  #checkEmpty(): void {
    const attempts = this.#attempts.size + this.#givenUp;
    if (this.#connections.length === 0 && this.#waiters.length === 0 && attempts === 0) this.#owner.empty(this);
  }
}

function noFreeStream(peer: HttpPeer): ProxyError {
  const context = `no stream on an HTTP/2 connection to ${peer.toString()} was free within ${peer.connectMs} ms`;
  return ProxyError.upstream("ConnectTimedout", context).setDetail("no-stream");
}

function openingTimedOut(peer: HttpPeer, step: OpeningStep | undefined): ProxyError {
  const [address, waited] = [peer.toString(), `within ${peer.connectMs} ms`];
  switch (step) {
    case "http2":
      return ProxyError.upstream(
        "ConnectTimedout",
        `${address} is connected, and did not begin to speak HTTP/2 ${waited}`,
      ).setDetail("http2-silent");
    case "tls":
      return ProxyError.upstream(
        "ConnectTimedout",
        `${address} is connected, and did not complete the TLS handshake ${waited}`,
      ).setDetail("tls-silent");
    case undefined:
      return ProxyError.upstream("ConnectTimedout", `${address} could not be connected to ${waited}`);
  }
}

function noStreams({ address }: Http2ClientConnection): ProxyError {
  const context = `${address} allows no streams on an HTTP/2 connection (SETTINGS_MAX_CONCURRENT_STREAMS 0)`;
  return ProxyError.upstream("H2Error", context);
}

/** Each who hears of a failure may change what is said of it. */
function copyOf(error: unknown): unknown {
  if (!(error instanceof ProxyError)) return error;
  const { type, context, cause, source, retry, detail } = error;
  return new ProxyError(type, {
    source,
    retry,
    cause,
    ...(context !== undefined && { context }),
    ...(detail !== undefined && { detail }),
  });
}

export function noExtendedConnect(peer: HttpPeer): ProxyError {
  const context = `${peer.toString()} takes no WebSocket over HTTP/2: it did not send SETTINGS_ENABLE_CONNECT_PROTOCOL`;
  return ProxyError.upstream("H2Error", context);
}
