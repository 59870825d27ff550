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
  /** The name that the client asked for (SNI); `undefined` if it asked for none. */
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

const UNIX_ADDRESSES = Symbol("sluice.unixAddresses");

/** What the ends of a Unix socket are called, as far as they have names. */
interface UnixAddresses {
  /** `unix:/path` that we connected to. */
  readonly remote?: string;
  /** `unix:/path` that we accepted on. */
  readonly local?: string;
}

/** A stream that carries the names of its ends; and what Node keeps in a socket, without documenting it. */
type NamedStream = ByteStream & {
  [UNIX_ADDRESSES]?: UnixAddresses;
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

/** Tells the digest of `stream` what Node does not: the path of a Unix socket is known only to who listens or connects. */
export function nameUnixSocket(stream: ByteStream, addresses: UnixAddresses): void {
  (stream as NamedStream)[UNIX_ADDRESSES] = addresses;
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
    return (this.#remote ??= peerName(this.#stream) ?? this.#stream[UNIX_ADDRESSES]?.remote);
  }

  get localAddress(): string | undefined {
    return (this.#local ??=
      join(this.#stream.localAddress, this.#stream.localPort) ?? this.#stream[UNIX_ADDRESSES]?.local);
  }

  get descriptor(): number | undefined {
    const fd = this.#stream._handle?.fd;
    return fd === undefined || fd < 0 ? undefined : fd;
  }
}

const PEER_NAME: PeerName = { address: undefined, port: undefined };

/** As the stream's own addresses say. A socket of Node's, asked for those, keeps them in an object: 200 bytes for each connection. */
function peerName(stream: NamedStream): string | undefined {
  const handle = stream._handle;
  if (handle?.getpeername === undefined) return join(stream.remoteAddress, stream.remotePort);
  PEER_NAME.address = undefined;
  PEER_NAME.port = undefined;
  return handle.getpeername(PEER_NAME) === 0 ? join(PEER_NAME.address, PEER_NAME.port) : undefined;
}

function join(host: string | undefined, port: number | undefined): string | undefined {
  if (host === undefined || port === undefined) return undefined;
  // In one piece: a template keeps each of its parts, at three times the memory.
  return [host.includes(":") ? `[${host}]` : host, port].join(":");
}
