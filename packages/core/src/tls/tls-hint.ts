import type { ErrorDetail, ProxyError } from "@sluice/error";

/** What to look at when TLS with an upstream failed; `undefined` for other failures. */
export function upstreamTlsHint(error: ProxyError): string | undefined {
  return error.detail === undefined ? undefined : UPSTREAM[error.detail];
}

/** What to look at when TLS with a client failed; `undefined` for other failures. */
export function downstreamTlsHint(error: ProxyError): string | undefined {
  return error.detail === undefined ? undefined : DOWNSTREAM[error.detail];
}

const UPSTREAM: { readonly [detail in ErrorDetail]?: string } = {
  "cert-name":
    "the upstream's certificate is for other names: is the peer's sni right? alternativeCn allows another name",
  "cert-expired": "the upstream's certificate has expired: it needs a new one (or this machine's clock is wrong)",
  "cert-not-yet-valid": "the upstream's certificate is not valid yet: is this machine's clock right?",
  "cert-self-signed": "the upstream's certificate is self-signed: trust it by the peer's ca",
  "cert-unknown-issuer":
    "nobody trusted has issued the upstream's certificate: does it send its intermediates? a private authority goes into the peer's ca",
  "cert-purpose": "the upstream's certificate is not one for servers: its extended key usage needs serverAuth",
  "cert-missing": "the upstream asks for a certificate of ours: see the peer's clientCert",
  "cert-refused":
    "the upstream does not accept our certificate: see the peer's clientCert, and whom the upstream trusts",
  "tls-version": "no TLS version in common with the upstream: see the peer's minTlsVersion and maxTlsVersion",
  "tls-parameters":
    "no cipher, group or signature algorithm in common with the upstream, or (TLS 1.2) it asks for a certificate of ours: see the peer's ciphers, groups and clientCert",
  "tls-alpn": "the upstream speaks none of the protocols offered: see the peer's minHttpVersion and maxHttpVersion",
  "unknown-name": "the upstream knows no such name: is the peer's sni right?",
  "not-tls": "the upstream does not speak TLS at that address: is it a plaintext port?",
};

const DOWNSTREAM: { readonly [detail in ErrorDetail]?: string } = {
  "cert-expired": "the client's certificate has expired",
  "cert-not-yet-valid": "the client's certificate is not valid yet: is this machine's clock right?",
  "cert-self-signed": "the client's certificate is self-signed, and clientCertificates.ca does not hold it",
  "cert-unknown-issuer": "none of clientCertificates.ca has issued the client's certificate",
  "cert-purpose": "the client's certificate is not one for clients: its extended key usage needs clientAuth",
  "cert-missing": "the client has no certificate, and clientCertificates requires one",
  "cert-refused": "the client does not accept our certificate: is its name, its date, its chain right?",
  "tls-version": "no TLS version in common with the client: see minVersion and maxVersion of the listener",
  "tls-parameters":
    "no cipher, group or signature algorithm in common with the client: see ciphers and groups of the listener",
  "tls-alpn": "the client offers other protocols only: see alpn of the listener",
  "unknown-name": "there is no certificate for that name, and unknownName is refuse",
  "not-tls": "the client speaks plaintext to a TLS port: is it http:// instead of https://?",
  "tls-spoken": "the client speaks TLS to a plaintext port: is it https:// instead of http://?",
};
