import type { Socket } from "node:net";
import { connectionChannels } from "../diagnostics.ts";
import { nameUnixSocket, type ConnectionDigest } from "../http/connection-digest.ts";
import type { HttpApp } from "../http/server-session.ts";
import { Http1ServerConnection } from "../http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions, type Http1ServerOptions } from "../http1/server-options.ts";
import { checkAcceptFilter, type AcceptFilter } from "../listeners/accept-filter.ts";
import { AcceptGate } from "../listeners/accept-gate.ts";
import type { ListenOptions } from "../listeners/listen-options.ts";
import { Listener } from "../listeners/listener.ts";
import { logger } from "../log/logger.ts";
import { adoptSocket } from "../net/adopt-socket.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { SocketReader } from "../net/socket-reader.ts";
import type { Service } from "./service.ts";

/** How long a service that stops goes on accepting, if clients come faster than it can. */
const MAX_ACCEPTING_MS = 1000;

const { accepted, closed } = connectionChannels;

/** An app with the sockets it listens on. */
export class HttpService implements Service {
  readonly name: string;
  readonly #app: HttpApp;
  readonly #options: Http1ServerOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Http1ServerConnection>();
  readonly #gate: AcceptGate;
  #onIdle: (() => void) | undefined = undefined;
  #stopped = false;
  /** The listeners are closed; who is let in now had come before. */
  #draining = false;

  /** @throws RangeError when an option is out of range. */
  constructor(name: string, app: HttpApp, options: Partial<Http1ServerOptions> = {}) {
    this.name = name;
    this.#app = app;
    this.#options = resolveHttp1ServerOptions(options);
    this.#gate = new AcceptGate(() => this.#onLess(), name);
  }

  /**
   * Listens on `host:port` or `[IPv6]:port` once the service starts; port 0 lets the system choose.
   * @throws ProxyError when the address cannot be read.
   */
  listenTcp(address: string, options: ListenOptions = {}): this {
    return this.#listen(SocketAddress.parse(address), options);
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

  async start(): Promise<void> {
    try {
      for (const listener of this.#listeners) {
        await listener.bind();
        // It may have been stopped meanwhile, when there was nothing to close yet.
        if (this.#stopped) listener.close();
      }
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
    logger("core").debug({ service: this.name, addresses: this.addresses }, "listening");
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#stopped = true;
    await this.#acceptWaiting(force);
    for (const listener of this.#listeners) listener.close();
    this.#draining = true;
    for (const connection of this.#connections) connection.shutdown();
    const cut = (): void => {
      this.#gate.closeWaiting();
      for (const connection of this.#connections) connection.destroy();
    };
    if (force.aborted) cut();
    force.addEventListener("abort", cut, { once: true });
    if (!this.#idle) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    force.removeEventListener("abort", cut);
  }

  /**
   * Accepts what the system has completed: to close the listener would reset those connections, and the requests on them. A
   * turn of the event loop accepts one, so a turn that brings none shows that none waits.
   */
  async #acceptWaiting(force: AbortSignal): Promise<void> {
    if (force.aborted) return;
    const endsAt = performance.now() + MAX_ACCEPTING_MS;
    // What is left of this turn tells nothing.
    await nextTurn();
    for (let before = -1; before !== this.#gate.acceptedCount && !force.aborted && performance.now() < endsAt;) {
      before = this.#gate.acceptedCount;
      await nextTurn();
    }
  }

  #listen(address: SocketAddress, options: ListenOptions): this {
    this.#listeners.push(new Listener(address, options, this.#accept, this.#gate));
    return this;
  }

  readonly #accept = (given: Socket, { wanted }: Listener, release: (() => void) | undefined): void => {
    const reader = new SocketReader(false);
    const socket = adoptSocket(given, reader);
    const stream = socket ?? given;
    if (release !== undefined) stream.once("close", release);
    if (wanted.path !== undefined) nameUnixSocket(stream, { local: wanted.text });
    const connection = new Http1ServerConnection(stream, this.#app, this.#options, this.#forget, socket && reader);
    this.#connections.add(connection);
    // A socket that is closed does not know its addresses any more.
    if (closed.hasSubscribers) readAddresses(connection.digest);
    if (accepted.hasSubscribers) accepted.publish({ service: this.name, digest: connection.digest });
    if (this.#draining) connection.shutdown();
    stream.resume();
  };

  readonly #forget = (connection: Http1ServerConnection): void => {
    this.#connections.delete(connection);
    if (closed.hasSubscribers) {
      closed.publish({ service: this.name, digest: connection.digest, ...connection.summary });
    }
    this.#onLess();
  };

  /** Nobody is served, and nobody waits to be let in. */
  get #idle(): boolean {
    return this.#connections.size === 0 && this.#gate.waitingCount === 0;
  }

  #onLess(): void {
    if (this.#idle) this.#onIdle?.();
  }
}

function readAddresses(digest: ConnectionDigest): void {
  void digest.remoteAddress;
  void digest.localAddress;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
