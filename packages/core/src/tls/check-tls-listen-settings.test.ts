import { expect, test } from "vitest";
import { checkTlsListenSettings } from "./check-tls-listen-settings.ts";

const PEM = "-----BEGIN CERTIFICATE-----\n";
const certificates = [{ cert: PEM, key: PEM }];

test("what can be is taken", () => {
  const settings = {
    certificates: [{ cert: { file: "/a" }, key: Buffer.from(PEM), names: ["*.a.test"], ocsp: { file: "/b" } }],
    clientCertificates: { mode: "require", ca: PEM },
    ticketKey: Buffer.alloc(48),
    alpn: ["h2"],
    handshakeMs: 0,
  } as const;
  expect(() => checkTlsListenSettings("test", settings)).not.toThrow();
});

test.each<[object, RegExp]>([
  [{}, /TLS needs certificates or resolveCertificate/],
  [{ certificate: certificates }, /unknown option certificate; did you mean certificates\?/],
  [{ certificates: certificates[0] }, /certificates: expected an array/],
  [{ certificates: ["/etc/a.pem"] }, /certificates\[0\]: expected \{ cert, key \}/],
  [{ certificates: [{ cert: "/etc/a.pem", key: PEM }] }, /certificates\[0\]\.cert: .* a path is given as \{ file/],
  [{ certificates: [{ cert: PEM }] }, /certificates\[0\]\.key: expected PEM/],
  [{ certificates: [{ ...certificates[0], names: ["a b"] }] }, /certificates\[0\]\.names: .*got "a b"/],
  [{ certificates: [{ ...certificates[0], ocsp: true }] }, /certificates\[0\]\.ocsp: /],
  [{ resolveCertificate: true }, /resolveCertificate: expected a function/],
  [{ certificates, unknownName: "reject" }, /unknownName: expected "default" or "refuse"/],
  [{ certificates, clientCertificates: { mode: "optional", ca: PEM } }, /clientCertificates\.mode: /],
  [{ certificates, clientCertificates: { mode: "require" } }, /clientCertificates\.ca: /],
  [{ certificates, minVersion: "1.3", maxVersion: "1.2" }, /minVersion: expected at most maxVersion/],
  [{ certificates, maxVersion: "2" }, /maxVersion: expected one of/],
  [{ certificates, ciphers: ["A"] }, /ciphers: expected a string/],
  [{ certificates, ticketKey: Buffer.alloc(32) }, /ticketKey: expected 48 bytes, got 32/],
  [{ certificates, ticketKey: "secret" }, /ticketKey: expected 48 bytes, \{ file \} or false/],
  [{ certificates, alpn: "h2" }, /alpn: expected an array/],
  [{ certificates, alpn: [""] }, /alpn: expected an array/],
  [{ certificates, handshakeMs: -1 }, /handshakeMs: expected a number from 0/],
])("%j is an error", (settings, message) => {
  expect(() => checkTlsListenSettings("test", settings)).toThrow(message);
});
