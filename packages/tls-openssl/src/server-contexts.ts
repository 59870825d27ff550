import { constants, createHash, createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import {
  CertificateNames,
  logger,
  shown,
  type ReadSource,
  type ResolvedCertificate,
  type TlsCertificate,
  type TlsListenSettings,
} from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { dnsNames, endOf, firstCertificate, namesOf } from "./certificate-text.ts";
import { optionFault } from "./option-fault.ts";
import { isOld, nodeVersion } from "./protocol-version.ts";
import { renewTickets } from "./ticket-renewal.ts";

const log = logger("tls-openssl");

/**
 * Mozilla's "intermediate" list without finite-field Diffie-Hellman: forward secrecy and authenticated encryption throughout.
 *
 * The order is Mozilla's too, and ours counts, except that a client which puts ChaCha20 first has no fast AES and gets it. Clients made
 * with OpenSSL put AES-256 first by habit, whose SHA-384 is 4 % of what a full handshake costs and 6 % of a resumed one; SHA-256, for
 * which processors have instructions, is 1 %.
 */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");
/** What TLS 1.0 and 1.1 need besides. */
const OLD_CIPHERS =
  "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0";

/** What an OCSP response is (RFC 6960, section 4.2.1), by its tag. */
const DER_SEQUENCE = 0x30;

/** A certificate, ready for handshakes. */
export interface ServerContext {
  readonly secure: SecureContext;
  /** What is stapled for clients that ask. */
  readonly ocsp: Uint8Array | (() => unknown) | undefined;
  /** One for each of its keys, where there are several: where Node.js takes up a context amid a handshake, it takes one certificate. */
  readonly single: readonly SingleContext[];
}

interface SingleContext {
  /** As `KeyObject.asymmetricKeyType` says. */
  readonly keyType: string | undefined;
  readonly secure: SecureContext;
}

/** The certificates of a listener, as they were read last. */
export class ServerContexts {
  readonly names: CertificateNames<ServerContext> = new CertificateNames();
  /** What serves those for whom there is nothing else; without certificates, it cannot. */
  readonly default: ServerContext;
  /** More than the default, and a look at what the client asks for, are needed. */
  readonly needsChoice: boolean;
  /** What all contexts have in common. */
  readonly #common: CommonOptions;
  readonly #asksNode: boolean;
  /** Sessions may go on and on. */
  readonly #renewsTickets: boolean;
  /** By the object that was resolved. */
  readonly #resolved = new WeakMap<ResolvedCertificate, ServerContext>();

  /**
   * @param ticketKey What tickets are encrypted with where the settings do not say.
   * @param asksNode Node.js drives the connections: what it does only if it is asked in JavaScript is done.
   * @throws ProxyError `InvalidCert` or `ConfigError` that names the setting.
   */
  constructor(settings: TlsListenSettings, read: ReadSource, ticketKey: Buffer, asksNode = true) {
    this.#common = commonOptions(settings, read, ticketKey);
    this.#asksNode = asksNode;
    // What was verified of a client would never be looked at again (RFC 8446, section 4.6.1).
    this.#renewsTickets = asksNode && settings.clientCertificates === undefined && settings.ticketKey !== false;
    const { certificates = [], resolveCertificate } = settings;
    const groups = groupByNames(certificates.map((certificate, at) => readCertificate(certificate, at, read)));
    const contexts = groups.map((group) => this.#contextOf(group));
    groups.forEach(({ names }, at) => {
      for (const name of names) if (this.names.get(name) === undefined) this.names.set(name, contexts[at]!);
    });
    this.default = contexts[0] ?? { secure: this.#make(this.#common, "settings"), ocsp: undefined, single: [] };
    const more = contexts.length > 1 || contexts.some(({ ocsp }) => ocsp !== undefined);
    this.needsChoice = more || resolveCertificate !== undefined || settings.unknownName === "refuse";
  }

  /** What tickets are encrypted with: 48 bytes. */
  get ticketKey(): Buffer {
    return this.#common.ticketKeys;
  }

  /** The context of a certificate that was resolved. @throws ProxyError `InvalidCert`. */
  resolved(certificate: ResolvedCertificate): ServerContext {
    let context = this.#resolved.get(certificate);
    if (context === undefined) {
      const where = "the certificate from resolveCertificate";
      const read = { ...readPair(certificate.cert, certificate.key, certificate.passphrase, where), names: [], where };
      context = this.#contextOf({ names: [], pairs: [{ ...read, ocsp: certificate.ocsp }] });
      this.#resolved.set(certificate, context);
    }
    return context;
  }

  #contextOf({ pairs }: CertificateGroup): ServerContext {
    const where = pairs.map((pair) => pair.where).join(" and ");
    const withOcsp = pairs.find(({ ocsp }) => ocsp !== undefined);
    if (withOcsp !== undefined && pairs.length > 1) {
      const why = "beside another certificate for the same names, nobody can tell whose response is asked for";
      throw ProxyError.internal("ConfigError", `${withOcsp.where}.ocsp: ${why}`);
    }
    const single =
      this.#asksNode && pairs.length > 1
        ? pairs.map((pair) => ({ keyType: pair.key.asymmetricKeyType, secure: this.#makeFor([pair], pair.where) }))
        : [];
    return { secure: this.#makeFor(pairs, where), ocsp: withOcsp?.ocsp, single };
  }

  #makeFor(pairs: readonly CertificatePair[], where: string): SecureContext {
    const cert = pairs.map((pair) => pair.cert);
    const key = pairs.map((pair) => pair.key.export({ type: "pkcs8", format: "pem" }));
    return this.#make({ ...this.#common, cert, key }, where);
  }

  #make(options: CommonOptions, where: string): SecureContext {
    const secure = secureContext(options, where);
    if (this.#renewsTickets) renewTickets(secure, options.ticketKeys);
    return secure;
  }
}

interface CertificatePair {
  readonly where: string;
  readonly cert: Buffer;
  readonly leaf: X509Certificate;
  readonly key: KeyObject;
  readonly names: readonly string[];
  readonly ocsp: Uint8Array | (() => unknown) | undefined;
}

/** Certificates for the same names, with keys of different kinds. */
interface CertificateGroup {
  readonly names: readonly string[];
  readonly pairs: CertificatePair[];
}

function readCertificate(certificate: TlsCertificate, at: number, read: ReadSource): CertificatePair {
  const where = placeOf(certificate, at);
  const pair = readPair(read(certificate.cert), read(certificate.key), certificate.passphrase, where);
  const { ocsp } = certificate;
  const names = (certificate.names ?? dnsNames(pair.leaf)).filter((name) => CertificateNames.isName(name));
  const now = Date.now();
  if (pair.leaf.validToDate.getTime() < now) {
    log.warn({ certificate: where, names: namesOf(pair.leaf), expired: endOf(pair.leaf) }, "a certificate has expired");
  } else if (pair.leaf.validFromDate.getTime() > now) {
    log.warn({ certificate: where, names: namesOf(pair.leaf) }, "a certificate is not valid yet");
  }
  const stapled =
    ocsp === undefined || typeof ocsp === "function" ? ocsp : readOcsp(toBuffer(read(ocsp)), `${where}.ocsp`);
  return { ...pair, where, names, ocsp: stapled };
}

/** `certificates[1] (/etc/a.pem)`. */
function placeOf({ cert }: TlsCertificate, at: number): string {
  const file = typeof cert === "object" && "file" in cert ? ` (${cert.file})` : "";
  return `certificates[${at}]${file}`;
}

function readPair(
  cert: string | Uint8Array,
  key: string | Uint8Array,
  passphrase: string | undefined,
  where: string,
): { cert: Buffer; leaf: X509Certificate; key: KeyObject } {
  const leaf = firstCertificate(cert, where);
  const keyObject = readKey(key, passphrase, where);
  if (!leaf.checkPrivateKey(keyObject)) {
    throw ProxyError.internal(
      "InvalidCert",
      `${where}: the key does not fit the certificate, which is for ${namesOf(leaf)}`,
    );
  }
  return { cert: toBuffer(cert), leaf, key: keyObject };
}

function readKey(key: string | Uint8Array, passphrase: string | undefined, where: string): KeyObject {
  try {
    return createPrivateKey({ key: toBuffer(key), format: "pem", ...(passphrase !== undefined && { passphrase }) });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what =
      code === "ERR_MISSING_PASSPHRASE" ? "the key is encrypted, and there is no passphrase" : "the key cannot be read";
    throw ProxyError.internal("InvalidCert", `${where}: ${what}`, cause);
  }
}

/** Whoever asks for a response refuses the certificate for one that is none: text in PEM, or a file that is being written. */
function readOcsp(response: Buffer, where: string): Buffer {
  if (response[0] === DER_SEQUENCE) return response;
  const got = response.length === 0 ? "nothing" : `what begins with ${shown(response.toString("latin1", 0, 12))}`;
  throw ProxyError.internal("ConfigError", `${where}: expected an OCSP response in DER, got ${got}`);
}

function groupByNames(pairs: readonly CertificatePair[]): CertificateGroup[] {
  const groups: CertificateGroup[] = [];
  for (const pair of pairs) {
    const same = groups.find(
      ({ names, pairs: [first] }) =>
        sameNames(names, pair.names) && first!.key.asymmetricKeyType !== pair.key.asymmetricKeyType,
    );
    if (same === undefined) groups.push({ names: pair.names, pairs: [pair] });
    else same.pairs.push(pair);
  }
  return groups;
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return some.length > 0 && some.toSorted().join() === others.toSorted().join();
}

type CommonOptions = SecureContextOptions & { readonly ticketKeys: Buffer };

function commonOptions(settings: TlsListenSettings, read: ReadSource, ownTicketKey: Buffer): CommonOptions {
  const { minVersion = "1.2", maxVersion = "1.3", clientCertificates, ticketKey, ciphers, groups } = settings;
  const ca = clientCertificates === undefined ? undefined : toBuffer(read(clientCertificates.ca));
  if (ca !== undefined) firstCertificate(ca, "clientCertificates.ca");
  return {
    minVersion: nodeVersion(minVersion),
    maxVersion: nodeVersion(maxVersion),
    ciphers: ciphers ?? (isOld(minVersion) ? `${CIPHERS}:${OLD_CIPHERS}` : CIPHERS),
    honorCipherOrder: true,
    secureOptions:
      // RFC 9113, section 9.2.1, and a way to make a server work hard.
      constants.SSL_OP_NO_RENEGOTIATION |
      (ciphers === undefined ? constants.SSL_OP_PRIORITIZE_CHACHA : 0) |
      (ticketKey === false ? constants.SSL_OP_NO_TICKET : 0),
    ...(groups !== undefined && { ecdhCurve: groups }),
    ...(ca !== undefined && { ca }),
    // What a ticket says of a client's certificate counts only where the same is asked of clients.
    sessionIdContext: createHash("sha256")
      .update(clientCertificates?.mode ?? "")
      .update(ca ?? "")
      .digest("hex")
      .slice(0, 32),
    sessionTimeout: settings.sessionSeconds ?? 7200,
    ticketKeys: ticketKey === undefined || ticketKey === false ? ownTicketKey : readTicketKey(read(ticketKey)),
  };
}

function readTicketKey(key: string | Uint8Array): Buffer {
  const bytes = toBuffer(key);
  if (bytes.length === 48) return bytes;
  throw ProxyError.internal("ConfigError", `ticketKey: expected 48 bytes, got ${bytes.length}`);
}

function secureContext(options: SecureContextOptions, where: string): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    const fault = optionFault(cause, { ciphers: options.ciphers, groups: options.ecdhCurve });
    throw ProxyError.internal("ConfigError", fault ?? `${where}: ${(cause as Error).message}`, cause);
  }
}

function toBuffer(bytes: string | Uint8Array): Buffer {
  if (typeof bytes === "string") return Buffer.from(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
