import type { SecureVersion } from "node:tls";
import type { TlsVersion } from "@sluice/core";

const NODE_VERSIONS: Readonly<Record<TlsVersion, SecureVersion>> = {
  "1.0": "TLSv1",
  "1.1": "TLSv1.1",
  "1.2": "TLSv1.2",
  "1.3": "TLSv1.3",
};

/** As Node calls it. */
export function nodeVersion(version: TlsVersion): SecureVersion {
  return NODE_VERSIONS[version];
}

/** Versions so old that OpenSSL speaks them only where its security level is lowered. */
export function isOld(version: TlsVersion): boolean {
  return version === "1.0" || version === "1.1";
}
