import { sameName } from "@sluice/http";
import type { ConnectionPool } from "@sluice/pool";
import type { ClientSession } from "../http/client-session.ts";
import type { Http1ClientConnection } from "../http1/http1-client-connection.ts";
import { Http2ClientConnection, type Http2ConnectionOwner } from "../http2/http2-client-connection.ts";
import { nowMs } from "../net/clock.ts";
import { Http1Origins } from "./http1-origins.ts";
import { Http2Group, noExtendedConnect, type Http2GroupOwner, type OpeningStep } from "./http2-group.ts";
import type { HttpPeer } from "./http-peer.ts";

/** What may be kept for another request. */
export type PooledConnection = Http1ClientConnection | Http2ClientConnection;

/** The side of the connector that opens connections, and tells of them. */
export interface ConnectionOpener {
  /** By whatever the peer allows and the origin chooses. */
  openAny(
    peer: HttpPeer,
    signal: AbortSignal | undefined,
    onStep: (step: OpeningStep) => void,
  ): Promise<Http2ClientConnection | ClientSession>;
  openHttp1(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession>;
  tellReused(peer: HttpPeer, session: ClientSession): void;
  tellPooled(connection: PooledConnection): void;
  closed(connection: Http2ClientConnection): void;
}

/**
 * What a request needs of its connection:
 * - `any`: nothing
 * - `http1`: to change its protocol by Upgrade, which HTTP/2 has not (RFC 9113, section 8.6)
 * - `extended-connect`: the same, for WebSocket, which HTTP/2 has another way for (RFC 8441)
 */
type Need = "any" | "http1" | "extended-connect";

/** Connections to the peers that allow HTTP/2, by the key of the pool. */
export class Http2Groups implements Http2GroupOwner, Http2ConnectionOwner {
  readonly #pool: ConnectionPool<PooledConnection>;
  readonly #opener: ConnectionOpener;
  readonly #groups = new Map<string, Http2Group>();
  readonly #http1Origins = new Http1Origins(nowMs);

  constructor(pool: ConnectionPool<PooledConnection>, opener: ConnectionOpener) {
    this.#pool = pool;
    this.#opener = opener;
  }

  /** A session on a connection that is in use and has room, else on an idle one. */
  reuse(peer: HttpPeer, upgrade: string | undefined): ClientSession | undefined {
    const need = needOf(peer, upgrade);
    const key = peer.reuseKey;
    const shared = need === "http1" ? undefined : this.#groups.get(key)?.take(peer, need === "extended-connect");
    if (shared !== undefined) return shared;
    return (need === "http1" ? undefined : this.#reuseHttp2(peer, need)) ?? this.#reuseHttp1(peer);
  }

  /** A session on a connection that has room, or is opened for it, or for others. */
  connect(peer: HttpPeer, upgrade: string | undefined, signal: AbortSignal | undefined): Promise<ClientSession> {
    const need = needOf(peer, upgrade);
    const key = peer.reuseKey;
    const allowsHttp1 = peer.minHttpVersion === 1;
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    if (allowsHttp1 && (need === "http1" || this.#http1Origins.has(key))) return this.openHttp1(peer, signal);
    const group = this.#group(key);
    const shared = group.take(peer, need === "extended-connect");
    if (shared !== undefined) return Promise.resolve(shared);
    if (need === "extended-connect" && group.knownWithoutExtendedConnect) {
      return allowsHttp1 ? this.openHttp1(peer, signal) : Promise.reject(noExtendedConnect(peer));
    }
    return group.wait(peer, need === "extended-connect", signal);
  }

  /** What is idle; what is in use goes to the pool, which refuses it. */
  retire(peer: HttpPeer): void {
    this.#pool.retire(http2Key(peer.reuseKey));
  }

  // For the groups.

  async openAny(
    peer: HttpPeer,
    signal: AbortSignal,
    onStep: (step: OpeningStep) => void,
  ): Promise<Http2ClientConnection | ClientSession> {
    const opened = await this.#opener.openAny(peer, signal, onStep);
    if (!(opened instanceof Http2ClientConnection)) this.#http1Origins.add(peer.reuseKey);
    return opened;
  }

  openHttp1(peer: HttpPeer, signal: AbortSignal | undefined): Promise<ClientSession> {
    return this.#opener.openHttp1(peer, signal);
  }

  shared(peer: HttpPeer, session: ClientSession): void {
    this.#opener.tellReused(peer, session);
  }

  idle(connection: Http2ClientConnection, idleMs: number): void {
    if (this.#pool.put(http2Key(connection.key), connection, idleMs)) this.#opener.tellPooled(connection);
  }

  empty(group: Http2Group): void {
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }

  // From the connections.

  vacancy(connection: Http2ClientConnection): void {
    this.#groups.get(connection.key)?.vacancy(connection);
  }

  retired(connection: Http2ClientConnection): void {
    this.#pool.remove(connection, "closed");
    this.#groups.get(connection.key)?.retired(connection);
  }

  prefersHttp1(connection: Http2ClientConnection): void {
    this.#http1Origins.add(connection.key);
    connection.retire();
  }

  closed(connection: Http2ClientConnection): void {
    this.#opener.closed(connection);
  }

  #reuseHttp2(peer: HttpPeer, need: Need): ClientSession | undefined {
    const idle = this.#pool.get(http2Key(peer.reuseKey)) as Http2ClientConnection | undefined;
    if (idle === undefined) return undefined;
    if (need === "extended-connect" && !idle.extendedConnect) {
      this.idle(idle, peer.idleMs);
      return undefined;
    }
    if (idle.room <= 0) {
      // The origin has taken its streams back; in the group nobody would look after it.
      idle.retire();
      return undefined;
    }
    const group = this.#group(peer.reuseKey);
    group.add(idle);
    return group.take(peer, false);
  }

  #reuseHttp1(peer: HttpPeer): ClientSession | undefined {
    if (peer.minHttpVersion > 1) return undefined;
    const idle = this.#pool.get(peer.reuseKey) as Http1ClientConnection | undefined;
    if (idle === undefined) return undefined;
    idle.prepare(true, peer);
    this.#opener.tellReused(peer, idle);
    return idle;
  }

  #group(key: string): Http2Group {
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, (group = new Http2Group(key, this)));
    return group;
  }
}

/** Where both are idle, HTTP/2 is preferred: they are kept apart. */
function http2Key(key: string): string {
  return `${key} h2`;
}

function needOf(peer: HttpPeer, upgrade: string | undefined): Need {
  if (upgrade === undefined) return "any";
  if (sameName(upgrade, "websocket")) return "extended-connect";
  // Where HTTP/2 is all there is, the request goes without: an origin may always ignore Upgrade (RFC 9110, section 7.8).
  return peer.minHttpVersion === 1 ? "http1" : "any";
}
