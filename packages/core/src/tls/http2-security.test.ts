import { describe, expect, test } from "vitest";
import { tooWeakForHttp2 } from "./http2-security.ts";

const h2 = { alpn: "h2", version: "TLSv1.2" };

describe("HTTP/2", () => {
  test.each([
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
    "TLS_DHE_RSA_WITH_AES_256_CCM",
  ])("may be spoken with %s", (cipher) => {
    expect(tooWeakForHttp2({ ...h2, cipher })).toBeUndefined();
  });

  // Out of RFC 9113, appendix A, one of each kind.
  test.each([
    "TLS_NULL_WITH_NULL_NULL",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DH_anon_WITH_AES_128_GCM_SHA256",
    "TLS_DH_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_RSA_WITH_AES_128_CCM_8",
    "TLS_PSK_WITH_AES_128_GCM_SHA256",
  ])("must not be spoken with %s", (cipher) => {
    expect(tooWeakForHttp2({ ...h2, cipher })).toBe(`HTTP/2 must not be spoken with ${cipher}`);
  });

  test("needs TLS 1.2", () => {
    const cipher = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";
    expect(tooWeakForHttp2({ alpn: "h2", version: "TLSv1.1", cipher })).toMatch(
      /needs TLS 1\.2 at least, not TLSv1\.1/,
    );
  });

  test("may be spoken by TLS 1.3 with any of its ciphers, and HTTP/1 with all", () => {
    expect(tooWeakForHttp2({ alpn: "h2", version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" })).toBeUndefined();
    const cipher = "TLS_RSA_WITH_AES_128_CBC_SHA";
    expect(tooWeakForHttp2({ alpn: "http/1.1", version: "TLSv1.2", cipher })).toBeUndefined();
  });
});
