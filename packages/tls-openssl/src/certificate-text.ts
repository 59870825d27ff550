import { X509Certificate } from "node:crypto";
import { ProxyError } from "@sluice/error";

/** The first certificate of a PEM text. @throws ProxyError `InvalidCert` that names `where`. */
export function firstCertificate(pem: string | Uint8Array, where: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw ProxyError.internal("InvalidCert", `${where}: it is no certificate in PEM`, cause);
  }
}

/** A name in a certificate, as Node prints it: unquoted unless it holds what could be mistaken. */
const ALT_NAME = /(?:[^,"]|"(?:[^"\\]|\\.)*")+/g;

/** `DNS:a.test`, `IP Address:127.0.0.1`, … */
export function altNames(certificate: X509Certificate): readonly string[] {
  return certificate.subjectAltName?.match(ALT_NAME)?.map((name) => name.trim()) ?? [];
}

/** Those of its names that are DNS names: `a.test`, `*.b.test`. */
export function dnsNames(certificate: X509Certificate): readonly string[] {
  return altNames(certificate)
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice("DNS:".length));
}

/** For people: `a.test, *.b.test, 127.0.0.1`, or what else there is to call it by. */
export function namesOf(certificate: X509Certificate): string {
  const names = altNames(certificate).map((name) => name.replace(/^(DNS|IP Address):/, ""));
  if (names.length > 0) return names.join(", ");
  return `no name (its subject is ${certificate.subject.replaceAll("\n", ", ") || "empty"}, which is not looked at)`;
}

/** When it ends: ISO 8601, UTC. */
export function endOf(certificate: X509Certificate): string {
  return certificate.validToDate.toISOString();
}

export function beginOf(certificate: X509Certificate): string {
  return certificate.validFromDate.toISOString();
}
