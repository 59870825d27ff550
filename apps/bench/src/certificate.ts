import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** A certificate with its key, as files in PEM. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** Both in one file, as HAProxy wants them. */
  readonly bothFile: string;
  /** The text of `certFile`. It is its own issuer, so whoever trusts it can verify it. */
  readonly pem: string;
}

/**
 * Makes the certificate that all proxies present: ECDSA on P-256, as most sites have; issued by itself, for 127.0.0.1 and localhost.
 * The files go into `folder`. Takes OpenSSL's command.
 */
export async function makeCertificate(folder: string): Promise<Certificate> {
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const bothFile = join(folder, "both.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", keyFile];
  const subject = ["-subj", "/CN=bench.example", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  await execFileAsync("openssl", ["req", "-x509", ...key, ...subject, "-days", "2", "-out", certFile]);
  const pem = await readFile(certFile, "utf8");
  await writeFile(bothFile, pem + (await readFile(keyFile, "utf8")), { mode: 0o600 });
  return { certFile, keyFile, bothFile, pem };
}

const execFileAsync = promisify(execFile);
