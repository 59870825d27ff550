import { randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createSecureContext } from "node:tls";
import type { PeerOptions, TlsCertificate, TlsListenSettings } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { z } from "zod";

const file = z.string().min(1, "expected the path of a file");
const version = z.enum(["1.2", "1.3"]);

/** A daemon leaves it, and reads files again at a reload. */
const STARTED_IN = process.cwd();

/** How a listener speaks TLS. Files are watched: what changed serves new connections. */
export const listenerTls = z.strictObject({
  /** By the names that they are for; the first also serves clients that ask for another name, or for none. */
  certificates: z
    .array(
      z.strictObject({
        /** The chain in PEM, the server's own certificate first. */
        cert: file,
        key: file,
        /** Default: the names in the certificate. */
        names: z.array(z.string().min(1)).min(1).optional(),
      }),
    )
    .min(1, "expected at least one certificate"),
  min_version: version.optional(),
  /** 48 random bytes, with which sessions can be resumed also after a restart, and on other machines; change them daily. */
  session_ticket_key: file.optional(),
  /** Certificates of clients: `request` asks, `require` lets nobody in without one. */
  client_certificates: z.strictObject({ mode: z.enum(["request", "require"]), ca: file }).optional(),
  /** Speak HTTP/2 to clients that can. */
  http2: z.boolean().default(true),
});

/** How the servers of an upstream are spoken to by TLS. */
export const upstreamTls = z.strictObject({
  /** The name that they are asked for, and that their certificates must be for. Default: the host of the address. */
  sni: z.string().min(1).optional(),
  /** The authorities that are trusted, in PEM, instead of the system's. */
  ca: file.optional(),
  /** What we show to servers that ask for it. */
  client_certificate: z.strictObject({ cert: file, key: file }).optional(),
  /** Whether certificates are checked; without it anybody in between can read everything. */
  verify: z.boolean().default(true),
});

type ListenerTls = z.infer<typeof listenerTls>;
type UpstreamTls = z.infer<typeof upstreamTls>;

export function toListenSettings(conf: ListenerTls): TlsListenSettings {
  return {
    certificates: conf.certificates.map(({ cert, key, names }): TlsCertificate => ({
      cert: { file: cert },
      key: { file: key },
      ...(names !== undefined && { names }),
    })),
    ...(conf.min_version !== undefined && { minVersion: conf.min_version }),
    ticketKey: conf.session_ticket_key === undefined ? ticketKeyOfAllWorkers() : { file: conf.session_ticket_key },
    ...(conf.client_certificates !== undefined && {
      clientCertificates: { mode: conf.client_certificates.mode, ca: { file: conf.client_certificates.ca } },
    }),
    alpn: conf.http2 ? ["h2", "http/1.1"] : ["http/1.1"],
  };
}

/** @throws ProxyError `ConfigError` for a file that cannot be read, or does not hold what it should. */
export function toPeerTlsOptions(conf: UpstreamTls, where: string): PeerOptions {
  const shown = conf.client_certificate;
  const ca = conf.ca === undefined ? undefined : read(conf.ca, `${where}.ca`);
  if (ca !== undefined) checkUsable({ ca }, `${where}.ca`, conf.ca!);
  const clientCert =
    shown === undefined
      ? undefined
      : {
          cert: read(shown.cert, `${where}.client_certificate.cert`),
          key: read(shown.key, `${where}.client_certificate.key`),
        };
  if (clientCert !== undefined) checkUsable(clientCert, `${where}.client_certificate`, `${shown!.cert}, ${shown!.key}`);
  return {
    tls: true,
    ...(conf.sni !== undefined && { sni: conf.sni }),
    ...(ca !== undefined && { ca }),
    ...(clientCert !== undefined && { clientCert }),
    ...(!conf.verify && { verifyCert: false }),
  };
}

/** Workers inherit it from the process that starts them, so that a session of one can be resumed at another. */
function ticketKeyOfAllWorkers(): Uint8Array {
  process.env["SLUICE_TICKET_KEY"] ??= randomBytes(48).toString("base64");
  return Buffer.from(process.env["SLUICE_TICKET_KEY"], "base64");
}

function read(name: string, where: string): string {
  try {
    return readFileSync(path.resolve(STARTED_IN, name), "utf8");
  } catch (cause) {
    throw ProxyError.internal("ConfigError", `${where}: cannot read ${name}`, cause);
  }
}

/** Now, and not at the first request. */
function checkUsable(pem: { ca?: string; cert?: string; key?: string }, where: string, files: string): void {
  try {
    // Certificates of authorities that cannot be read are passed over there.
    for (const certificate of pem.ca === undefined ? [] : certificatesIn(pem.ca)) void new X509Certificate(certificate);
    createSecureContext(pem);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw ProxyError.internal("ConfigError", `${where}: cannot use ${files}: ${reason}`, cause);
  }
}

function certificatesIn(pem: string): string[] {
  const found = pem.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----[^-]*-----END [A-Z0-9 ]*CERTIFICATE-----/g);
  if (found === null) throw new Error("it holds no certificate in PEM");
  return found;
}
