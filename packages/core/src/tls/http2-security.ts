import { ProxyError } from "@sluice/error";
import type { TlsDigest } from "../http/connection-digest.ts";
import type { HttpPeer } from "../upstreams/http-peer.ts";
import type { SecuredStream } from "./tls-provider.ts";

/** What is left when those of RFC 9113, appendix A, are taken away: an ephemeral key exchange, and authenticated encryption. */
const MODERN = /^TLS_(?:EC)?DHE_\w+_(?:GCM|CCM|CCM_8|POLY1305)(?:_SHA\d+)?$/;

/**
 * Why HTTP/2 must not be spoken on a connection (RFC 9113, sections 9.2 and 9.2.2); `undefined` if it may. (Of the rest of section 9.2,
 * compression and renegotiation, OpenSSL does the one no more, and the provider forbids the other.)
 */
export function tooWeakForHttp2({ alpn, version, cipher }: TlsDigest): string | undefined {
  if (alpn !== "h2" || version === "TLSv1.3") return undefined;
  if (version !== "TLSv1.2") return `HTTP/2 needs TLS 1.2 at least, not ${version}`;
  return MODERN.test(cipher) ? undefined : `HTTP/2 must not be spoken with ${cipher}`;
}

/** The connection to an upstream. @throws ProxyError if it was to be one of HTTP/2, and must not; it is closed then. */
export function strongEnough(peer: HttpPeer, secured: SecuredStream): SecuredStream {
  const tooWeak = tooWeakForHttp2(secured.digest);
  if (tooWeak === undefined) return secured;
  secured.stream.on("error", () => undefined);
  secured.stream.destroy();
  const context = `TLS with ${peer.toString()}: ${tooWeak}`;
  throw new ProxyError("TLSHandshakeFailure", { source: "upstream", context, detail: "tls-parameters" });
}
