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

/** An app with the sockets it listens on. */
export class HttpService implements Service {
  readonly name: string;
  readonly #app: HttpApp;
  readonly #options: Http1ServerOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Http1ServerConnection>();
  #onIdle: (() => void) | undefined = undefined;

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
      for (const listener of this.#listeners) await listener.bind();
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
    logger("core").debug({ service: this.name, addresses: this.addresses }, "listening");
  }

  async stop(force: AbortSignal): Promise<void> {
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

  #listen(address: SocketAddress, options: ListenOptions): this {
    this.#listeners.push(new Listener(address, options, this.#accept));
    return this;
  }

  readonly #accept = (accepted: Socket): void => {
    const reader = new SocketReader(false);
    const socket = adoptSocket(accepted, reader);
        this.#connections.add(new Http1ServerConnection(socket ?? accepted, this.#app, this.#options, this.#forget, socket && reader));
    (socket ?? accepted).resume();
  };

  readonly #forget = (connection: Http1ServerConnection): void => {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onIdle?.();
  };
}
