import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { checkOptionNames, checkOptionType, shown } from "@sluice/core";
import * as der from "./der.ts";

// X.509 certificates (RFC 5280), for tests and for development. The libraries for it on npm are either larger than all that Sluice depends
// on, or cannot make ECDSA keys; what is needed here is a page, and OpenSSL checks it in the tests.

/** How a certificate is to be. */
export interface CertificateOptions {
  /** Whom it is for: DNS names, wildcards, IP addresses and URIs. Default: nobody. */
  readonly names?: readonly string[];
  /** Default: the first of `names`, else `test`. */
  readonly commonName?: string;
  /** What it can be used for. Default `server`. */
  readonly usage?: "server" | "client" | "ca";
  /** Default `ec`: ECDSA on P-256. `rsa`: 2048 bits, which take a moment to be made. */
  readonly keyType?: "ec" | "rsa";
  /** When it begins, in days from now; negative ones lie in the past. Default -1: clocks differ. */
  readonly fromDays?: number;
  /** When it ends. Default 30. */
  readonly toDays?: number;
}

/** A certificate and its key, in PEM. */
export interface MadeCertificate {
  /** The chain: the certificate first, then the authorities below the root. */
  readonly cert: string;
  readonly key: string;
}

/** Issues certificates. */
export interface CertificateAuthority {
  /** Its own certificate, in PEM: to be trusted. */
  readonly cert: string;
  issue(options?: CertificateOptions): MadeCertificate;
  /** An authority that has its certificate from this one. */
  intermediate(commonName: string): CertificateAuthority;
}

/**
 * A certificate that nobody but itself has signed: for development, where clients are told not to look, or to trust it. A key in
 * memory that nobody else has; whoever keeps it in a file makes that unreadable for others.
 */
export function selfSignedCertificate(options: CertificateOptions = {}): MadeCertificate {
  checkOptions("selfSignedCertificate", options);
  const keys = newKeys(options.keyType);
  return { cert: issued(options, keys, { subject: subjectOf(options), keys }), key: keyPem(keys) };
}

/** A new authority with a root of its own. */
export function certificateAuthority(
  commonName: string = "Test root",
  options: CertificateOptions = {},
): CertificateAuthority {
  checkOptions("certificateAuthority", options);
  const keys = newKeys(options.keyType);
  const described: CertificateOptions = { ...options, commonName, usage: "ca" };
  const issuer: Issuer = { subject: subjectOf(described), keys };
  return authority(issuer, issued(described, keys, issuer), "");
}

const OPTION_NAMES = ["names", "commonName", "usage", "keyType", "fromDays", "toDays"];

const CHOICES = { usage: ["server", "client", "ca"], keyType: ["ec", "rsa"] } as const;

/** @throws TypeError for an option that is not known or of another type, RangeError for days that are no number. */
function checkOptions(what: string, options: CertificateOptions): void {
  checkOptionNames(what, options, OPTION_NAMES);
  const { names, commonName } = options;
  if (names !== undefined && !(Array.isArray(names) && names.every((name) => typeof name === "string"))) {
    throw new TypeError(`${what}: names: expected an array of names, got ${shown(names)}`);
  }
  checkOptionType(what, "commonName", commonName, "string");
  for (const name of ["usage", "keyType"] as const) {
    const given = options[name];
    if (given === undefined || (CHOICES[name] as readonly string[]).includes(given)) continue;
    throw new TypeError(`${what}: ${name}: expected one of ${CHOICES[name].join(", ")}, got ${shown(given)}`);
  }
  for (const name of ["fromDays", "toDays"] as const) {
    const days: unknown = options[name];
    if (days === undefined || Number.isFinite(days)) continue;
    throw new RangeError(`${what}: ${name}: expected a number of days, got ${shown(days)}`);
  }
}

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Issuer {
  /** In DER. */
  readonly subject: Buffer;
  readonly keys: Keys;
}

