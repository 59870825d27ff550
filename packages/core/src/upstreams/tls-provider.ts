import type { TlsDigest } from "../http/connection-digest.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import type { HttpPeer } from "./http-peer.ts";

/** What one connection asks of TLS, beside its peer. */
export interface TlsConnectOptions {
  /** Protocols to offer, the preferred first (RFC 7301): of `h2` and `http/1.1`. */
  readonly alpn: readonly string[];
  /** Gives up. */
  readonly signal?: AbortSignal | undefined;
}

/** What a TLS package gives: `core` itself has no TLS. Called once a connection; may be slow. */
export interface TlsProvider {
  /**
   * Speaks TLS as a client on a connected stream, which it owns from then on. `digest.alpn` is what the origin chose.
   * Rejects with a ProxyError: `TLSHandshakeFailure`, `InvalidCert`; the stream is then closed.
   */
  connect(
    stream: ByteStream,
    peer: HttpPeer,
    options: TlsConnectOptions,
  ): Promise<{ stream: ByteStream; digest: TlsDigest }>;
}
