import type { TlsDigest } from "../http/connection-digest.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import type { HttpPeer } from "./http-peer.ts";

/** What a TLS package gives: `core` itself has no TLS. Called once a connection; may be slow. */
export interface TlsProvider {
  /**
   * Speaks TLS as a client on a connected stream, which it owns from then on.
   * Rejects with a ProxyError: `TLSHandshakeFailure`, `InvalidCert`; the stream is then closed.
   * @param signal Gives up.
   */
  connect(stream: ByteStream, peer: HttpPeer, signal?: AbortSignal): Promise<{ stream: ByteStream; digest: TlsDigest }>;
}
