import type { ByteStream } from "../net/byte-stream.ts";

/** What is known of a connection, for logs and hooks. The same object for every request on it. */
export interface ConnectionDigest {
  /** `host:port` of the other side; `undefined` where the stream has no address. */
  readonly remoteAddress: string | undefined;
  /** `host:port` of our side. */
  readonly localAddress: string | undefined;
  /** When it was accepted or established, in `performance.now()` milliseconds. */
  readonly establishedAtMs: number;
  /** What the TLS provider says of the handshake; `undefined` on plaintext. */
  readonly tls: TlsDigest | undefined;
}

/** What a TLS provider tells of a handshake. */
export interface TlsDigest {
  readonly version: string;
  readonly cipher: string;
  readonly alpn: string | undefined;
}

/** Reads the addresses when they are asked for: most requests never do. */
export class StreamDigest implements ConnectionDigest {
  readonly establishedAtMs: number;
  readonly tls: TlsDigest | undefined;
  readonly #stream: ByteStream;
  #remote: string | undefined = undefined;
  #local: string | undefined = undefined;

  constructor(stream: ByteStream, tls?: TlsDigest, establishedAtMs: number = performance.now()) {
    this.#stream = stream;
    this.establishedAtMs = establishedAtMs;
    this.tls = tls;
  }

  get remoteAddress(): string | undefined {
    // Kept once read: a closed socket has none any more.
    return (this.#remote ??= join(this.#stream.remoteAddress, this.#stream.remotePort));
  }

  get localAddress(): string | undefined {
    return (this.#local ??= join(this.#stream.localAddress, this.#stream.localPort));
  }
}

function join(host: string | undefined, port: number | undefined): string | undefined {
  if (host === undefined || port === undefined) return undefined;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
