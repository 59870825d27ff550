import type { X509Certificate } from "node:crypto";
import type { PeerCertificate, TlsDigest } from "@sluice/core";
import type { AdoptedTlsSocket } from "./adopted-tls-socket.ts";
import { altNames } from "./certificate-text.ts";

/** What a handshake has agreed on. */
type Agreed = Pick<TlsDigest, "version" | "cipher"> & { readonly alpn: string | undefined; readonly resumed: boolean };

/** What a socket of Node's has agreed on. */
export function agreedBy(socket: AdoptedTlsSocket): Agreed {
  const { alpnProtocol } = socket;
  return {
    version: socket.getProtocol() ?? "",
    cipher: socket.getCipher()?.standardName ?? "",
    alpn: typeof alpnProtocol === "string" ? alpnProtocol : undefined,
    resumed: socket.isSessionReused(),
  };
}

/** What there is to tell of a handshake that is done. */
export class OpensslDigest implements TlsDigest {
  readonly version: string;
  readonly cipher: string;
  readonly alpn: string | undefined;
  readonly serverName: string | undefined;
  readonly resumed: boolean;
  readonly #certificate: X509Certificate | undefined;
  readonly #verifyError: string | undefined;
  #peerCertificate: PeerCertificate | undefined = undefined;

  /**
   * @param certificate Of the other side.
   * @param verifyError Why it did not verify.
   */
  constructor(
    { version, cipher, alpn, resumed }: Agreed,
    serverName: string | undefined,
    certificate: X509Certificate | undefined,
    verifyError: string | undefined,
  ) {
    this.version = version;
    this.cipher = cipher;
    this.alpn = alpn;
    this.serverName = serverName;
    this.resumed = resumed;
    this.#certificate = certificate;
    this.#verifyError = verifyError;
  }

  /** Read when it is asked for: most never are. */
  get peerCertificate(): PeerCertificate | undefined {
    const certificate = this.#certificate;
    if (certificate === undefined) return undefined;
    this.#peerCertificate ??= {
      verified: this.#verifyError === undefined,
      verifyError: this.#verifyError,
      subject: certificate.subject,
      issuer: certificate.issuer,
      altNames: altNames(certificate),
      serialNumber: certificate.serialNumber,
      fingerprint256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
      validFrom: certificate.validFromDate,
      validTo: certificate.validToDate,
      raw: certificate.raw,
    };
    return this.#peerCertificate;
  }
}
