import { createHash } from "node:crypto";
import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import type { TlsVersion } from "./tls-listen-settings.ts";

/** A certificate that we show to upstreams, and its key, in PEM. */
export interface ClientCertificate {
  /** The chain, our own certificate first. */
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  readonly passphrase?: string;
}

/** What a peer asks of TLS, beside its name; without effect unless `tls` is set. */
export interface PeerTlsOptions {
  /**
   * Whether its certificate must come from an authority that is trusted, and be valid now. Default true. `false` lets anybody between
   * us and the upstream read and change everything; names are not looked at either then.
   */
  verifyCert?: boolean;
  /** Whether its certificate must be for the name: `sni`, else the host of the address, or `alternativeCn`. Default true. */
  verifyHostname?: boolean;
  /** Another name that its certificate may be for, a DNS name or an IP address. Default: none. */
  alternativeCn?: string;
  /** The authorities that are trusted, in PEM, instead of those that the TLS package trusts. */
  ca?: string | Uint8Array;
  /** What we show if the upstream asks for it. Default: nothing. Hand over the same object each time: it is read once. */
  clientCert?: ClientCertificate;
  /** Key exchange groups, preferred first: `X25519MLKEM768:X25519`. Default: the provider's. */
  groups?: string;
  /** Cipher suites in OpenSSL's notation. Default: the provider's, without what is weak. */
  ciphers?: string;
  /** The oldest version of TLS to speak. Default `1.2`. */
  minTlsVersion?: TlsVersion;
  /** The newest. Default `1.3`. */
  maxTlsVersion?: TlsVersion;
}

export const PEER_TLS_OPTION_NAMES: readonly (keyof PeerTlsOptions)[] = [
  "verifyCert",
  "verifyHostname",
  "alternativeCn",
  "ca",
  "clientCert",
  "groups",
  "ciphers",
  "minTlsVersion",
  "maxTlsVersion",
];

export const TLS_VERSIONS: readonly TlsVersion[] = ["1.0", "1.1", "1.2", "1.3"];

/** {@link PeerTlsOptions} as they count. */
export class PeerTls {
  /** Of a peer that asks for nothing. */
  static readonly NONE: PeerTls = new PeerTls({}, "");

  readonly verifyCert: boolean;
  readonly verifyHostname: boolean;
  readonly alternativeCn: string | undefined;
  readonly ca: string | Uint8Array | undefined;
  readonly clientCert: ClientCertificate | undefined;
  readonly groups: string | undefined;
  readonly ciphers: string | undefined;
  readonly minTlsVersion: TlsVersion;
  readonly maxTlsVersion: TlsVersion;
  /**
   * All of it as a text: whoever asks for the same has the same. Certificates and keys stand in it by their digests. "" for one that
   * asks for nothing.
   */
  readonly key: string;

  /** @throws TypeError or RangeError for an option that cannot be. */
  constructor(options: PeerTlsOptions, key: string) {
    this.verifyCert = options.verifyCert ?? true;
    this.verifyHostname = options.verifyHostname ?? true;
    this.alternativeCn = options.alternativeCn;
    this.ca = options.ca;
    this.clientCert = options.clientCert;
    this.groups = options.groups;
    this.ciphers = options.ciphers;
    this.minTlsVersion = options.minTlsVersion ?? "1.2";
    this.maxTlsVersion = options.maxTlsVersion ?? "1.3";
    this.key = key;
    if (TLS_VERSIONS.indexOf(this.minTlsVersion) > TLS_VERSIONS.indexOf(this.maxTlsVersion)) {
      throw new RangeError(
        `HttpPeer: minTlsVersion: expected at most maxTlsVersion, ${this.maxTlsVersion}, got ${this.minTlsVersion}`,
      );
    }
  }

  /** @throws TypeError or RangeError for an option that cannot be. */
  static of(options: PeerTlsOptions): PeerTls {
    // What is the same as before was checked before.
    if (isAskedBy(options, PeerTls.NONE)) return PeerTls.NONE;
    if (latest !== undefined && isAskedBy(options, latest)) return latest;
    checkOptions(options);
    const { ca, clientCert } = options;
    const key = JSON.stringify([
      options.verifyCert ?? true,
      options.verifyHostname ?? true,
      options.alternativeCn ?? "",
      ca === undefined ? "" : digestOf(ca),
      clientCert === undefined ? "" : `${digestOf(clientCert.cert)} ${digestOf(clientCert.key)}`,
      options.groups ?? "",
      options.ciphers ?? "",
      options.minTlsVersion ?? "1.2",
      options.maxTlsVersion ?? "1.3",
    ]);
    let peerTls = made.get(key);
    if (peerTls === undefined) {
      peerTls = new PeerTls(options, key);
      if (made.size >= MAX_MADE) made.clear();
      made.set(key, peerTls);
    }
    latest = peerTls;
    return peerTls;
  }
}

