import { isIPv6 } from "node:net";
import { ProxyError } from "@sluice/error";
import { ConnectionPool } from "@sluice/pool";
import { upstreamChannels } from "../diagnostics.ts";
import type { ClientSession } from "../http/client-session.ts";
import { nameUnixSocket } from "../http/connection-digest.ts";
import { resolveHeadLimits, type HeadLimits } from "../http1/head-limits.ts";
import { Http1ClientConnection, type ClientConnectionOwner } from "../http1/http1-client-connection.ts";
import { nowMs } from "../net/clock.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { connectSocket } from "../net/connect.ts";
import { SocketReader } from "../net/socket-reader.ts";
import { openStream } from "./connect-stream.ts";
import type { HttpPeer } from "./http-peer.ts";
import { RawTunnelSession } from "./raw-tunnel-session.ts";
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

const { connectStart, connected, connectFailed, pooled, closed } = upstreamChannels;

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
    if (connection === undefined) return undefined;
    connection.prepare(true, peer);
    if (connected.hasSubscribers) this.#publishConnected(peer, connection, 0);
    return connection;
  }

  /**
   * A session on a new connection. Rejects with what {@link connectSocket}, the peer's `connectStream` and the TLS provider
   * reject with; no byte of a request was sent then.
   * @param signal Gives up.
   */
  async connect(peer: HttpPeer, signal?: AbortSignal): Promise<ClientSession> {
    const address = peer.address.text;
    const startedAtMs = nowMs();
    if (connectStart.hasSubscribers) connectStart.publish({ address, peer });
    try {
      const connection = await this.#open(peer, signal);
      if (connected.hasSubscribers) this.#publishConnected(peer, connection, nowMs() - startedAtMs);
      return connection;
    } catch (thrown) {
      const error = thrown as ProxyError;
      if (connectFailed.hasSubscribers) {
        connectFailed.publish({ address, peer, error, connectMs: nowMs() - startedAtMs });
      }
      throw error;
    }
  }

  async #open(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession> {
    const { tls } = this.#options;
    if (peer.tls && tls === undefined) {
      const hint = "install a TLS package and hand its provider to the connector";
      throw ProxyError.internal(
        "InternalError",
        `the peer ${peer.toString()} asks for TLS, and there is no TLS provider: ${hint}`,
      );
    }
    const { address, connectStream } = peer;
    // A TLS package, or whoever made the stream, reads the socket itself.
    const reader = peer.tls || connectStream !== undefined ? undefined : new SocketReader(true);
    const socket = await (connectStream === undefined
      ? this.#connectSocket(peer, signal, reader)
      : openStream(peer, connectStream, signal));
    const secured = peer.tls ? await tls!.connect(socket, peer, signal) : undefined;
    const stream = secured?.stream ?? socket;
    if (address.path !== undefined && connectStream === undefined) nameUnixSocket(stream, { remote: address.text });
    const options = { reader, tls: secured?.digest };
    if (peer.tunnel) {
      const session = new RawTunnelSession(stream, address.text, peer, options);
      stream.on("close", () => this.closed(session));
      if (connectStream !== undefined) stream.resume();
      return session;
    }
    const connection = new Http1ClientConnection(stream, address.text, peer.reuseKey, this, this.#headLimits, options);
    // Who made it may have read from it, and have paused it since.
    if (connectStream !== undefined) stream.resume();
    connection.prepare(false, peer);
    return connection;
  }

  /** @internal */
  store(connection: Http1ClientConnection, idleMs: number | undefined): boolean {
    const stored = this.pool.put(connection.key, connection, idleMs);
    if (stored && pooled.hasSubscribers) pooled.publish({ address: connection.address, digest: connection.digest });
    return stored;
  }

  /** @internal */
  forget(connection: Http1ClientConnection, why: "closed" | "unexpected-data"): void {
    this.pool.remove(connection, why);
  }

  /** @internal */
  closed(connection: Http1ClientConnection | RawTunnelSession): void {
    if (closed.hasSubscribers) closed.publish(connection.summary);
  }

  /** Closes the idle connections; those in use close when their exchange is over. */
  close(): void {
    this.pool.close();
  }

  #connectSocket(
    peer: HttpPeer,
    signal: AbortSignal | undefined,
    reader: SocketReader | undefined,
  ): Promise<ByteStream> {
    const bindTo = peer.bindTo ?? this.#anyLocalAddress(peer);
    const timed = { connectMs: peer.connectMs, ...(bindTo !== undefined && { bindTo }) };
    return connectSocket(peer.address, timed, signal, reader);
  }

  #publishConnected(peer: HttpPeer, { reused, digest }: ClientSession, connectMs: number): void {
    connected.publish({ address: peer.address.text, peer, reused, digest, connectMs, pool: this.pool });
  }

  #anyLocalAddress(peer: HttpPeer): string | undefined {
    if (peer.address.host === undefined) return undefined;
    const list = (isIPv6(peer.address.host) ? this.#options.bindToV6 : this.#options.bindToV4) ?? [];
    return list[Math.floor(Math.random() * list.length)];
  }
}
