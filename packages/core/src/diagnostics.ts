import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ProxyError } from "@sluice/error";
import type { ConnectionPool } from "@sluice/pool";
import type { ConnectionDigest } from "./http/connection-digest.ts";
import { logger } from "./log/logger.ts";
import { isPromise } from "./modules/awaitable.ts";
import type { HttpPeer } from "./upstreams/http-peer.ts";

/** A channel of `node:diagnostics_channel`, with the type of what is published on it. Listen to it by {@link observe}. */
export interface EventChannel<Message> {
  readonly name: string;
  /** To be asked before a message is made: most channels have nobody who listens. */
  readonly hasSubscribers: boolean;
  publish(message: Message): void;
}

/** The channel of that name; the same object each time. */
export function eventChannel<Message>(name: string): EventChannel<Message> {
  return channel(name) as unknown as EventChannel<Message>;
}

/**
 * Calls `listener` with each message of a channel, until the function that it returns is called.
 *
 * A listener runs in the middle of what it is told of, so it should take little time and leave what it is given as it is. One
 * that throws, or whose promise rejects, is logged, and nothing else is disturbed. (To those who subscribe by
 * `node:diagnostics_channel` itself, Node does the same as with any error that nobody catches: it ends the process, unless there is
 * a listener for `uncaughtException`.)
 */
