import type { Socket } from "node:net";
import type { HttpApp } from "../http/server-session.ts";
import { Http1ServerConnection } from "../http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions, type Http1ServerOptions } from "../http1/server-options.ts";
import { Listener, type ListenOptions } from "../listeners/listener.ts";
import { logger } from "../log/logger.ts";
import { adoptSocket } from "../net/adopt-socket.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { SocketReader } from "../net/socket-reader.ts";
import type { Service } from "./service.ts";

/** How long a service that stops goes on accepting, if clients come faster than it can. */
const MAX_ACCEPTING_MS = 1000;

/** An app with the sockets it listens on. */
export class HttpService implements Service {
  readonly name: string;
  readonly #app: HttpApp;
  readonly #options: Http1ServerOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Http1ServerConnection>();
  #onIdle: (() => void) | undefined = undefined;
  #stopped = false;
  /** Connections so far. */
  #accepted = 0;

  /** @throws RangeError when an option is out of range. */
  constructor(name: string, app: HttpApp, options: Partial<Http1ServerOptions> = {}) {
    this.name = name;
    this.#app = app;
    this.#options = resolveHttp1ServerOptions(options);
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

  /** The addresses as bound, in the order in which they were added. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Open client connections. */
  get connectionCount(): number {
    return this.#connections.size;
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
    for (const connection of this.#connections) connection.shutdown();
    const cut = (): void => {
      for (const connection of this.#connections) connection.destroy();
    };
    if (force.aborted) cut();
    force.addEventListener("abort", cut, { once: true });
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
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
    for (let before = -1; before !== this.#accepted && !force.aborted && performance.now() < endsAt;) {
      before = this.#accepted;
      await nextTurn();
    }
  }

  #listen(address: SocketAddress, options: ListenOptions): this {
    this.#listeners.push(new Listener(address, options, this.#accept));
    return this;
  }

  readonly #accept = (accepted: Socket): void => {
    this.#accepted++;
    const reader = new SocketReader(false);
    const socket = adoptSocket(accepted, reader);
    this.#connections.add(
      new Http1ServerConnection(socket ?? accepted, this.#app, this.#options, this.#forget, socket && reader),
    );
    (socket ?? accepted).resume();
  };

  readonly #forget = (connection: Http1ServerConnection): void => {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onIdle?.();
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
