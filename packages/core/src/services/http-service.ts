import type { Socket } from "node:net";
import { shown } from "../config/shown.ts";
import { connectionChannels } from "../diagnostics.ts";
import { nameEnds, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ServerConnection } from "../http/server-connection.ts";
import type { HttpApp } from "../http/server-session.ts";
import { Http1ServerConnection } from "../http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions, type Http1ServerOptions } from "../http1/server-options.ts";
import { Http2ServerConnection } from "../http2/http2-server-connection.ts";
import { resolveHttp2ServerOptions, type Http2ServerOptions } from "../http2/server-options.ts";
import { checkAcceptFilter, type AcceptFilter } from "../listeners/accept-filter.ts";
import { AcceptGate } from "../listeners/accept-gate.ts";
import type { ListenOptions } from "../listeners/listen-options.ts";
import { Listener } from "../listeners/listener.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { turnWasQuiet } from "../net/quiet-turn.ts";
import { Roster } from "../net/roster.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { SocketReader } from "../net/socket-reader.ts";
import {
  carry,
  checkTransport,
  standardTransport,
  type SocketTransport,
  type TransportStream,
} from "../net/socket-transport.ts";
import { TlsHandshakes } from "../tls/tls-handshakes.ts";
import type { TlsListenSettings } from "../tls/tls-listen-settings.ts";
import { TlsListening } from "../tls/tls-listening.ts";
import type { TlsProvider } from "../tls/tls-provider.ts";
import type { Service } from "./service.ts";

/** How long a service that stops goes on accepting, if clients come faster than it can. */
const MAX_ACCEPTING_MS = 1000;

/** How long a handshake may still take once the service stops. */
const MAX_HANDSHAKE_AT_STOP_MS = 5000;

const { accepted, closed } = connectionChannels;

/** How a service treats its clients: those of HTTP/1 by what stands here, those of HTTP/2 by `http2`. */
export interface HttpServiceOptions extends Http1ServerOptions {
  /** What is not said here is as for HTTP/1, or has a default of its own. */
  http2: Partial<Http2ServerOptions>;
  /** For {@link HttpService.listenTls}: what a TLS package gives. Default: none, and listening with TLS is an error. */
  tls: TlsProvider | undefined;
  /** Carries the connections of clients that come without TLS, in place of Node.js. Default: Node.js does. */
  transport: SocketTransport | undefined;
}

/** An app with the sockets it listens on. */
export class HttpService implements Service {
  readonly name: string;
  readonly #app: HttpApp;
  readonly #http1: Http1ServerOptions;
  readonly #http2: Http2ServerOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Roster<ServerConnection>();
  readonly #gate: AcceptGate;
  readonly #tls: TlsProvider | undefined;
  readonly #transport: SocketTransport | undefined;
  readonly #tlsListenings: TlsListening[] = [];
  readonly #handshakes: TlsHandshakes;
  #onIdle: (() => void) | undefined = undefined;
  #stopped = false;
  /** The listeners are closed; who is let in now had come before. */
  #draining = false;

  /** @throws TypeError for an option that is not known or of another type, RangeError when one is out of range. */
  constructor(name: string, app: HttpApp, options: Partial<HttpServiceOptions> = {}) {
    checkService(name, app, options);
    const { http2 = {}, tls, transport = standardTransport(), ...http1 } = options;
    checkTransport("HttpService", transport);
    this.name = name;
    this.#app = app;
    this.#http1 = resolveHttp1ServerOptions(http1);
    this.#http2 = resolveHttp2ServerOptions(http2, this.#http1);
    this.#gate = new AcceptGate(() => this.#onLess(), name);
    this.#tls = tls;
    this.#transport = transport;
    this.#handshakes = new TlsHandshakes(name, () => this.#onLess());
  }

  /**
   * Listens on `host:port` or `[IPv6]:port` once the service starts; port 0 lets the system choose.
   * @throws ProxyError when the address cannot be read.
   */
  listenTcp(address: string, options: ListenOptions = {}): this {
    return this.#listen(SocketAddress.parse(address), options);
  }

