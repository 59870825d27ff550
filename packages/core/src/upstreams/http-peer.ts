import { isIP } from "node:net";
import { ProxyError } from "@sluice/error";
import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { DEFAULT_CONNECT_MS } from "../net/connect.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { PEER_TLS_OPTION_NAMES, PeerTls, type PeerTlsOptions } from "../tls/peer-tls.ts";
import type { ConnectStream } from "./connect-stream.ts";
import { reuseKey } from "./reuse-key.ts";

/** How to connect to a peer and how long to wait for it. Times are milliseconds; 0 waits for ever. */
export interface PeerOptions extends PeerTlsOptions {
  /**
   * Time until the connection is usable. Default 5000: room for two SYN retransmissions (after 1 s and 3 s). On expiry:
   * `ConnectTimedout`; no byte of the request was sent, so any method may be retried.
   */
  connectMs?: number;
  /** Wait for the next bytes of a response. Default 60,000. On expiry: `ReadTimedout`, answered with 504. */
  readMs?: number;
  /** Wait for an upstream that takes no bytes. Default 60,000. On expiry: `WriteTimedout`, answered with 504. */
  writeMs?: number;
  /**
   * How long a connection may stay idle in the pool. Default 60,000: below the 75 s after which nginx closes. A shorter
   * `Keep-Alive: timeout` of the origin is honoured. 0: every connection serves one request.
   */
  idleMs?: number;
  /** Local IP address to connect from. Default: what the connector says, else the system's choice. */
  bindTo?: string;
  /** Speak TLS, by the connector's TLS provider. Default false. */
  tls?: boolean;
  /**
   * The name for TLS: SNI and certificate check. Default: the host of the address. An IP address is checked, and not sent (RFC 6066,
   * section 3); "" sends none, and the host of the address or `alternativeCn` is checked.
   */
  sni?: string;
  /** Isolates pooled connections: peers of different groups share none. Default "". */
  group?: string;
  /**
   * Makes the connection, instead of TCP or a Unix socket: a tunnel, a service in this process, a stream for a test. Only peers
   * with the very same function share pooled connections, so make it once, not anew for each request. Default: none.
   */
  connectStream?: ConnectStream;
  /**
   * It is no HTTP server: the bytes of a CONNECT's tunnel go to it as they are, and we answer the CONNECT ourselves. Without this
   * a CONNECT is passed on, to another proxy. Only for requests with that method. Default false.
   */
  tunnel?: boolean;
  /**
   * The oldest version of HTTP to speak with it, 1 or 2. 2 without `tls` is HTTP/2 by prior knowledge (RFC 9113, section 3.3); with
   * `tls`, an origin that does not choose it by ALPN is an error. Default 1.
   */
  minHttpVersion?: 1 | 2;
  /**
   * The newest. 2 with `minHttpVersion` 1 and `tls` lets the origin choose by ALPN; without `tls` there is nothing to choose by, so it
   * stays HTTP/1. Default 1, as in Pingora, or `minHttpVersion` if that is 2.
   */
  maxHttpVersion?: 1 | 2;
  /**
   * Requests at the same time on one HTTP/2 connection, beside what the origin allows. Default 100, as with HAProxy and Go: who asks
   * for HTTP/2 wants to share connections. (Pingora: 1.)
   */
  maxH2Streams?: number;
  /**
   * How often to ask an HTTP/2 origin by PING whether it is still there, also while the connection is idle. One that does not answer
   * within 5 s is dead: its requests fail, and the connection leaves the pool. Milliseconds; 0 asks only after a request that timed
   * out. Default 0. Connections keep the interval of the peer that opened them.
   */
  h2PingIntervalMs?: number;
  /**
   * Bytes of a response that an HTTP/2 origin may send before they are read; what a slow client can make us hold. It bounds how fast a
   * response can come, too: 1 MiB at 100 ms is 10 MB/s. From 65,535 to 2^31 - 1; default 1 MiB. As with PING, who opens decides.
   */
  h2StreamWindowBytes?: number;
  /** The same for all responses on a connection together, which bounds their speed alone. Default 8 MiB, as in Pingora. */
  h2ConnectionWindowBytes?: number;
  /** Requests on one connection before it is closed. Default 0: no limit. */
  maxRequests?: number;
}

/** Which protocol to speak: decided by the peer alone, or by ALPN. */
export type PeerProtocol = "http1" | "http2" | "alpn";

