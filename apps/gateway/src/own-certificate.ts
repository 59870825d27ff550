import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { X509Certificate } from "node:crypto";
import { selfSignedCertificate } from "@sluice/tls-openssl";

const DAYS = 365;
const DAY_MS = 86_400_000;
/** With less left it is made anew. */
const SPARE_MS = 7 * DAY_MS;

/** Files in PEM. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/**
 * A certificate for `names` that nobody but itself has signed, kept in `folder` from one start to the next, so that whoever trusts it
 * need do so once. Its key is readable for its owner alone.
 */
export function ownCertificate(folder: string, names: readonly string[]): CertificateFiles {
  const files = { cert: path.join(folder, "cert.pem"), key: path.join(folder, "key.pem") };
  if (!isOfUse(files, names)) {
    const made = selfSignedCertificate({ names, toDays: DAYS });
    mkdirSync(folder, { recursive: true });
    writeFileSync(files.key, made.key, { mode: 0o600 });
    chmodSync(files.key, 0o600);
    writeFileSync(files.cert, made.cert);
  }
  return files;
}

function isOfUse({ cert, key }: CertificateFiles, names: readonly string[]): boolean {
  if (!existsSync(cert) || !existsSync(key)) return false;
  try {
    const there = new X509Certificate(readFileSync(cert));
    const covers = names.every((name) => there.checkHost(name) !== undefined || there.checkIP(name) !== undefined);
    return covers && Date.parse(there.validTo) - Date.now() > SPARE_MS;
  } catch {
    return false;
  }
}