export function observe<Message>(
  { name }: Pick<EventChannel<Message>, "name" | "publish">,
  listener: (message: Message) => void,
): () => void {
  const failed = (err: unknown): void => log.error({ err, channel: name }, "a listener of a channel failed");
  const guarded = (message: unknown): void => {
    try {
      const given: unknown = listener(message as Message);
      if (isPromise(given)) given.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  };
  subscribe(name, guarded);
  return () => void unsubscribe(name, guarded);
}

/** A client's connection was let in. */
export interface ConnectionAcceptedMessage {
  /** Name of the service that serves it. */
  readonly service: string;
  /** The same object in every message about this connection, and in the sessions of its requests. */
  readonly digest: ConnectionDigest;
}

/**
 * How a client's connection ended:
 * - `client`: it ended its direction, between requests or in the middle of one.
 * - `error`: the connection broke; `error` says how.
 * - `last-response`: we closed it behind a response that was the last, by its own word or the client's.
 * - `idle-timeout`: no request came within `keepAliveMs`.
 * - `server-stop`: the service stops.
 * - `cut`: we broke it off in the middle of a request: its response failed, or the client took no bytes; or before all of a response had
 *   left, whose request is told as served: that is a line of the log.
 */
export type ConnectionCloseReason = "client" | "error" | "last-response" | "idle-timeout" | "server-stop" | "cut";

/** What a client's connection was, now that it is closed. */
export interface ConnectionSummary {
  /** How many were served on it, those included that could not be read. */
  readonly requests: number;
  /** Bytes that came from the client; `undefined` if the stream does not count. */
  readonly bytesRead: number | undefined;
  /** Bytes that were given to the system for the client; `undefined` if the stream does not count. */
  readonly bytesWritten: number | undefined;
  readonly reason: ConnectionCloseReason;
  /** What the stream reported before it closed. */
  readonly error: Error | undefined;
}

/** A client's connection is closed. */
export interface ConnectionClosedMessage extends ConnectionAcceptedMessage, ConnectionSummary {}

/** A client's connection was closed without being let in. */
export interface ConnectionRejectedMessage {
  readonly service: string;
  /** `host:port` of the client; `undefined` on a Unix socket, or if it had left before. */
  readonly client: string | undefined;
  /** Where it was accepted, as the listener was asked for. */
  readonly listener: string;
  /**
   * - `filter`: an accept filter said no.
   * - `filter-failed`: it threw, gave neither yes nor no, or took too long; `error` says which.
   * - `no-address`: the client had left, so nobody could be asked about it.
   * - `server-stop`: the service was stopped before the filter had decided.
   * - `listener-limit`, `client-limit`: the listener, or this client, had as many connections as it may have.
   */
  readonly reason: "filter" | "filter-failed" | "no-address" | "server-stop" | "listener-limit" | "client-limit";
  readonly error: unknown;
}

/** What happens to the connections of clients. */
export const connectionChannels: {
  readonly accepted: EventChannel<ConnectionAcceptedMessage>;
  readonly closed: EventChannel<ConnectionClosedMessage>;
  readonly rejected: EventChannel<ConnectionRejectedMessage>;
} = {
  accepted: eventChannel("sluice:connection:accepted"),
  closed: eventChannel("sluice:connection:closed"),
  rejected: eventChannel("sluice:connection:rejected"),
};

/** A client's TLS handshake failed; its connection is closed, and was never counted as one that was let in. */
export interface TlsHandshakeFailedMessage {
  readonly service: string;
  /** `host:port` of the client; `undefined` on a Unix socket, or if it had left before. */
  readonly client: string | undefined;
  /** Where it was accepted, as the listener was asked for. */
  readonly listener: string;
  /** Its `detail` says what was wrong, as far as that is known. */
  readonly error: ProxyError;
  /** What to look at; `undefined` where there is nothing more to say. */
  readonly hint: string | undefined;
}

/** Files of a TLS listener have changed, and were read again. */
export interface TlsReloadedMessage {
  /** Those that have changed. */
  readonly files: readonly string[];
  /** Why they cannot be used: what was there stays. `undefined`: they serve from now on. */
  readonly error: ProxyError | undefined;
}

/** What happens to TLS with clients. */
export const tlsChannels: {
  readonly handshakeFailed: EventChannel<TlsHandshakeFailedMessage>;
  readonly reloaded: EventChannel<TlsReloadedMessage>;
} = {
  handshakeFailed: eventChannel("sluice:tls:handshake-failed"),
  reloaded: eventChannel("sluice:tls:reloaded"),
};

/** A connection to an upstream is about to be opened. `connected` or `connect-failed` follows. */
export interface UpstreamConnectStartMessage {
  /** `host:port` or `unix:/path`, as in `peer`. */
  readonly address: string;
  readonly peer: HttpPeer;
}

/** A request has a connection to an upstream. */
export interface UpstreamConnectedMessage extends UpstreamConnectStartMessage {
  /** It came from the pool: no `connect-start` came before. */
  readonly reused: boolean;
  /** The same object in every message about this connection. */
  readonly digest: ConnectionDigest;
  /** What it took, TLS included; 0 for one from the pool. */
  readonly connectMs: number;
  /** The pool that it came from, or may go to: the real one, for its counts, to be read whenever somebody asks. */
  readonly pool: PoolStatus;
}

/** What a pool of connections to upstreams tells of itself, as it stands when it is read. */
export type PoolStatus = Pick<ConnectionPool<never>, "idleCount" | "keyCount" | "unexpectedData">;

/** A connection to an upstream could not be opened. */
export interface UpstreamConnectFailedMessage extends UpstreamConnectStartMessage {
  /** Of source downstream if it was given up because the client left. */
  readonly error: ProxyError;
  readonly connectMs: number;
}

/** A connection to an upstream waits in the pool for another request. */
export interface UpstreamPooledMessage {
  readonly address: string;
  readonly digest: ConnectionDigest;
}

/**
 * Why a connection to an upstream ended:
 * - `not-reusable`: its exchange was over, and by its protocol or the upstream's word there can be no other.
 * - `exchange`: its exchange failed, or was given up.
 * - `closed`: the upstream closed it while it was idle.
 * - `unexpected-data`: the upstream sent bytes that no request asked for.
 * - `idle-timeout`: it was idle for `idleMs`. `evicted`: the pool was full. `disabled`: nothing is pooled for this peer.
 *   `retired`: nobody wants its peer any more. `pool-closed`: the service stops.
 * - `ping-timeout`: the upstream did not answer an HTTP/2 PING.
 */
export type UpstreamCloseReason =
  | "not-reusable"
  | "exchange"
  | "closed"
  | "unexpected-data"
  | "idle-timeout"
  | "evicted"
  | "disabled"
  | "retired"
  | "pool-closed"
  | "ping-timeout";

/** A connection to an upstream is closed. */
export interface UpstreamClosedMessage extends UpstreamPooledMessage {
  /** How many requests were sent on it. */
  readonly requests: number;
  /** Bytes that came from the upstream; `undefined` if the stream does not count. */
  readonly bytesRead: number | undefined;
  /** Bytes that were given to the system for the upstream; `undefined` if the stream does not count. */
  readonly bytesWritten: number | undefined;
  readonly reason: UpstreamCloseReason;
  /** What the stream reported before it closed. */
  readonly error: Error | undefined;
}

/** What happens to the connections to upstreams. */
export const upstreamChannels: {
  readonly connectStart: EventChannel<UpstreamConnectStartMessage>;
  readonly connected: EventChannel<UpstreamConnectedMessage>;
  readonly connectFailed: EventChannel<UpstreamConnectFailedMessage>;
  readonly pooled: EventChannel<UpstreamPooledMessage>;
  readonly closed: EventChannel<UpstreamClosedMessage>;
} = {
  connectStart: eventChannel("sluice:upstream:connect-start"),
  connected: eventChannel("sluice:upstream:connected"),
  connectFailed: eventChannel("sluice:upstream:connect-failed"),
  pooled: eventChannel("sluice:upstream:pooled"),
  closed: eventChannel("sluice:upstream:closed"),
};

const log = logger("core");
