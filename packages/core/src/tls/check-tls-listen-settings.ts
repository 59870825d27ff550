import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { CertificateNames } from "./certificate-names.ts";
import { TLS_VERSIONS } from "./peer-tls.ts";
import type { TlsCertificate, TlsListenSettings, TlsVersion } from "./tls-listen-settings.ts";

const NAMES: Readonly<Record<keyof TlsListenSettings, true>> = {
  certificates: true,
  resolveCertificate: true,
  unknownName: true,
  reloadMs: true,
  clientCertificates: true,
  minVersion: true,
  maxVersion: true,
  ciphers: true,
  groups: true,
  alpn: true,
  ticketKey: true,
  sessionSeconds: true,
  handshakeMs: true,
};
const CERTIFICATE_NAMES: Readonly<Record<keyof TlsCertificate, true>> = {
  cert: true,
  key: true,
  passphrase: true,
  names: true,
  ocsp: true,
};

/** @throws TypeError or RangeError naming the setting that cannot be, and what was expected. */
export function checkTlsListenSettings(what: string, settings: TlsListenSettings): void {
  checkOptionNames(what, settings, Object.keys(NAMES));
  const { certificates = [], resolveCertificate, clientCertificates, unknownName, ticketKey, alpn } = settings;
  if (!Array.isArray(certificates)) {
    throw new TypeError(`certificates: expected an array, got ${shown(certificates)}`);
  }
  certificates.forEach((certificate: TlsCertificate, at: number) =>
    checkCertificate(`certificates[${at}]`, certificate),
  );
  if (resolveCertificate !== undefined && typeof resolveCertificate !== "function") {
    throw new TypeError(`resolveCertificate: expected a function, got ${shown(resolveCertificate)}`);
  }
  if (certificates.length === 0 && resolveCertificate === undefined) {
    throw new TypeError(`${what}: TLS needs certificates or resolveCertificate`);
  }
  if (unknownName !== undefined && unknownName !== "default" && unknownName !== "refuse") {
    throw new TypeError(`unknownName: expected "default" or "refuse", got ${shown(unknownName)}`);
  }
  if (clientCertificates !== undefined) {
    checkOptionNames("clientCertificates", clientCertificates, ["mode", "ca"]);
    const { mode, ca } = clientCertificates;
    if (mode !== "request" && mode !== "require") {
      throw new TypeError(`clientCertificates.mode: expected "request" or "require", got ${shown(mode)}`);
    }
    checkSource("clientCertificates.ca", ca);
  }
  checkVersions(settings.minVersion, settings.maxVersion);
  for (const name of ["ciphers", "groups"] as const) {
    if (settings[name] === undefined || typeof settings[name] === "string") continue;
    throw new TypeError(`${name}: expected a string, got ${shown(settings[name])}`);
  }
  if (ticketKey !== undefined && ticketKey !== false) checkTicketKey(ticketKey);
  if (alpn !== undefined && !(Array.isArray(alpn) && alpn.every(isProtocolName))) {
    throw new TypeError("alpn: expected an array of protocol names of 1 to 255 bytes");
  }
  for (const name of ["reloadMs", "handshakeMs", "sessionSeconds"] as const) {
    const value = settings[name];
    if (value === undefined || (typeof value === "number" && value >= 0 && value <= 2_147_483_647)) continue;
    throw new RangeError(`${name}: expected a number from 0 to 2147483647, got ${shown(value)}`);
  }
}

function checkCertificate(where: string, certificate: TlsCertificate): void {
  if (typeof certificate !== "object" || certificate === null) {
    throw new TypeError(`${where}: expected { cert, key }, got ${shown(certificate)}`);
  }
  checkOptionNames(where, certificate, Object.keys(CERTIFICATE_NAMES));
  const { cert, key, names, ocsp } = certificate;
  checkSource(`${where}.cert`, cert);
  checkSource(`${where}.key`, key);
  checkOptionType(where, "passphrase", certificate.passphrase, "string");
  if (names !== undefined && !(Array.isArray(names) && names.length > 0)) {
    throw new TypeError(`${where}.names: expected an array of names`);
  }
  for (const name of names ?? []) {
    if (typeof name === "string" && CertificateNames.isName(name)) continue;
    throw new TypeError(`${where}.names: expected names such as a.test or *.a.test, got ${shown(name)}`);
  }
  if (ocsp === undefined || typeof ocsp === "function" || ocsp instanceof Uint8Array) return;
  if (typeof ocsp?.file !== "string") {
    throw new TypeError(`${where}.ocsp: expected bytes, { file } or a function, got ${shown(ocsp)}`);
  }
}

function checkSource(where: string, source: unknown): void {
  if (source instanceof Uint8Array) return;
  if (typeof source === "string") {
    if (source.includes("-----BEGIN ")) return;
    throw new TypeError(`${where}: expected PEM, got a text without -----BEGIN; a path is given as { file: "…" }`);
  }
  if (typeof (source as { file?: unknown } | null | undefined)?.file === "string") return;
  throw new TypeError(`${where}: expected PEM (a string or bytes) or { file }, got ${shown(source)}`);
}

function checkTicketKey(ticketKey: unknown): void {
  if (ticketKey instanceof Uint8Array) {
    if (ticketKey.length === 48) return;
    throw new RangeError(`ticketKey: expected 48 bytes, got ${ticketKey.length}`);
  }
  if (typeof (ticketKey as { file?: unknown } | null)?.file === "string") return;
  throw new TypeError(`ticketKey: expected 48 bytes, { file } or false, got ${shown(ticketKey)}`);
}

function checkVersions(min: TlsVersion = "1.2", max: TlsVersion = "1.3"): void {
  for (const [name, version] of [
    ["minVersion", min],
    ["maxVersion", max],
  ] as const) {
    if (TLS_VERSIONS.includes(version)) continue;
    throw new RangeError(`${name}: expected one of ${TLS_VERSIONS.map(shown).join(", ")}, got ${shown(version)}`);
  }
  if (TLS_VERSIONS.indexOf(min) <= TLS_VERSIONS.indexOf(max)) return;
  throw new RangeError(`minVersion: expected at most maxVersion, which is ${max}, got ${min}`);
}

function isProtocolName(name: unknown): boolean {
  return typeof name === "string" && name.length > 0 && Buffer.byteLength(name) <= 255;
}
