import { describe, expect, test } from "vitest";
import { HttpPeer, type PeerOptions } from "../upstreams/http-peer.ts";
import { PeerTls } from "./peer-tls.ts";

const CA = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
const OTHER_CA = "-----BEGIN CERTIFICATE-----\nYg==\n-----END CERTIFICATE-----\n";

test("verifies by default", () => {
  const { tlsOptions } = new HttpPeer("a.test:443", { tls: true });
  expect(tlsOptions).toMatchObject({
    verifyCert: true,
    verifyHostname: true,
    minTlsVersion: "1.2",
    maxTlsVersion: "1.3",
  });
  expect(tlsOptions).toBe(PeerTls.NONE);
});

describe("the reuse key", () => {
  const keyOf = (options: PeerOptions): string => new HttpPeer("10.0.0.1:443", { tls: true, ...options }).reuseKey;
  const base = keyOf({});

  // All that the security of a connection depends on.
  test.each<PeerOptions>([
    { sni: "a.test" },
    { verifyCert: false },
    { verifyHostname: false },
    { alternativeCn: "a.test" },
    { ca: CA },
    { clientCert: { cert: CA, key: CA } },
    { groups: "X25519" },
    { ciphers: "TLS_AES_128_GCM_SHA256" },
    { minTlsVersion: "1.3" },
    { maxTlsVersion: "1.2" },
  ])("tells %j from nothing", (options) => {
    expect(keyOf(options)).not.toBe(base);
    expect(keyOf(options)).toBe(keyOf({ ...options }));
  });

  test("tells authorities by their content, text or bytes", () => {
    expect(keyOf({ ca: CA })).not.toBe(keyOf({ ca: OTHER_CA }));
    expect(keyOf({ ca: CA })).toBe(keyOf({ ca: Buffer.from(CA) }));
    const bytes = Buffer.from(CA);
    expect(keyOf({ ca: bytes })).toBe(keyOf({ ca: bytes }));
  });

  test("tells client certificates by certificate and key", () => {
    const one = keyOf({ clientCert: { cert: CA, key: CA } });
    expect(keyOf({ clientCert: { cert: OTHER_CA, key: CA } })).not.toBe(one);
    expect(keyOf({ clientCert: { cert: CA, key: OTHER_CA } })).not.toBe(one);
  });

  test("does not tell what is the default from nothing", () => {
    expect(keyOf({ verifyCert: true, minTlsVersion: "1.2" })).toBe(base);
    expect(keyOf({ ca: CA, maxTlsVersion: "1.3" })).toBe(keyOf({ ca: CA }));
  });

  test.each(["verifyCert", "verifyHostname", "minTlsVersion", "ca", "groups"])(
    "null for %s is refused, also behind a peer that is alike",
    (name) => {
      keyOf({ ca: CA });
      expect(() => keyOf({ ca: CA, [name]: null })).toThrow(`HttpPeer: ${name}: expected`);
    },
  );

  test("what is meant for TLS does not matter on plaintext", () => {
    expect(new HttpPeer("10.0.0.1:80", { verifyCert: false, ca: CA }).reuseKey).toBe("10.0.0.1:80");
  });

  test("holds no key and no certificate", () => {
    expect(keyOf({ ca: CA, clientCert: { cert: CA, key: CA } })).not.toContain("BEGIN");
  });
});

test.each<[object, RegExp]>([
  [{ verifyCert: "no" }, /HttpPeer: verifyCert: expected true or false, got "no"/],
  [{ alternativeCn: 5 }, /alternativeCn: expected a string, got 5/],
  [{ ca: "/etc/ca.pem" }, /ca: expected PEM.*without -----BEGIN/],
  [{ clientCert: { cert: CA } }, /clientCert: it has no key/],
  [{ clientCert: CA }, /clientCert: expected \{ cert, key \}/],
  [
    { clientCert: { cert: CA, key: CA, pasphrase: "a" } },
    /clientCert: unknown option pasphrase; did you mean passphrase/,
  ],
  [{ clientCert: { cert: CA, key: CA, passphrase: 5 } }, /clientCert: passphrase: expected a string, got 5/],
  [{ minTlsVersion: "TLSv1.2" }, /minTlsVersion: expected one of "1\.0", "1\.1", "1\.2", "1\.3", got "TLSv1\.2"/],
  [{ minTlsVersion: "1.3", maxTlsVersion: "1.2" }, /minTlsVersion: expected at most maxTlsVersion, 1\.2, got 1\.3/],
])("%j is an error", (options, message) => {
  expect(() => new HttpPeer("a.test:443", { tls: true, ...options })).toThrow(message);
});