  /**
   * Listens as {@link listenTcp} does, and speaks TLS. Files are read when the service starts, which rejects if they cannot be used.
   * @throws ProxyError when the address cannot be read, or no TLS provider was given; TypeError or RangeError for a setting that
   * cannot be.
   */
  listenTls(address: string, settings: TlsListenSettings, options: ListenOptions = {}): this {
    const where = SocketAddress.parse(address);
    const listening = new TlsListening(this.#tls, settings, where, this.#handshakes, this.#serve);
    const listener = new Listener(where, options, listening.accept, this.#gate);
    this.#tlsListenings.push(listening);
    this.#listeners.push(listener);
    return this;
  }

  /** Listens on a Unix socket once the service starts; a socket file that is there is replaced. */
  listenUnix(path: string, options: ListenOptions = {}): this {
    return this.#listen(SocketAddress.unix(path), options);
  }

  /**
   * Whom to let in on all listeners, those that were added before and those that are added later; a listener's own
   * `acceptFilter` is asked after it. It counts for connections from now on. Default, and `undefined`: all.
   * @throws TypeError when it is no function.
   */
  setAcceptFilter(filter: AcceptFilter | undefined): this {
    if (filter !== undefined) checkAcceptFilter(filter);
    this.#gate.filter = filter;
    return this;
  }

  /** The addresses as bound, in the order in which they were added. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** What it listens on, in the order in which they were added. The server binds them before it gives up its privileges. */
  get listeners(): readonly Listener[] {
    return this.#listeners;
  }

  /** Open client connections. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Connections that an accept filter has refused so far, those included for which it failed. */
  get refusedCount(): number {
    return this.#gate.refusedCount;
  }

  /** TLS handshakes of clients that have failed so far. */
  get failedHandshakeCount(): number {
    return this.#handshakes.failedCount;
  }

  async start(): Promise<void> {
    try {
      for (const listening of this.#tlsListenings) await listening.prepare();
      for (const listener of this.#listeners) {
        await listener.bind();
        // It may have been stopped meanwhile, when there was nothing to close yet.
        if (this.#stopped) listener.close();
      }
    } catch (error) {
      this.#closeListeners();
      throw error;
    }
    logger("core").debug({ service: this.name, addresses: this.addresses }, "listening");
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#stopped = true;
    await this.#acceptWaiting(force);
    this.#closeListeners();
    this.#draining = true;
    this.#handshakes.limit(MAX_HANDSHAKE_AT_STOP_MS);
    for (const connection of this.#connections) connection.shutdown();
    const cut = (): void => {
      this.#gate.closeWaiting();
      this.#handshakes.limit(0);
      for (const connection of this.#connections) connection.destroy();
    };
    if (force.aborted) cut();
    force.addEventListener("abort", cut, { once: true });
    if (!this.#idle) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    force.removeEventListener("abort", cut);
  }

  /**
   * Accepts what the system has completed: to close the listener would reset those connections, and the requests on them. A
   * turn of the event loop accepts one, so a turn that brings none, and was short, shows that none waits.
   */
  async #acceptWaiting(force: AbortSignal): Promise<void> {
    if (force.aborted) return;
    const endsAt = performance.now() + MAX_ACCEPTING_MS;
    // What is left of this turn tells nothing.
    await turnWasQuiet();
    let before = -1;
    let quiet = false;
    while ((!quiet || before !== this.#gate.acceptedCount) && !force.aborted && performance.now() < endsAt) {
      before = this.#gate.acceptedCount;
      quiet = await turnWasQuiet();
    }
  }

  #closeListeners(): void {
    for (const listener of this.#listeners) listener.close();
    for (const listening of this.#tlsListenings) listening.close();
  }

  #listen(address: SocketAddress, options: ListenOptions): this {
    this.#listeners.push(new Listener(address, options, this.#accept, this.#gate));
    return this;
  }

  readonly #accept = (given: Socket, { wanted }: Listener, release: (() => void) | undefined): void => {
    const reader = new SocketReader(false);
    const socket = carry(given, reader, this.#transport);
    const stream: TransportStream = socket ?? given;
    if (release !== undefined) stream.once("close", release);
    if (wanted.path !== undefined) nameEnds(stream, { local: wanted.text });
    this.#serve(stream, undefined, socket && reader);
  };

  /** Chooses the protocol: by ALPN, or, without TLS, HTTP/1 until the client says otherwise. */
  readonly #serve = (stream: ByteStream, tls: TlsDigest | undefined, reader: SocketReader | undefined): void => {
    if (tls?.alpn === "h2") {
      const early = reader?.takeHeld();
      this.#begin(new Http2ServerConnection(stream, this.#app, this.#http2, this.#forget, { tls, early }));
      return;
    }
    const connection = new Http1ServerConnection(stream, this.#app, this.#http1, this.#forget, reader, tls);
    if (tls === undefined && this.#http2.h2c) connection.onHttp2 = this.#toHttp2;
    this.#begin(connection);
    stream.resume();
  };

  /** The connection goes on as one of HTTP/2. */
  readonly #toHttp2 = (before: Http1ServerConnection, stream: ByteStream, early: Buffer): void => {
    const { digest } = before;
    const connection = new Http2ServerConnection(stream, this.#app, this.#http2, this.#forget, { early, digest });
    this.#connections.delete(before);
    this.#connections.add(connection);
    if (before.shuttingDown) connection.shutdown();
  };

  #begin(connection: ServerConnection): void {
    this.#connections.add(connection);
    // A socket that is closed does not know its addresses any more.
    if (closed.hasSubscribers) readAddresses(connection.digest);
    if (accepted.hasSubscribers) accepted.publish({ service: this.name, digest: connection.digest });
    if (this.#draining) connection.shutdown();
  }

  readonly #forget = (connection: ServerConnection): void => {
    this.#connections.delete(connection);
    if (closed.hasSubscribers) {
      closed.publish({ service: this.name, digest: connection.digest, ...connection.summary });
    }
    this.#onLess();
  };

  /** Nobody is served, and nobody waits to be let in. */
  get #idle(): boolean {
    return this.#connections.size === 0 && this.#gate.waitingCount === 0 && this.#handshakes.count === 0;
  }

  #onLess(): void {
    if (this.#idle) this.#onIdle?.();
  }
}

function checkService(name: unknown, app: HttpApp, options: Partial<HttpServiceOptions>): void {
  if (typeof name !== "string") throw new TypeError(`HttpService: name: expected a string, got ${shown(name)}`);
  if (typeof app?.handleRequest !== "function") {
    throw new TypeError(`HttpService: app: expected an object with handleRequest(), got ${shown(app)}`);
  }
  // Names are checked where the values are.
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`HttpService: expected an object of options, got ${shown(options)}`);
  }
  const { tls } = options;
  if (tls === undefined || typeof tls?.listen === "function") return;
  throw new TypeError(`HttpService: tls: expected a TLS provider, such as opensslTls(), got ${shown(tls)}`);
}

function readAddresses(digest: ConnectionDigest): void {
  void digest.remoteAddress;
  void digest.localAddress;
}
