import { Socket } from "node:net";
import type { ByteStream } from "../net/byte-stream.ts";

/** What is known of a connection, for logs and hooks. The same object for every request on it. */
export interface ConnectionDigest {
  /**
   * The other side: `host:port`, or `unix:/path` for an upstream that listens there. `undefined` for a client on a Unix socket,
   * which has no name, and for a stream without addresses.
   */
  readonly remoteAddress: string | undefined;
  /** Our side: `host:port`, or `unix:/path` where the client came by a Unix socket. */
  readonly localAddress: string | undefined;
  /** When it was accepted or established, in `performance.now()` milliseconds. */
  readonly establishedAtMs: number;
  /** What the TLS provider says of the handshake; `undefined` on plaintext. */
  readonly tls: TlsDigest | undefined;
  /**
   * The number of its socket's descriptor, to ask the system about it: `tcpInfoOf(digest)?.rttUs` with `@sluice/linux`.
   * `undefined` once it is closed, for a stream that is no socket, and on Windows. Not to be kept: the system uses numbers again.
   */
  readonly descriptor: number | undefined;
}

/** What a TLS provider tells of a handshake. */
export interface TlsDigest {
  /** `TLSv1.3`, `TLSv1.2`. */
  readonly version: string;
  /** By its IANA name: `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string;
  /** What was agreed on by ALPN; `undefined` if nothing was. */
  readonly alpn: string | undefined;
  /**
   * The name that the client asked for (SNI); `undefined` if it asked for none. Nor does OpenSSL tell it of one that resumes a session of
   * TLS 1.2: to choose by it, look at the name in the request.
   */
  readonly serverName?: string | undefined;
  /** An earlier session was resumed, so that no certificates were exchanged. */
  readonly resumed?: boolean | undefined;
  /** What the other side has shown, in this handshake or in the one whose session was resumed; `undefined` if it has shown none. */
  readonly peerCertificate?: PeerCertificate | undefined;
}

/** A certificate of the other side of a connection. */
export interface PeerCertificate {
  /** It comes from an authority that is trusted, and is valid. On `false` nothing else here can be believed. */
  readonly verified: boolean;
  /** Why it did not verify, as the provider says it: `CERT_HAS_EXPIRED`; `undefined` if it did. */
  readonly verifyError: string | undefined;
  /** Its subject, a line for each attribute: `CN=client-1`. */
  readonly subject: string;
  readonly issuer: string;
  /** Its alternative names with their kinds: `DNS:a.test`, `IP Address:127.0.0.1`, `URI:spiffe://a.test/b`, `email:a@b.test`. */
  readonly altNames: readonly string[];
  /** Upper-case hex. */
  readonly serialNumber: string;
  /** SHA-256 of the whole certificate: lower-case hex, no colons. */
  readonly fingerprint256: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  /** The certificate in DER. */
  readonly raw: Uint8Array;
}

const ENDS = Symbol("sluice.ends");

/** What the ends of a connection are called, as far as that is known: the digest does not ask the system for it. */
interface Ends {
  /** Also `unix:/path` that we connected to. */
  readonly remote?: string | undefined;
  /** Also `unix:/path` that we accepted on. */
  readonly local?: string | undefined;
}

/** A stream that carries the names of its ends; and what Node keeps in a socket, without documenting it. */
type NamedStream = ByteStream & {
  [ENDS]?: Ends;
  readonly _handle?: SocketHandle | null;
};

interface SocketHandle {
  readonly fd?: number;
  /** Fills in the address of the other side; another value than 0 is an error. */
  getpeername?(into: PeerName): number;
}

/** A Unix socket fills in nothing. */
interface PeerName {
  address: string | undefined;
  port: number | undefined;
}

/** Tells the digest of `stream` what is known: the path of a Unix socket by who listens or connects, others by who has asked before. */
export function nameEnds(stream: ByteStream, ends: Ends): void {
  (stream as NamedStream)[ENDS] = ends;
}

/** Reads the addresses when they are asked for: most requests never do. */
export class StreamDigest implements ConnectionDigest {
  readonly establishedAtMs: number;
  readonly tls: TlsDigest | undefined;
  readonly #stream: NamedStream;
  #remote: string | undefined = undefined;
  #local: string | undefined = undefined;

  constructor(stream: ByteStream, tls?: TlsDigest, establishedAtMs: number = performance.now()) {
    this.#stream = stream;
    this.establishedAtMs = establishedAtMs;
    this.tls = tls;
  }

  get remoteAddress(): string | undefined {
    // Kept once read: a closed socket has none any more.
    return (this.#remote ??= this.#stream[ENDS]?.remote ?? remoteAddressOf(this.#stream));
  }

  get localAddress(): string | undefined {
    return (this.#local ??= this.#stream[ENDS]?.local ?? join(this.#stream.localAddress, this.#stream.localPort));
  }

  get descriptor(): number | undefined {
    const fd = this.#stream._handle?.fd;
    return fd === undefined || fd < 0 ? undefined : fd;
  }
}

const PEER_NAME: PeerName = { address: undefined, port: undefined };

/**
 * `host:port` of the other side, as the stream's own addresses say; `undefined` where there is none. A socket of Node's, asked for those,
 * keeps them in an object: 200 bytes for each connection.
 */
export function remoteAddressOf(stream: ByteStream): string | undefined {
  const handle = (stream as NamedStream)._handle;
  if (handle?.getpeername !== undefined && !namesItself(stream)) {
    PEER_NAME.address = undefined;
    PEER_NAME.port = undefined;
    if (handle.getpeername(PEER_NAME) === 0) return join(PEER_NAME.address, PEER_NAME.port);
  }
  return join(stream.remoteAddress, stream.remotePort);
}

/** A socket of somebody who says himself what it is connected to, behind a proxy for instance. */
function namesItself(stream: object): boolean {
  if (!(stream instanceof Socket)) return false;
  let owner: object = stream;
  while (!Object.hasOwn(owner, "remoteAddress")) owner = Object.getPrototypeOf(owner) as object;
  return owner !== Socket.prototype;
}

function join(host: string | undefined, port: number | undefined): string | undefined {
  if (host === undefined || port === undefined) return undefined;
  // In one piece: a template keeps each of its parts, at three times the memory.
  return [host.includes(":") ? `[${host}]` : host, port].join(":");
}