const NONE: PeerOptions = {};
const OPTION_NAMES = [
  "connectMs",
  "readMs",
  "writeMs",
  "idleMs",
  "bindTo",
  "tls",
  "sni",
  "group",
  "connectStream",
  "tunnel",
  "minHttpVersion",
  "maxHttpVersion",
  "maxH2Streams",
  "h2PingIntervalMs",
  "h2StreamWindowBytes",
  "h2ConnectionWindowBytes",
  "maxRequests",
  ...PEER_TLS_OPTION_NAMES,
];
const DEFAULT_MAX_H2_STREAMS = 100;
const DEFAULT_STREAM_WINDOW_BYTES = 1_048_576;
const DEFAULT_CONNECTION_WINDOW_BYTES = 8_388_608;
const MAX_WINDOW_BYTES = 2_147_483_647;
/** What HTTP/2 begins with; a smaller window could only be announced, not kept (RFC 9113, section 6.9.2). */
const MIN_WINDOW_BYTES = 65_535;

/**
 * An upstream server for one request: an address and how to treat it. Cheap to make; make one a request, or keep one.
 */
export class HttpPeer {
  /** For the compiler: what merely looks like a peer was never checked. */
  declare protected readonly made: true;
  readonly address: SocketAddress;
  readonly connectMs: number;
  readonly readMs: number;
  readonly writeMs: number;
  readonly idleMs: number;
  readonly bindTo: string | undefined;
  readonly tls: boolean;
  readonly sni: string | undefined;
  /** What it asks of TLS beside the name; the defaults on plaintext. */
  readonly tlsOptions: PeerTls;
  readonly connectStream: ConnectStream | undefined;
  readonly tunnel: boolean;
  readonly minHttpVersion: 1 | 2;
  readonly maxHttpVersion: 1 | 2;
  readonly maxH2Streams: number;
  readonly h2PingIntervalMs: number;
  readonly h2StreamWindowBytes: number;
  readonly h2ConnectionWindowBytes: number;
  readonly maxRequests: number;
  /** What follows from the versions, TLS and `tunnel`. */
  readonly protocol: PeerProtocol;
  /**
   * Peers with an equal key share pooled connections: everything about them that the origin could tell apart. A string, so
   * that nothing collides and logs can show it.
   */
  readonly reuseKey: string;

  /**
   * @param address `host:port`, `[IPv6]:port`, `unix:/path`, or anything that has an `address`, such as a balancer's backend.
   * @throws ProxyError when the address cannot be read, RangeError when an option is out of range, TypeError when it cannot be.
   */
  constructor(address: string | SocketAddress | { readonly address: SocketAddress }, options: PeerOptions = NONE) {
    this.address = toAddress(address);
    if (options !== NONE) {
      checkOptionNames("HttpPeer", options, OPTION_NAMES);
      checkOptions(options);
    }
    this.connectMs = options.connectMs ?? DEFAULT_CONNECT_MS;
    this.readMs = options.readMs ?? 60_000;
    this.writeMs = options.writeMs ?? 60_000;
    this.idleMs = options.idleMs ?? 60_000;
    this.bindTo = options.bindTo;
    this.tls = options.tls ?? false;
    this.sni = this.tls ? (options.sni ?? this.address.host) : undefined;
    this.tlsOptions = this.tls ? PeerTls.of(options) : PeerTls.NONE;
    this.connectStream = options.connectStream;
    this.tunnel = options.tunnel ?? false;
    this.minHttpVersion = options.minHttpVersion ?? 1;
    this.maxHttpVersion = options.maxHttpVersion ?? this.minHttpVersion;
    this.maxH2Streams = options.maxH2Streams ?? DEFAULT_MAX_H2_STREAMS;
    this.h2PingIntervalMs = options.h2PingIntervalMs ?? 0;
    this.h2StreamWindowBytes = options.h2StreamWindowBytes ?? DEFAULT_STREAM_WINDOW_BYTES;
    this.h2ConnectionWindowBytes = options.h2ConnectionWindowBytes ?? DEFAULT_CONNECTION_WINDOW_BYTES;
    this.maxRequests = options.maxRequests ?? 0;
    this.protocol = this.tunnel ? "http1" : protocolOf(this.tls, this.minHttpVersion, this.maxHttpVersion);
    this.reuseKey = reuseKey(this.address.text, {
      tls: this.tls,
      sni: this.sni,
      tlsKey: this.tlsOptions.key,
      bindTo: this.bindTo,
      group: options.group ?? "",
      connectStream: this.connectStream,
      tunnel: this.tunnel,
      protocol: this.protocol,
      maxH2Streams: this.maxH2Streams,
    });
  }

