import { isIP, isIPv6 } from "node:net";
import { ProxyError } from "@sluice/error";
import { ConnectionPool } from "@sluice/pool";
import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { upstreamChannels, type PoolStatus } from "../diagnostics.ts";
import type { ClientSession } from "../http/client-session.ts";
import { nameEnds, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import { resolveHeadLimits, type HeadLimits } from "../http1/head-limits.ts";
import { Http1ClientConnection, type ClientConnectionOwner } from "../http1/http1-client-connection.ts";
import { Http2ClientConnection } from "../http2/http2-client-connection.ts";
import { nowMs } from "../net/clock.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { connectSocket } from "../net/connect.ts";
import { SocketReader } from "../net/socket-reader.ts";
import { carry, checkTransport, standardTransport, type SocketTransport } from "../net/socket-transport.ts";
import { openStream } from "./connect-stream.ts";
import { Http2Groups, type ConnectionOpener, type PooledConnection } from "./http2-groups.ts";
import type { OpeningStep } from "./http2-group.ts";
import type { HttpPeer } from "./http-peer.ts";
import { RawTunnelSession } from "./raw-tunnel-session.ts";
import { strongEnough } from "../tls/http2-security.ts";
import type { TlsProvider } from "../tls/tls-provider.ts";

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
  tls?: Pick<TlsProvider, "connect"> | undefined;
  /** Carries connections without TLS, in place of Node.js. Default: Node.js does. */
  transport?: SocketTransport | undefined;
}

const { connectStart, connected, connectFailed, pooled, closed } = upstreamChannels;

const OFFER_HTTP1 = ["http/1.1"];
const OFFER_HTTP2 = ["h2"];
const OFFER_BOTH = ["h2", "http/1.1"];

/** A connection before anybody speaks HTTP on it. */
interface Transport {
  readonly stream: ByteStream;
  /** Reads the socket; `undefined` where somebody else does. */
  readonly reader: SocketReader | undefined;
  readonly tls: TlsDigest | undefined;
}

/** Gives sessions to upstreams: on a connection that is idle or has room for another, or on a new one. */
export class HttpConnector implements ClientConnectionOwner, ConnectionOpener {
  /** The names of its options, for those who take them among their own. */
  static readonly OPTION_NAMES: readonly (keyof HttpConnectorOptions)[] = [
    "maxIdle",
    "bindToV4",
    "bindToV6",
    "headLimits",
    "tls",
    "transport",
  ];

  readonly pool: ConnectionPool<PooledConnection>;
  readonly #headLimits: HeadLimits;
  readonly #options: HttpConnectorOptions;
  readonly #carriedBy: SocketTransport | undefined;
  readonly #http2: Http2Groups;

