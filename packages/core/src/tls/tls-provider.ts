import type { Socket } from "node:net";
import type { TlsDigest } from "../http/connection-digest.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import type { HttpPeer } from "../upstreams/http-peer.ts";
import type { TlsListenSettings } from "./tls-listen-settings.ts";

/** A connection whose handshake is done. */
export interface SecuredStream {
  /**
   * Plaintext, half-open like every stream here. Who made it with a `SocketReader` attached has it read through that; bytes that came
   * with the end of the handshake are not lost either way.
   */
  readonly stream: ByteStream;
  readonly digest: TlsDigest;
}

/** What one connection asks of TLS, beside its peer. */
export interface TlsConnectOptions {
  /** Protocols to offer, the preferred first (RFC 7301), such as `h2` and `http/1.1`. Default: none is offered. */
  readonly alpn?: readonly string[] | undefined;
  /** Gives up. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * What a TLS package gives: `core` itself has no TLS. One object serves any number of listeners and connectors. Whoever writes one runs
 * the contract tests of `@sluice/tls-openssl/testing` on it.
 */
export interface TlsProvider {
  /** For logs: `openssl`. */
  readonly name: string;
  /**
   * Prepares a listener, before it is bound. What cannot work (no certificate, an unreadable file, a key that does not fit) rejects
   * with a ProxyError, `ConfigError` or `InvalidCert` of source internal, that names the setting and the file.
   */
  listen(settings: TlsListenSettings): Promise<TlsAcceptor>;
  /**
   * Speaks TLS as a client on a connected stream, which it owns from then on. `digest.alpn` is what the origin chose. Called once a
   * connection; takes the peer's `connectMs` at most.
   *
   * Rejects with a ProxyError of source upstream, and the stream is closed: `InvalidCert` and `TLSHandshakeFailure`, whose `detail`
   * says why as far as that is known, `ConnectTimedout`; or with the signal's reason.
   */
  connect(stream: ByteStream, peer: HttpPeer, options: TlsConnectOptions): Promise<SecuredStream>;
}

/** TLS for the connections of one listener. */
export interface TlsAcceptor {
  /**
   * The handshake as a server on an accepted socket (half-open, paused, not read from), which it owns from then on. Called once a
   * connection; others go on meanwhile.
   *
   * Rejects with a ProxyError of source downstream, and the connection is closed: `TLSHandshakeFailure` or `InvalidCert`, whose
   * `detail` says why as far as that is known, `TLSHandshakeTimedout` after `handshakeMs`, `ConnectionClosed`; or with the signal's
   * reason.
   */
  accept(socket: Socket, signal?: AbortSignal): Promise<SecuredStream>;
  /** The listener is closed: watches no files any more. Connections go on. */
  close(): void;
}
