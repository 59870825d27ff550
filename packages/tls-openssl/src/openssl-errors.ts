import type { X509Certificate } from "node:crypto";
import { ProxyError, type ErrorDetail, type ErrorSource } from "@sluice/error";
import { beginOf, endOf, namesOf } from "./certificate-text.ts";

/** What OpenSSL calls it, without its prefix: `ERR_SSL_` and the like. */
const REASONS: Readonly<Record<string, ErrorDetail>> = {
  HTTP_REQUEST: "not-tls",
  HTTPS_PROXY_REQUEST: "not-tls",
  WRONG_VERSION_NUMBER: "not-tls",
  PACKET_LENGTH_TOO_LONG: "not-tls",
  UNSUPPORTED_PROTOCOL: "tls-version",
  UNKNOWN_PROTOCOL: "tls-version",
  VERSION_TOO_LOW: "tls-version",
  VERSION_TOO_HIGH: "tls-version",
  WRONG_SSL_VERSION: "tls-version",
  TLSV1_ALERT_PROTOCOL_VERSION: "tls-version",
  NO_SHARED_CIPHER: "tls-parameters",
  NO_SUITABLE_KEY_SHARE: "tls-parameters",
  NO_SUITABLE_GROUPS: "tls-parameters",
  NO_SUITABLE_SIGNATURE_ALGORITHM: "tls-parameters",
  NO_SHARED_SIGNATURE_ALGORITHMS: "tls-parameters",
  WRONG_CURVE: "tls-parameters",
  WRONG_CIPHER_RETURNED: "tls-parameters",
  SSLV3_ALERT_HANDSHAKE_FAILURE: "tls-parameters",
  "SSL/TLS_ALERT_HANDSHAKE_FAILURE": "tls-parameters",
  TLSV1_ALERT_INSUFFICIENT_SECURITY: "tls-parameters",
  NO_APPLICATION_PROTOCOL: "tls-alpn",
  TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "tls-alpn",
  TLSV1_UNRECOGNIZED_NAME: "unknown-name",
  PEER_DID_NOT_RETURN_A_CERTIFICATE: "cert-missing",
  TLSV13_ALERT_CERTIFICATE_REQUIRED: "cert-missing",
  SSLV3_ALERT_BAD_CERTIFICATE: "cert-refused",
  SSLV3_ALERT_CERTIFICATE_EXPIRED: "cert-refused",
  SSLV3_ALERT_CERTIFICATE_REVOKED: "cert-refused",
  SSLV3_ALERT_CERTIFICATE_UNKNOWN: "cert-refused",
  SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: "cert-refused",
  "SSL/TLS_ALERT_BAD_CERTIFICATE": "cert-refused",
  "SSL/TLS_ALERT_CERTIFICATE_EXPIRED": "cert-refused",
  "SSL/TLS_ALERT_CERTIFICATE_REVOKED": "cert-refused",
  "SSL/TLS_ALERT_CERTIFICATE_UNKNOWN": "cert-refused",
  "SSL/TLS_ALERT_UNSUPPORTED_CERTIFICATE": "cert-refused",
  TLSV1_ALERT_UNKNOWN_CA: "cert-refused",
  TLSV1_ALERT_ACCESS_DENIED: "cert-refused",
  TLSV1_ALERT_DECRYPT_ERROR: "cert-refused",
};

/** Why a certificate did not verify, as OpenSSL calls it. */
const VERIFY_ERRORS: Readonly<Record<string, ErrorDetail>> = {
  CERT_HAS_EXPIRED: "cert-expired",
  CERT_NOT_YET_VALID: "cert-not-yet-valid",
  DEPTH_ZERO_SELF_SIGNED_CERT: "cert-self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "cert-unknown-issuer",
  UNABLE_TO_GET_ISSUER_CERT: "cert-unknown-issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "cert-unknown-issuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "cert-unknown-issuer",
  CERT_UNTRUSTED: "cert-unknown-issuer",
  INVALID_PURPOSE: "cert-purpose",
};