/** @param chain What goes behind the certificates that it issues. */
function authority(issuer: Issuer, cert: string, chain: string): CertificateAuthority {
  return {
    cert,
    issue(options = {}) {
      checkOptions("issue", options);
      const keys = newKeys(options.keyType);
      return { cert: issued(options, keys, issuer) + chain, key: keyPem(keys) };
    },
    intermediate(commonName) {
      const keys = newKeys("ec");
      const options: CertificateOptions = { commonName, usage: "ca" };
      const own = issued(options, keys, issuer);
      return authority({ subject: subjectOf(options), keys }, own, own + chain);
    },
  };
}

/** The certificate in PEM. */
function issued(options: CertificateOptions, keys: Keys, issuer: Issuer): string {
  const { names = [], usage = "server", fromDays = -1, toDays = 30 } = options;
  const algorithm = signatureAlgorithm(issuer.keys);
  const toBeSigned = der.sequence(
    der.tagged(0xa0, der.integer(2)), // Version 3.
    der.integer(serialNumber()),
    algorithm,
    issuer.subject,
    der.sequence(der.time(inDays(fromDays)), der.time(inDays(toDays))),
    subjectOf(options),
    keys.publicKey.export({ type: "spki", format: "der" }),
    der.tagged(0xa3, der.sequence(...extensions(usage, names, keys, issuer))),
  );
  const signature = sign("sha256", toBeSigned, issuer.keys.privateKey);
  const certificate = der.sequence(toBeSigned, algorithm, der.bitString(signature));
  const lines = certificate.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function extensions(usage: "server" | "client" | "ca", names: readonly string[], keys: Keys, issuer: Issuer): Buffer[] {
  const isCa = usage === "ca";
  const list = [
    extension("2.5.29.19", true, der.sequence(...(isCa ? [der.boolean(true)] : []))), // Basic constraints.
    // Key usage: keyCertSign and cRLSign, or digitalSignature.
    extension("2.5.29.15", true, isCa ? der.bitString(Buffer.of(0x06), 1) : der.bitString(Buffer.of(0x80), 7)),
    extension("2.5.29.14", false, der.octetString(keyId(keys))),
    extension("2.5.29.35", false, der.sequence(der.tagged(0x80, keyId(issuer.keys)))),
  ];
  if (!isCa) {
    const purpose = usage === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
    list.push(extension("2.5.29.37", false, der.sequence(der.objectId(purpose))));
  }
  if (names.length > 0) list.push(extension("2.5.29.17", false, der.sequence(...names.map(generalName))));
  return list;
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return der.sequence(der.objectId(id), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
}

function generalName(name: string): Buffer {
  if (isIP(name) !== 0) return der.tagged(0x87, addressBytes(name));
  return der.tagged(name.includes("://") ? 0x86 : 0x82, Buffer.from(name));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = [], tail = []] = address.split("::").map((side) => side.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return Buffer.from([...head, ...zeros, ...tail].map((group) => group.padStart(4, "0")).join(""), "hex");
}

function subjectOf({ commonName, names = [] }: CertificateOptions): Buffer {
  const name = der.sequence(der.objectId("2.5.4.3"), der.utf8(commonName ?? names[0] ?? "test"));
  return der.sequence(der.set(name));
}

function signatureAlgorithm({ privateKey }: Keys): Buffer {
  return privateKey.asymmetricKeyType === "rsa"
    ? der.sequence(der.objectId("1.2.840.113549.1.1.11"), der.NULL)
    : der.sequence(der.objectId("1.2.840.10045.4.3.2"));
}

function newKeys(keyType: "ec" | "rsa" = "ec"): Keys {
  return keyType === "rsa"
    ? generateKeyPairSync("rsa", { modulusLength: 2048 })
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function keyPem({ privateKey }: Keys): string {
  return privateKey.export({ type: "pkcs8", format: "pem" });
}

/** Any digest of the key will do. */
function keyId({ publicKey }: Keys): Buffer {
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest()
    .subarray(0, 20);
}

/** Positive, and never the same. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

function inDays(days: number): Date {
  return new Date(Date.now() + days * 86_400_000);
}
