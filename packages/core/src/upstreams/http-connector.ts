import { isIPv6 } from "node:net";
import { ProxyError } from "@sluice/error";
import { ConnectionPool } from "@sluice/pool";
import type { ClientSession } from "../http/client-session.ts";
import { resolveHeadLimits, type HeadLimits } from "../http1/head-limits.ts";
import { Http1ClientConnection, type ClientConnectionOwner } from "../http1/http1-client-connection.ts";
import { nowMs } from "../net/clock.ts";
import { connectSocket } from "../net/connect.ts";
import { SocketReader } from "../net/socket-reader.ts";
import type { HttpPeer } from "./http-peer.ts";
import type { TlsProvider } from "./tls-provider.ts";

export interface HttpConnectorOptions {
  /** Idle connections kept, over all peers. Default 128, as in Pingora. */
  maxIdle?: number;
  /** Local IPv4 addresses to connect from, one at random a connection. Default: the system chooses. A peer's own wins. */
  bindToV4?: readonly string[];
  /** The same for IPv6. */
  bindToV6?: readonly string[];
  /** Limits on response heads. */
  headLimits?: Partial<HeadLimits>;
  /** For peers with `tls`; without it such a peer is an error. */
  tls?: TlsProvider;
}

/** Gives sessions to upstreams: on an idle connection of the pool, or on a new one. */
export class HttpConnector implements ClientConnectionOwner {
  readonly pool: ConnectionPool<Http1ClientConnection>;
  readonly #headLimits: HeadLimits;
  readonly #options: HttpConnectorOptions;

  /** @throws RangeError when an option is out of range. */
  constructor(options: HttpConnectorOptions = {}) {
    this.pool = new ConnectionPool({ ...(options.maxIdle !== undefined && { maxIdle: options.maxIdle }), now: nowMs });
    this.#headLimits = resolveHeadLimits(options.headLimits);
    this.#options = options;
  }

  /** A session on an idle connection, at once; `undefined` if there is none. */
  reuse(peer: HttpPeer): ClientSession | undefined {
    const connection = this.pool.get(peer.reuseKey);
    connection?.prepare(true, peer);
    return connection;
  }

  /**
   * A session on a new connection. Rejects with what {@link connectSocket} and the TLS provider reject with; no byte of a
   * request was sent then.
   * @param signal Gives up.
   */
  async connect(peer: HttpPeer, signal?: AbortSignal): Promise<ClientSession> {
    const { tls } = this.#options;
    if (peer.tls && tls === undefined) {
      const hint = "install a TLS package and hand its provider to the connector";
      throw ProxyError.internal(
        "InternalError",
        `the peer ${peer.toString()} asks for TLS, and there is no TLS provider: ${hint}`,
      );
    }
    const bindTo = peer.bindTo ?? this.#anyLocalAddress(peer);
    const timed = { connectMs: peer.connectMs, ...(bindTo !== undefined && { bindTo }) };
    // A TLS package reads the socket itself.
    const reader = peer.tls ? undefined : new SocketReader(true);
    const socket = await connectSocket(peer.address, timed, signal, reader);
    const secured = peer.tls ? await tls!.connect(socket, peer, signal) : undefined;
    const connection = new Http1ClientConnection(
      secured?.stream ?? socket,
      peer.address.text,
      peer.reuseKey,
      this,
      this.#headLimits,
      { reader, tls: secured?.digest },
    );
    connection.prepare(false, peer);
    return connection;
  }

  /** @internal */
  store(connection: Http1ClientConnection, idleMs: number | undefined): boolean {
    return this.pool.put(connection.key, connection, idleMs);
  }

  /** @internal */
  forget(connection: Http1ClientConnection, why: "closed" | "unexpected-data"): void {
    this.pool.remove(connection, why);
  }

  /** Closes the idle connections; those in use close when their exchange is over. */
  close(): void {
    this.pool.close();
  }

  #anyLocalAddress(peer: HttpPeer): string | undefined {
    if (peer.address.host === undefined) return undefined;
    const list = (isIPv6(peer.address.host) ? this.#options.bindToV6 : this.#options.bindToV4) ?? [];
    return list[Math.floor(Math.random() * list.length)];
  }
}