  /** For logs: `127.0.0.1:80`, `https://10.0.0.1:443 (example.org)`. */
  toString(): string {
    return this.tls ? `https://${this.address.text} (${this.sni ?? "no name"})` : this.address.text;
  }
}

/** One by one: to look them up by their names in a loop costs a tenth of a microsecond a peer. */
function checkOptions(options: PeerOptions): void {
  checkTime("connectMs", options.connectMs);
  checkTime("readMs", options.readMs);
  checkTime("writeMs", options.writeMs);
  checkTime("idleMs", options.idleMs);
  checkTime("h2PingIntervalMs", options.h2PingIntervalMs);
  checkOptionType("HttpPeer", "tls", options.tls, "boolean");
  checkOptionType("HttpPeer", "tunnel", options.tunnel, "boolean");
  checkOptionType("HttpPeer", "sni", options.sni, "string");
  checkOptionType("HttpPeer", "group", options.group, "string");
  if (options.bindTo !== undefined) checkBindTo(options.bindTo);
  if (options.connectStream !== undefined) checkConnectStream(options);
  checkVersions(options);
}

function checkConnectStream({ connectStream, bindTo }: PeerOptions): void {
  if (typeof connectStream !== "function") {
    throw new TypeError(`HttpPeer: connectStream: expected a function, got ${shown(connectStream)}`);
  }
  if (bindTo !== undefined) {
    throw new TypeError("HttpPeer: bindTo: has no effect with connectStream, which makes the connection");
  }
}

function protocolOf(tls: boolean, min: 1 | 2, max: 1 | 2): PeerProtocol {
  if (min === 2) return "http2";
  return tls && max === 2 ? "alpn" : "http1";
}

function checkVersions(options: PeerOptions): void {
  const { minHttpVersion: min, maxHttpVersion: max } = options;
  checkVersion("minHttpVersion", min);
  checkVersion("maxHttpVersion", max);
  if (min === 2 && max === 1) {
    throw new RangeError("HttpPeer: minHttpVersion: expected at most maxHttpVersion, which is 1, got 2");
  }
  checkCount("maxH2Streams", options.maxH2Streams, 1);
  checkCount("maxRequests", options.maxRequests, 0);
  checkWindow("h2StreamWindowBytes", options.h2StreamWindowBytes);
  checkWindow("h2ConnectionWindowBytes", options.h2ConnectionWindowBytes);
}

function checkVersion(name: string, version: number | undefined): void {
  if (version === undefined || version === 1 || version === 2) return;
  throw new RangeError(`HttpPeer: ${name}: expected 1 or 2, got ${shown(version)}`);
}

function checkCount(name: string, count: number | undefined, least: number): void {
  if (count === undefined || (Number.isSafeInteger(count) && count >= least)) return;
  throw new RangeError(`HttpPeer: ${name}: expected an integer of at least ${least}, got ${shown(count)}`);
}

function checkWindow(name: string, bytes: number | undefined): void {
  if (bytes === undefined) return;
  if (Number.isInteger(bytes) && bytes >= MIN_WINDOW_BYTES && bytes <= MAX_WINDOW_BYTES) return;
  throw new RangeError(
    `HttpPeer: ${name}: expected an integer from ${MIN_WINDOW_BYTES} to ${MAX_WINDOW_BYTES}, got ${shown(bytes)}`,
  );
}

function toAddress(address: string | SocketAddress | { readonly address: SocketAddress }): SocketAddress {
  if (address instanceof SocketAddress) return address;
  if (typeof address === "string") return SocketAddress.parse(address);
  if (address?.address instanceof SocketAddress) return address.address;
  throw ProxyError.internal("NoPeer", `HttpPeer: expected an address, got ${shown(address)}`);
}

function checkTime(name: string, ms: number | undefined): void {
  if (ms === undefined || (typeof ms === "number" && ms >= 0)) return;
  throw new RangeError(`HttpPeer: ${name}: expected milliseconds of at least 0, got ${shown(ms)}`);
}

function checkBindTo(bindTo: unknown): void {
  if (typeof bindTo === "string" && isIP(bindTo) !== 0) return;
  throw new TypeError(`HttpPeer: bindTo: expected an IP address of this machine, got ${shown(bindTo)}`);
}
