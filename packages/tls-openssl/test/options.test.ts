import { opensslTls, opensslTlsFor, selfSignedCertificate } from "@sluice/tls-openssl";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { expect, test } from "vitest";

/** What the compiler refuses, without the compiler. */
const any = (value: unknown): never => value as never;
const conf = { ca_file: undefined, upstream_debug_ssl_keylog: false } as never;
const { cert, key } = selfSignedCertificate({ names: ["a.test"] });

test.each<[make: () => unknown, message: string]>([
  [() => opensslTls(any({ maxSession: 1 })), "opensslTls: unknown option maxSession; did you mean maxSessions?"],
  [() => opensslTls(any({ ca: 5 })), "opensslTls: ca: expected PEM, its text or bytes, got 5"],
  [() => opensslTls(any({ keyLogFile: true })), "opensslTls: keyLogFile: expected a path or false, got true"],
  [() => opensslTls(any({ maxSessions: "9" })), 'opensslTls: maxSessions: expected an integer of at least 0, got "9"'],
  [() => opensslTls(any({ clientCert: cert })), "opensslTls: clientCert: expected an object of options"],
  [() => opensslTls(any({ clientCert: { cert } })), "opensslTls: clientCert.key: expected PEM, its text or bytes"],
  [() => opensslTls(any({ clientCert: { cert, key, pass: "a" } })), "opensslTls: clientCert: unknown option pass"],
  [
    () => opensslTls(any({ clientCert: { cert, key, passphrase: 5 } })),
    "opensslTls: clientCert: passphrase: expected a string, got 5",
  ],
  [() => opensslTlsFor(conf, any({ ca: cert })), "opensslTlsFor: unknown option ca"],
  [() => opensslTlsFor(conf, any({ maxSesions: 1 })), "opensslTlsFor: unknown option maxSesions; did you mean"],
  [() => selfSignedCertificate(any({ names: [5] })), "selfSignedCertificate: names: expected an array of names"],
  [
    () => selfSignedCertificate(any({ usage: "both" })),
    'selfSignedCertificate: usage: expected one of server, client, ca, got "both"',
  ],
  [() => selfSignedCertificate(any({ keyType: "ed25519" })), "keyType: expected one of ec, rsa"],
  [() => selfSignedCertificate(any({ commonName: 5 })), "commonName: expected a string, got 5"],
  [() => selfSignedCertificate(any({ toDays: "30" })), 'toDays: expected a number of days, got "30"'],
  [() => certificateAuthority("Root", any({ keytype: "rsa" })), "certificateAuthority: unknown option keytype"],
  [() => certificateAuthority().issue(any({ name: "a" })), "issue: unknown option name; did you mean names?"],
])("options that cannot be are refused at once: %s", (make, message) => {
  expect(make).toThrow(message);
});