  /** @throws TypeError for an option that is not known or of another type, RangeError when one is out of range. */
  constructor(options: HttpConnectorOptions = {}) {
    checkOptions(options);
    this.pool = new ConnectionPool({ ...(options.maxIdle !== undefined && { maxIdle: options.maxIdle }), now: nowMs });
    this.#headLimits = resolveHeadLimits(options.headLimits);
    this.#options = options;
    this.#carriedBy = options.transport ?? standardTransport();
    checkTransport("HttpConnector", this.#carriedBy);
    this.#http2 = new Http2Groups(this.pool, this);
  }

  /**
   * A session on a connection that is idle, or by HTTP/2 has room for another; at once. `undefined` if there is none.
   * @param upgrade The protocol that the request asks to change to, which not every connection can.
   */
  reuse(peer: HttpPeer, upgrade?: string): ClientSession | undefined {
    if (peer.protocol !== "http1") return this.#http2.reuse(peer, upgrade);
    // Under the key of such a peer there is nothing else.
    const connection = this.pool.get(peer.reuseKey) as Http1ClientConnection | undefined;
    if (connection === undefined) return undefined;
    connection.prepare(true, peer);
    if (connected.hasSubscribers) publishConnected(peer, connection, connection.reused, 0, this.pool);
    return connection;
  }

  /**
   * A session on a new connection; by HTTP/2 also on one that others use or have opened meanwhile. Rejects with what
   * {@link connectSocket}, the peer's `connectStream` and the TLS provider reject with, with `HandshakeError` where HTTP/2 is asked for
   * and not spoken, and with `ConnectTimedout` when no stream is free within `connectMs`. No byte of a request was sent then.
   * @param signal Gives up.
   * @param upgrade The protocol that the request asks to change to.
   */
  connect(peer: HttpPeer, signal?: AbortSignal, upgrade?: string): Promise<ClientSession> {
    return peer.protocol === "http1" ? this.openHttp1(peer, signal) : this.#http2.connect(peer, upgrade, signal);
  }

  /** @internal */
  openHttp1(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession> {
    return tellOpening(peer, this.pool, () => this.#openHttp1(peer, signal));
  }

  /** @internal */
  openAny(
    peer: HttpPeer,
    signal: AbortSignal | undefined,
    onStep?: (step: OpeningStep) => void,
  ): Promise<Http2ClientConnection | ClientSession> {
    return tellOpening(peer, this.pool, () => this.#openAny(peer, signal, onStep));
  }

  async #openHttp1(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession> {
    return this.#http1Session(peer, await this.#transport(peer, OFFER_HTTP1, signal));
  }

  async #openAny(
    peer: HttpPeer,
    signal: AbortSignal | undefined,
    onStep: ((step: OpeningStep) => void) | undefined,
  ): Promise<Http2ClientConnection | ClientSession> {
    const alpn = peer.protocol === "http2" ? OFFER_HTTP2 : OFFER_BOTH;
    const transport = await this.#transport(peer, alpn, signal, onStep);
    const { stream, tls } = transport;
    if (tls !== undefined && tls.alpn !== "h2") {
      if (peer.minHttpVersion === 1) return this.#http1Session(peer, transport);
      stream.on("error", () => undefined);
      stream.destroy();
      throw noHttp2(peer, tls.alpn);
    }
    const connection = new Http2ClientConnection(stream, peer.address.text, peer.reuseKey, this.#http2, {
      maxStreams: peer.maxH2Streams,
      maxRequests: peer.maxRequests,
      pingIntervalMs: peer.h2PingIntervalMs,
      streamWindowBytes: peer.h2StreamWindowBytes,
      connectionWindowBytes: peer.h2ConnectionWindowBytes,
      headLimits: this.#headLimits,
      tls,
    });
    onStep?.("http2");
    await connection.settled(peer.connectMs, signal);
    return connection;
  }

  async #transport(
    peer: HttpPeer,
    alpn: readonly string[],
    signal: AbortSignal | undefined,
    onStep?: (step: OpeningStep) => void,
  ): Promise<Transport> {
    const { tls } = this.#options;
    if (peer.tls && tls === undefined) {
      const hint = "install a TLS package and hand its provider to the proxy (or the connector), as its option tls";
      throw ProxyError.internal(
        "ConfigError",
        `the peer ${peer.toString()} asks for TLS, and there is no TLS provider: ${hint}`,
      );
    }
    const { address, connectStream } = peer;
    // A TLS package, or whoever made the stream, reads the socket itself. An origin of HTTP/2 may be the first to speak.
    const readsItself = peer.tls || connectStream !== undefined;
    const reader = readsItself ? undefined : new SocketReader(true, peer.protocol === "http2");
    const socket = await (connectStream === undefined
      ? this.#connectSocket(peer, signal, reader)
      : openStream(peer, connectStream, signal));
    reader?.attach(socket);
    if (peer.tls) onStep?.("tls");
    const secured = peer.tls ? strongEnough(peer, await tls!.connect(socket, peer, { alpn, signal })) : undefined;
    const stream = secured?.stream ?? socket;
    if (address.path !== undefined && connectStream === undefined) nameEnds(stream, { remote: address.text });
    return { stream, reader: secured === undefined ? reader : SocketReader.of(stream), tls: secured?.digest };
  }

  #http1Session(peer: HttpPeer, { stream, reader, tls }: Transport): ClientSession {
    const { connectStream } = peer;
    const address = peer.address.text;
    const options = { reader, tls };
    if (peer.tunnel) {
      const session = new RawTunnelSession(stream, address, peer, options);
      stream.on("close", () => this.closed(session));
      if (connectStream !== undefined) stream.resume();
      return session;
    }
    const connection = new Http1ClientConnection(stream, address, peer.reuseKey, this, this.#headLimits, options);
    // Who made it may have read from it, and have paused it since.
    if (connectStream !== undefined) stream.resume();
    connection.prepare(false, peer);
    return connection;
  }

  /** @internal */
  tellReused(peer: HttpPeer, session: ClientSession): void {
    if (connected.hasSubscribers) publishConnected(peer, session, true, 0, this.pool);
  }

  /** @internal */
  tellPooled(connection: PooledConnection): void {
    if (pooled.hasSubscribers) pooled.publish({ address: connection.address, digest: connection.digest });
  }

