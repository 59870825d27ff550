import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from "node:tls";
import type { ClientCertificate, HttpPeer } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { firstCertificate } from "./certificate-text.ts";
import { optionFault } from "./option-fault.ts";
import { isOld, nodeVersion } from "./protocol-version.ts";

/** To make one takes milliseconds, and most proxies need one or two. */
const MAX_CONTEXTS = 256;

type PeerTls = HttpPeer["tlsOptions"];

/** What OpenSSL is told of upstreams: one for all peers that ask for the same. */
export class ClientContexts {
  readonly #ca: string | Uint8Array | undefined;
  readonly #clientCert: ClientCertificate | undefined;
  readonly #contexts = new Map<string, SecureContext>();

  /**
   * @param ca The authorities of peers that name none of their own.
   * @param clientCert What is shown for peers that have none of their own.
   * @throws ProxyError `InvalidCert` when one of them cannot be used.
   */
  constructor(ca: string | Uint8Array | undefined, clientCert: ClientCertificate | undefined) {
    if (ca !== undefined) firstCertificate(ca, "opensslTls: ca");
    this.#ca = ca;
    this.#clientCert = clientCert;
    if (clientCert !== undefined) {
      firstCertificate(clientCert.cert, "opensslTls: clientCert.cert");
      make(NOTHING_ASKED, clientCert, undefined);
    }
  }

  /** @throws ProxyError `ConfigError` when OpenSSL does not take what the peer asks for. */
  for(peer: PeerTls): SecureContext {
    let context = this.#contexts.get(peer.key);
    if (context === undefined) {
      context = make(peer, peer.clientCert ?? this.#clientCert, peer.ca ?? this.#ca);
      if (this.#contexts.size >= MAX_CONTEXTS) this.#contexts.clear();
      this.#contexts.set(peer.key, context);
    }
    return context;
  }
}

type Asked = Pick<PeerTls, "groups" | "ciphers" | "minTlsVersion" | "maxTlsVersion">;

const NOTHING_ASKED: Asked = { groups: undefined, ciphers: undefined, minTlsVersion: "1.2", maxTlsVersion: "1.3" };

function make(
  asked: Asked,
  clientCert: ClientCertificate | undefined,
  ca: string | Uint8Array | undefined,
): SecureContext {
  const { groups, ciphers, minTlsVersion, maxTlsVersion } = asked;
  try {
    return createSecureContext({
      minVersion: nodeVersion(minTlsVersion),
      maxVersion: nodeVersion(maxTlsVersion),
      ciphers: ciphers ?? (isOld(minTlsVersion) ? `${DEFAULT_CIPHERS}:@SECLEVEL=0` : DEFAULT_CIPHERS),
      ...(ca !== undefined && { ca: pem(ca) }),
      ...(groups !== undefined && { ecdhCurve: groups }),
      ...(clientCert !== undefined && { cert: pem(clientCert.cert), key: pem(clientCert.key) }),
      ...(clientCert?.passphrase !== undefined && { passphrase: clientCert.passphrase }),
    });
  } catch (cause) {
    const { message } = cause as Error;
    const why = message.includes("key values mismatch")
      ? "clientCert: the key does not fit the certificate"
      : (optionFault(cause, asked) ?? message);
    throw ProxyError.internal("ConfigError", `the TLS options of a peer cannot be used: ${why}`, cause);
  }
}

function pem(text: string | Uint8Array): string | Buffer {
  return typeof text === "string" ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
}
