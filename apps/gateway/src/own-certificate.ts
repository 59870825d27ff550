import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
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
    replaceFile(files.key, made.key, 0o600);
    replaceFile(files.cert, made.cert, 0o644);
  }
  return files;
}

function isOfUse({ cert, key }: CertificateFiles, names: readonly string[]): boolean {
  if (!existsSync(cert) || !existsSync(key)) return false;
  try {
    const there = new X509Certificate(readFileSync(cert));
    const covers = names.every((name) => there.checkHost(name) !== undefined || there.checkIP(name) !== undefined);
    const fits = there.checkPrivateKey(createPrivateKey(readFileSync(key)));
    return covers && fits && Date.parse(there.validTo) - Date.now() > SPARE_MS;
  } catch {
    return false;
  }
}

/** A new file in its place: a mode counts only for files that are made. */
function replaceFile(file: string, text: string, mode: number): void {
  const next = `${file}.next`;
  rmSync(next, { force: true });
  writeFileSync(next, text, { mode });
  renameSync(next, file);
}
