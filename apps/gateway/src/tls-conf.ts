import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import path from "node:path";
import {
  CertificateNames,
  readConfigFiles,
  type PeerOptions,
  type ServerConf,
  type TlsCertificate,
  type TlsListenSettings,
  type TlsProvider,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { opensslTlsFor, type NativeTransport } from "@sluice/tls-openssl";
import { z } from "zod";

const file = z.string().min(1, "expected the path of a file");
/** YAML makes a number of what is not in quotes. */
const version = z
  .literal(["1.2", 1.2, "1.3", 1.3], "expected 1.2 or 1.3")
  .transform((value) => (Number(value) === 1.2 ? "1.2" : "1.3"));
const certificateName = z
  .string()
  .refine((name) => CertificateNames.isName(name), "expected a host name or *.name, without a port");

/** A daemon leaves it, and reads files again at a reload; its workers inherit the variable, and begin elsewhere. */
const STARTED_IN = (process.env["SLUICE_STARTED_IN"] ??= process.cwd());

/** Where a file is that the configuration names. */
function fileAt(name: string): string {
  return path.resolve(STARTED_IN, name);
}

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
        names: z.array(certificateName).min(1).optional(),
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
  sni: z
    .string()
    .refine(
      (name) => isIP(name) > 0 || (CertificateNames.isName(name) && !name.startsWith("*")),
      "expected a host name",
    )
    .optional(),
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
      cert: { file: fileAt(cert) },
      key: { file: fileAt(key) },
      ...(names !== undefined && { names }),
    })),
    ...(conf.min_version !== undefined && { minVersion: conf.min_version }),
    ticketKey:
      conf.session_ticket_key === undefined ? ticketKeyOfAllWorkers() : { file: fileAt(conf.session_ticket_key) },
    ...(conf.client_certificates !== undefined && {
      clientCertificates: { mode: conf.client_certificates.mode, ca: { file: fileAt(conf.client_certificates.ca) } },
    }),
    alpn: conf.http2 ? ["h2", "http/1.1"] : ["http/1.1"],
  };
}

/**
 * TLS of the whole gateway.
 * @param transport Carries the connections of clients, too.
 * @throws ProxyError for a `ca_file` that cannot be used, and `ConfigError` where the transport cannot be.
 */
export function toTlsProvider(
  { ca_file: caFile, upstream_debug_ssl_keylog }: Pick<ServerConf, KeysOfTls>,
  transport?: NativeTransport,
): TlsProvider {
  return opensslTlsFor(
    { ca_file: caFile === undefined ? undefined : fileAt(caFile), upstream_debug_ssl_keylog },
    transport && { transport },
  );
}

type KeysOfTls = "ca_file" | "upstream_debug_ssl_keylog";

/** @throws ProxyError `ConfigError` for a file that cannot be read, or does not hold what it should. */
export function toPeerTlsOptions(conf: UpstreamTls, where: string): PeerOptions {
  const { sni, ca, client_certificate: shown, verify } = conf;
  return {
    tls: true,
    ...(sni !== undefined && { sni }),
    ...(ca !== undefined && { ca: readCa(ca, `${where}.ca`) }),
    ...(shown !== undefined && { clientCert: readClientCertificate(shown, `${where}.client_certificate`) }),
    ...(!verify && { verifyCert: false }),
  };
}

/** Workers inherit it from the process that starts them, so that a session of one can be resumed at another. */
function ticketKeyOfAllWorkers(): Uint8Array {
  process.env["SLUICE_TICKET_KEY"] ??= randomBytes(48).toString("base64");
  return Buffer.from(process.env["SLUICE_TICKET_KEY"], "base64");
}

function readCa(name: string, where: string): string {
  return readPems([{ name, where, parse: toCertificate }], (pem) => pem);
}

function readClientCertificate(
  files: { cert: string; key: string },
  where: string,
): NonNullable<PeerOptions["clientCert"]> {
  const certFile = { name: files.cert, where: `${where}.cert`, parse: toCertificate };
  const keyFile = { name: files.key, where: `${where}.key`, parse: createPrivateKey };
  return readPems([certFile, keyFile], (cert, key) => {
    if (toCertificate(cert).checkPrivateKey(createPrivateKey(key))) return { cert, key };
    throw ProxyError.internal("ConfigError", `${where}: the key in ${files.key} is not that of ${files.cert}`);
  });
}

function toCertificate(pem: string): X509Certificate {
  return new X509Certificate(pem);
}

interface PemFile {
  readonly name: string;
  /** The key that names it. */
  readonly where: string;
  /** Throws if it is not what is expected. */
  readonly parse: (pem: string) => unknown;
}

/** Files in which there is what is looked for, and which fit together, as `use` finds. */
function readPems<T>(files: readonly PemFile[], use: (...pems: string[]) => T): T {
  try {
    return readConfigFiles(
      files.map(({ name }) => fileAt(name)),
      (...pems) => {
        for (const [at, one] of files.entries()) check(one, pems[at]!);
        return use(...pems);
      },
    );
  } catch (cause) {
    if (cause instanceof ProxyError) throw cause;
    const { path: missing } = cause as NodeJS.ErrnoException;
    const { name, where } = files.find((one) => fileAt(one.name) === missing) ?? files[0]!;
    throw ProxyError.internal("ConfigError", `${where}: cannot read ${name}`, cause);
  }
}

function check({ name, where, parse }: PemFile, pem: string): void {
  try {
    parse(pem);
  } catch (cause) {
    throw ProxyError.internal("ConfigError", `${where}: ${name} cannot be used, PEM is expected`, cause);
  }
}
