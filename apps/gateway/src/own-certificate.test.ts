import { X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { selfSignedCertificate } from "@sluice/tls-openssl";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ownCertificate } from "./own-certificate.ts";

const NAMES = ["localhost", "127.0.0.1"];

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "own-certificate-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function certificate(): X509Certificate {
  return new X509Certificate(readFileSync(path.join(folder, "cert.pem")));
}

test("is made once, for its names, with a key for its owner alone", () => {
  const files = ownCertificate(path.join(folder, "new"), NAMES);
  expect(files).toEqual({ cert: path.join(folder, "new/cert.pem"), key: path.join(folder, "new/key.pem") });
  const there = new X509Certificate(readFileSync(files.cert));
  expect([there.checkHost("localhost"), there.checkIP("127.0.0.1")]).toEqual(["localhost", "127.0.0.1"]);
  expect(Date.parse(there.validTo) - Date.now()).toBeGreaterThan(300 * 86_400_000);
  expect(statSync(files.key).mode & 0o777).toBe(0o600);

  ownCertificate(path.join(folder, "new"), NAMES);
  expect(new X509Certificate(readFileSync(files.cert)).fingerprint256).toBe(there.fingerprint256);
});

describe("is made anew", () => {
  const { cert: otherCert, key: otherKey } = selfSignedCertificate({ names: NAMES, toDays: 300 });
  test.for([
    ["when it is about to end", selfSignedCertificate({ names: NAMES, toDays: 6 })],
    ["when it does not cover the names", selfSignedCertificate({ names: ["localhost"], toDays: 300 })],
    ["when the key is that of another", { cert: otherCert, key: selfSignedCertificate({ names: NAMES }).key }],
    ["when it cannot be read", { cert: "-----BEGIN", key: otherKey }],
  ] as const)("%s", ([, { cert, key }]) => {
    writeFileSync(path.join(folder, "cert.pem"), cert);
    writeFileSync(path.join(folder, "key.pem"), key);
    chmodSync(path.join(folder, "key.pem"), 0o644);
    ownCertificate(folder, NAMES);
    expect(readFileSync(path.join(folder, "cert.pem"), "utf8")).not.toBe(cert);
    expect(certificate().checkIP("127.0.0.1")).toBe("127.0.0.1");
    expect(statSync(path.join(folder, "key.pem")).mode & 0o777).toBe(0o600);
  });
});