/** Of the peer before, whose options those of the next one often are. */
let latest: PeerTls | undefined;

/** Whether `known` is what these options ask for, told without a look into certificates and keys. Not so is no answer. */
function isAskedBy(options: PeerTlsOptions, known: PeerTls): boolean {
  return (
    isSame(options.verifyCert, true, known.verifyCert) &&
    isSame(options.verifyHostname, true, known.verifyHostname) &&
    options.alternativeCn === known.alternativeCn &&
    options.ca === known.ca &&
    options.clientCert === known.clientCert &&
    options.groups === known.groups &&
    options.ciphers === known.ciphers &&
    isSame(options.minTlsVersion, "1.2", known.minTlsVersion) &&
    isSame(options.maxTlsVersion, "1.3", known.maxTlsVersion)
  );
}

/** `null`, say, is nothing that could be meant, and is left to the checks. */
function isSame<Value>(given: Value | undefined, otherwise: Value, known: Value): boolean {
  return (given === undefined ? otherwise : given) === known;
}

/** Those that were asked for lately: a peer is often made anew for every request. */
const made = new Map<string, PeerTls>();
const MAX_MADE = 1024;

/** Digests of texts and bytes that were seen lately: to hash a bundle of authorities takes a millisecond. */
const textDigests = new Map<string, string>();
const MAX_TEXTS = 256;
const byteDigests = new WeakMap<Uint8Array, string>();

function digestOf(pem: string | Uint8Array): string {
  let digest = typeof pem === "string" ? textDigests.get(pem) : byteDigests.get(pem);
  if (digest !== undefined) return digest;
  digest = createHash("sha256").update(pem).digest("base64url");
  if (typeof pem === "string") {
    if (textDigests.size >= MAX_TEXTS) textDigests.clear();
    textDigests.set(pem, digest);
  } else {
    byteDigests.set(pem, digest);
  }
  return digest;
}

function checkOptions(options: PeerTlsOptions): void {
  for (const name of ["verifyCert", "verifyHostname"] as const)
    checkOptionType("HttpPeer", name, options[name], "boolean");
  for (const name of ["alternativeCn", "groups", "ciphers"] as const)
    checkOptionType("HttpPeer", name, options[name], "string");
  for (const name of ["minTlsVersion", "maxTlsVersion"] as const) {
    const version = options[name];
    if (version === undefined || TLS_VERSIONS.includes(version)) continue;
    throw new RangeError(
      `HttpPeer: ${name}: expected one of ${TLS_VERSIONS.map(shown).join(", ")}, got ${shown(version)}`,
    );
  }
  checkPem("ca", options.ca);
  if (options.clientCert !== undefined) checkClientCertificate(options.clientCert);
}

/** Those that were looked at: the same object is handed over for every request. */
const checked = new WeakSet<ClientCertificate>();

function checkClientCertificate(clientCert: ClientCertificate): void {
  if (typeof clientCert !== "object" || clientCert === null) {
    throw new TypeError(`HttpPeer: clientCert: expected { cert, key }, got ${shown(clientCert)}`);
  }
  if (checked.has(clientCert)) return;
  checkOptionNames("HttpPeer: clientCert", clientCert, ["cert", "key", "passphrase"]);
  for (const name of ["cert", "key"] as const) {
    if (clientCert[name] === undefined) throw new TypeError(`HttpPeer: clientCert: it has no ${name}`);
    checkPem(`clientCert.${name}`, clientCert[name]);
  }
  checkOptionType("HttpPeer: clientCert", "passphrase", clientCert.passphrase, "string");
  checked.add(clientCert);
}

function checkPem(name: string, value: unknown): void {
  if (value === undefined || (value instanceof Uint8Array && value.length > 0)) return;
  if (typeof value === "string" && value.includes("-----BEGIN ")) return;
  const got = typeof value === "string" ? "a text without -----BEGIN" : shown(value);
  throw new TypeError(`HttpPeer: ${name}: expected PEM, its text or bytes, got ${got}`);
}