/** `WRONG_VERSION_NUMBER`; "" for what is no error of OpenSSL. */
export function reasonOf(error: Error | undefined): string {
  const code = codeOf(error) ?? "";
  return code.startsWith("ERR_SSL_") ? code.slice("ERR_SSL_".length) : "";
}

/**
 * A handshake that failed, as ours.
 * @param error What the socket reports; `undefined` if it was closed without an error.
 * @param source Whose fault it is: the other side's.
 * @param doing What was being done, with whom.
 */
export function handshakeError(error: Error | undefined, source: ErrorSource, doing: string): ProxyError {
  if (error instanceof ProxyError) return error;
  const code = codeOf(error);
  const reason = reasonOf(error);
  const who = source === "upstream" ? "the upstream" : "the client";
  if (error === undefined || code === "ECONNRESET" || code === "EPIPE") {
    // An upstream that closes has a reason of its own, such as a name it does not know, and does not tell.
    const type = source === "upstream" ? "TLSHandshakeFailure" : "ConnectionClosed";
    return new ProxyError(type, { source, context: `${doing}: ${who} closed the connection` });
  }
  if (reason === "") return new ProxyError("TLSHandshakeFailure", { source, context: doing, cause: error });
  const detail = REASONS[reason];
  const refused = reason.includes("ALERT") || reason === "TLSV1_UNRECOGNIZED_NAME" ? `${who} refused: ` : "";
  const context = `${doing}: ${refused}${inWords(reason)} (${code})`;
  return new ProxyError(
    "TLSHandshakeFailure",
    detail === undefined ? { source, context } : { source, context, detail },
  );
}

/** The other side's certificate did not verify. @param code What OpenSSL says. */
export function certificateError(
  code: string,
  certificate: X509Certificate | undefined,
  source: ErrorSource,
  doing: string,
): ProxyError {
  const detail = VERIFY_ERRORS[code];
  const options = { source, context: `${doing}: ${whyNot(code, certificate)}` };
  return new ProxyError("InvalidCert", detail === undefined ? options : { ...options, detail });
}

/** The certificate is none for any of the names `wanted`. */
export function nameError(wanted: readonly string[], certificate: X509Certificate, doing: string): ProxyError {
  const context = `${doing}: wanted a certificate for ${wanted.join(" or ")}, got one for ${namesOf(certificate)}`;
  return new ProxyError("InvalidCert", { source: "upstream", context, detail: "cert-name" });
}

function whyNot(code: string, certificate: X509Certificate | undefined): string {
  if (certificate === undefined) return `the certificate did not verify: ${code}`;
  const whose = `the certificate for ${namesOf(certificate)}`;
  const issuer = certificate.issuer.replaceAll("\n", ", ");
  switch (code) {
    case "CERT_HAS_EXPIRED":
      if (certificate.validToDate.getTime() > Date.now()) return `one that ${whose} depends on has expired: ${issuer}`;
      return `${whose} expired on ${endOf(certificate)}`;
    case "CERT_NOT_YET_VALID":
      return `${whose} is valid from ${beginOf(certificate)} on`;
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return `${whose} is self-signed, and not trusted`;
    case "INVALID_PURPOSE":
      return `${whose} is not for this side of a connection (extended key usage), or one that it depends on for none`;
    default:
      return `${whose}, issued by ${issuer || "nobody"}, did not verify: ${code}`;
  }
}

function codeOf(error: NodeJS.ErrnoException | undefined): string | undefined {
  return error?.code;
}

/** OpenSSL's own words: `TLSV1_ALERT_UNKNOWN_CA` → `unknown ca`. */
function inWords(reason: string): string {
  return reason
    .replace(/^(TLSV1|TLSV13|SSLV3|SSL\/TLS)_(ALERT_)?/, "")
    .replaceAll("_", " ")
    .toLowerCase();
}
