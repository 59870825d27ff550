import type { PeerOptions, TlsProvider } from "@sluice/core";
import { describe, expect, test } from "vitest";
import {
  certificateAuthority,
  selfSignedCertificate,
  type MadeCertificate,
} from "../../certificates/make-certificate.ts";
import { connecting, tlsOrigin } from "./connecting.ts";

/** Whom a client believes. */
export function verificationContract(create: () => TlsProvider): void {
  /** What comes of connecting to an origin with that certificate. */
  const outcome = async (certificate: MadeCertificate, options: PeerOptions): Promise<unknown> => {
    await using origin = await tlsOrigin(certificate);
    try {
      using _connection = await connecting(create(), origin.address, options);
      return "connected";
    } catch (error) {
      return error;
    }
  };

  describe("the certificate of an upstream", () => {
    const ca = certificateAuthority();
    const good = ca.issue({ names: ["a.test", "*.b.test", "127.0.0.1"] });

    test.each<[string, PeerOptions]>([
      ["its name", { sni: "a.test" }],
      ["its name in other letters", { sni: "A.TEST" }],
      ["a name under its wildcard", { sni: "x.b.test" }],
      ["its address", {}],
      ["its address, and no name sent", { sni: "" }],
      ["another name that it may have", { sni: "c.test", alternativeCn: "a.test" }],
      ["another address that it may have", { sni: "c.test", alternativeCn: "127.0.0.1" }],
      ["a name with an underscore, which no certificate can be for", { sni: "x_y.b.test" }],
      ["any name, if names are not verified", { sni: "c.test", verifyHostname: false }],
    ])("fits %s", async (_name, options) => {
      expect(await outcome(good, { ca: ca.cert, ...options })).toBe("connected");
    });

    test.each<[string, PeerOptions]>([
      ["another name", { sni: "c.test" }],
      ["the name above its wildcard", { sni: "b.test" }],
      ["two labels under its wildcard", { sni: "x.y.b.test" }],
      ["a name under its name", { sni: "x.a.test" }],
      ["another name, nor yet another", { sni: "c.test", alternativeCn: "d.test" }],
    ])("does not fit %s", async (_name, options) => {
      const error = await outcome(good, { ca: ca.cert, ...options });
      expect(error).toMatchObject({ source: "upstream", type: "InvalidCert", detail: "cert-name" });
      // Both what was wanted and what was offered.
      expect((error as Error).message).toContain(options.sni);
      expect((error as Error).message).toContain("a.test, *.b.test, 127.0.0.1");
    });

    test("names in its subject alone do not count", async () => {
      const error = await outcome(ca.issue({ commonName: "a.test" }), { sni: "a.test", ca: ca.cert });
      expect(error).toMatchObject({ type: "InvalidCert", detail: "cert-name" });
      expect((error as Error).message).toContain("CN=a.test");
    });

    const expired = ca.issue({ names: ["a.test"], fromDays: -20, toDays: -10 });
    const early = ca.issue({ names: ["a.test"], fromDays: 10, toDays: 20 });
    const alone = selfSignedCertificate({ names: ["a.test"] });
    const forClients = ca.issue({ names: ["a.test"], usage: "client" });
    const below = ca.intermediate("Below").issue({ names: ["a.test"] });
    const incomplete = { ...below, cert: below.cert.slice(0, below.cert.indexOf("-----BEGIN", 1)) };

    test.each<[string, MadeCertificate, string, RegExp]>([
      ["that has expired", expired, "cert-expired", /expired on \d{4}-\d\d-\d\dT/],
      ["that is not valid yet", early, "cert-not-yet-valid", /valid from \d{4}-\d\d-\d\dT/],
      ["that is self-signed", alone, "cert-self-signed", /self-signed/],
      [
        "of an authority that is not known",
        certificateAuthority("Others").issue({ names: ["a.test"] }),
        "cert-unknown-issuer",
        /Others/,
      ],
      ["without its intermediates", incomplete, "cert-unknown-issuer", /Below/],
      ["that is one for clients", forClients, "cert-purpose", /extended key usage/],
    ])("%s is not believed, unless nothing is verified", async (_name, certificate, detail, message) => {
      const error = await outcome(certificate, { sni: "a.test", ca: ca.cert });
      expect(error).toMatchObject({ source: "upstream", type: "InvalidCert", detail });
      expect((error as Error).message).toMatch(message);
      expect(await outcome(certificate, { sni: "a.test", ca: ca.cert, verifyHostname: false })).toMatchObject({
        detail,
      });
      expect(await outcome(certificate, { sni: "a.test", verifyCert: false })).toBe("connected");
      expect(await outcome(certificate, { sni: "c.test", verifyCert: false })).toBe("connected");
    });

    test("what did not verify says so, where it is let through", async () => {
      await using origin = await tlsOrigin(alone);
      using connection = await connecting(create(), origin.address, { sni: "a.test", verifyCert: false });
      expect(connection.digest.peerCertificate).toMatchObject({
        verified: false,
        verifyError: expect.any(String) as string,
      });
    });

    test("with its intermediates is believed", async () => {
      expect(await outcome(below, { sni: "a.test", ca: ca.cert })).toBe("connected");
    });

    test("that is self-signed is believed if it is trusted", async () => {
      expect(await outcome(alone, { sni: "a.test", ca: alone.cert })).toBe("connected");
    });

    test("only those that the peer names are trusted", async () => {
      expect(await outcome(good, { sni: "a.test" })).toMatchObject({ detail: "cert-unknown-issuer" });
      expect(await outcome(good, { sni: "a.test", ca: certificateAuthority().cert })).toMatchObject({
        detail: "cert-unknown-issuer",
      });
    });
  });
}