  /** @internal */
  store(connection: Http1ClientConnection, idleMs: number | undefined): boolean {
    const stored = this.pool.put(connection.key, connection, idleMs);
    if (stored) this.tellPooled(connection);
    return stored;
  }

  /** @internal */
  forget(connection: Http1ClientConnection, why: "closed" | "unexpected-data"): void {
    this.pool.remove(connection, why);
  }

  /** @internal */
  closed(connection: PooledConnection | RawTunnelSession): void {
    if (closed.hasSubscribers) closed.publish(connection.summary);
  }

  /**
   * Closes the idle connections to `peer`, and those in use when they become idle: for a server that is no longer wanted. Asking for
   * such a connection again ends that. Counts for all peers that share connections with it.
   */
  retire(peer: HttpPeer): void {
    this.pool.retire(peer.reuseKey);
    if (peer.protocol !== "http1") this.#http2.retire(peer);
  }

  /** Closes the idle connections, those of HTTP/2 with GOAWAY; those in use close when their exchanges are over. */
  close(): void {
    this.pool.close();
  }

  async #connectSocket(
    peer: HttpPeer,
    signal: AbortSignal | undefined,
    reader: SocketReader | undefined,
  ): Promise<ByteStream> {
    const bindTo = peer.bindTo ?? this.#anyLocalAddress(peer);
    const timed = { connectMs: peer.connectMs, ...(bindTo !== undefined && { bindTo }) };
    const transport = this.#carriedBy;
    if (reader === undefined || transport === undefined) return connectSocket(peer.address, timed, signal, reader);
    const socket = await connectSocket(peer.address, timed, signal, "unread");
    const carried = carry(socket, reader, transport) ?? socket;
    process.nextTick(() => carried.resume());
    return carried;
  }

  #anyLocalAddress(peer: HttpPeer): string | undefined {
    if (peer.address.host === undefined) return undefined;
    const list = (isIPv6(peer.address.host) ? this.#options.bindToV6 : this.#options.bindToV4) ?? [];
    return list[Math.floor(Math.random() * list.length)];
  }
}

function publishConnected(
  peer: HttpPeer,
  { digest }: { digest: ConnectionDigest },
  reused: boolean,
  connectMs: number,
  pool: PoolStatus,
) {
  connected.publish({ address: peer.address.text, peer, reused, digest, connectMs, pool });
}

function checkOptions(options: HttpConnectorOptions): void {
  checkOptionNames("HttpConnector", options, HttpConnector.OPTION_NAMES);
  checkBindTo("bindToV4", options.bindToV4, 4);
  checkBindTo("bindToV6", options.bindToV6, 6);
  const { tls } = options;
  if (tls === undefined || typeof tls?.connect === "function") return;
  throw new TypeError(`HttpConnector: tls: expected a TLS provider, such as opensslTls(), got ${shown(tls)}`);
}

function checkBindTo(name: string, addresses: unknown, version: 4 | 6): void {
  if (addresses === undefined) return;
  const wrong = Array.isArray(addresses) ? addresses.filter((each) => isIP(String(each)) !== version) : [addresses];
  if (wrong.length === 0) return;
  throw new TypeError(`HttpConnector: ${name}: expected an array of IPv${version} addresses, got ${shown(wrong[0])}`);
}

/** Tells the channels how a connection is opened. */
async function tellOpening<Opened extends { readonly digest: ConnectionDigest }>(
  peer: HttpPeer,
  pool: PoolStatus,
  open: () => Promise<Opened>,
): Promise<Opened> {
  const address = peer.address.text;
  const startedAtMs = nowMs();
  if (connectStart.hasSubscribers) connectStart.publish({ address, peer });
  try {
    const opened = await open();
    if (connected.hasSubscribers) publishConnected(peer, opened, false, nowMs() - startedAtMs, pool);
    return opened;
  } catch (thrown) {
    const error = thrown as ProxyError;
    if (connectFailed.hasSubscribers) {
      connectFailed.publish({ address, peer, error, connectMs: nowMs() - startedAtMs });
    }
    throw error;
  }
}

function noHttp2(peer: HttpPeer, alpn: string | undefined): ProxyError {
  const chose = alpn === undefined ? "it chose nothing" : `it chose ${alpn}`;
  const context = `${peer.toString()} is to speak HTTP/2 (minHttpVersion 2), and does not by ALPN: ${chose}`;
  return ProxyError.upstream("HandshakeError", context);
}
