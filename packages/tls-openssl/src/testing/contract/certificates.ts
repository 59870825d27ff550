import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { configureLogs, observe, tlsChannels, type TlsProvider, type TlsReloadedMessage } from "@sluice/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { selfSignedCertificate, type MadeCertificate } from "../../certificates/make-certificate.ts";
import { accepting } from "./accepting.ts";

/** Which certificate a client is shown. */
export function certificatesContract(create: () => TlsProvider): void {
  describe("certificates by name", () => {
    const first = selfSignedCertificate({ names: ["first.test"] });
    const exact = selfSignedCertificate({ names: ["www.a.test"] });
    const wildcard = selfSignedCertificate({ names: ["*.a.test"] });

    test.each([
      ["an exact name wins over a wildcard", "www.a.test", "www.a.test"],
      ["case does not matter", "WWW.a.TEST", "www.a.test"],
      ["a wildcard stands for one label", "other.a.test", "*.a.test"],
      ["and for one only", "x.other.a.test", "first.test"],
      ["and not for none", "a.test", "first.test"],
      ["the first serves all other names", "unknown.test", "first.test"],
    ])("%s", async (_name, servername, shown) => {
      await using server = await accepting(create(), { certificates: [first, wildcard, exact] });
      expect(shownTo(await server.client({ servername }))).toBe(shown);
      expect((await server.secured()).digest.serverName?.toLowerCase()).toBe(servername.toLowerCase());
    });

    test("names can be given", async () => {
      await using server = await accepting(create(), { certificates: [first, { ...exact, names: ["*.b.test"] }] });
      expect(shownTo(await server.client({ servername: "x.b.test" }))).toBe("www.a.test");
      expect(shownTo(await server.client({ servername: "www.a.test" }))).toBe("first.test");
    });

    test("an unknown name can be refused", async () => {
      await using server = await accepting(create(), { certificates: [first], unknownName: "refuse" });
      await expect(server.client({ servername: "unknown.test" })).rejects.toThrow(/unrecognized name/i);
      await expect(server.failed()).resolves.toMatchObject({ source: "downstream", detail: "unknown-name" });
      expect(shownTo(await server.client())).toBe("first.test");
      expect(shownTo(await server.client({ servername: "first.test" }))).toBe("first.test");
    });

    test("keys of two kinds for the same names: the client takes what it can", async () => {
      const certificates = [
        ...ofTwoKinds("first.test"),
        ...ofTwoKinds("second.test"),
        ...ofTwoKinds("third.test").toReversed(),
      ];
      await using server = await accepting(create(), { certificates });
      for (const servername of ["first.test", "second.test", "third.test"]) {
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          const keyType = async (sigalgs: string): Promise<unknown> => {
            const client = await server.client({ servername, sigalgs, maxVersion });
            return client.getPeerX509Certificate()?.publicKey.asymmetricKeyType;
          };
          expect(await keyType("rsa_pss_rsae_sha256")).toBe("rsa");
          expect(await keyType("ecdsa_secp256r1_sha256")).toBe("ec");
        }
      }
    });
  });

  describe("resolveCertificate", () => {
    const fixed = selfSignedCertificate({ names: ["fixed.test"] });

    test("is asked for names without a certificate, and may take its time", async () => {
      const asked: (string | undefined)[] = [];
      const made = selfSignedCertificate({ names: ["later.test"] });
      await using server = await accepting(create(), {
        certificates: [fixed],
        async resolveCertificate(name) {
          asked.push(name);
          await new Promise((resolve) => setImmediate(resolve));
          return name === "later.test" ? made : undefined;
        },
      });
      expect(shownTo(await server.client({ servername: "later.test" }))).toBe("later.test");
      expect(shownTo(await server.client({ servername: "fixed.test" }))).toBe("fixed.test");
      expect(shownTo(await server.client({ servername: "unknown.test" }))).toBe("fixed.test");
      expect(shownTo(await server.client())).toBe("fixed.test");
      expect(asked).toEqual(["later.test", "unknown.test", undefined]);
    });

    test("is enough by itself", async () => {
      await using server = await accepting(create(), {
        resolveCertificate: (name) => (name === undefined ? undefined : fixed),
      });
      expect(shownTo(await server.client({ servername: "any.test" }))).toBe("fixed.test");
      await expect(server.client()).rejects.toThrow(/unrecognized name/i);
      await expect(server.failed()).resolves.toMatchObject({ detail: "unknown-name" });
    });

    test("that fails ends the handshake, and is our fault", async () => {
      await using server = await accepting(create(), {
        resolveCertificate: () => Promise.reject(new Error("no such table")),
      });
      await expect(server.client({ servername: "a.test" })).rejects.toThrow(/disconnected|reset|hang up/);
      const error = await server.failed();
      expect(error).toMatchObject({ source: "internal" });
      expect(error.message).toMatch(/resolveCertificate.*a\.test.*no such table/);
    });
  });

  describe("files", () => {
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "sluice-tls-"));
      configureLogs({ levels: "silent" });
    });
    afterEach(() => rm(folder, { recursive: true }));

    const one = selfSignedCertificate({ names: ["one.test"] });
    const two = selfSignedCertificate({ names: ["two.test"] });

    test("that change are taken; those that cannot be used are not, and that is told", async () => {
      const files = await write(folder, one);
      await using server = await accepting(create(), { certificates: [files], reloadMs: 10 });
      expect(shownTo(await server.client())).toBe("one.test");

      await Promise.all([told(undefined), write(folder, two)]);
      expect(shownTo(await server.client())).toBe("two.test");

      await Promise.all([told(/does not fit/), replace(files.cert.file, one.cert)]);
      expect(shownTo(await server.client())).toBe("two.test");

      await Promise.all([told(/no certificate/), replace(files.cert.file, "nonsense")]);
      expect(shownTo(await server.client())).toBe("two.test");

      await Promise.all([told(undefined), write(folder, one)]);
      expect(shownTo(await server.client())).toBe("one.test");
    });

    test("connections that are open go on", async () => {
      await using server = await accepting(create(), { certificates: [await write(folder, one)], reloadMs: 10 });
      const client = await server.client();
      await Promise.all([told(undefined), write(folder, two)]);
      client.write("hello");
      expect(String((await once(client, "data"))[0])).toBe("hello");
    });
  });

  describe("OCSP stapling", () => {
    const response = Buffer.from("\x30what an authority says");
    const certificate = selfSignedCertificate({ names: ["a.test"] });

    test.each([
      ["bytes", { ...certificate, ocsp: response }],
      ["a function", { ...certificate, ocsp: () => Promise.resolve(response) }],
    ])("%s", async (_name, stapled) => {
      await using server = await accepting(create(), { certificates: [stapled] });
      expect((await server.client({ requestOCSP: true })).stapled).toEqual(response);
      expect((await server.client()).stapled).toBeUndefined();
    });

    test("a function that fails staples nothing", async () => {
      configureLogs({ levels: "silent" });
      const stapled = { ...certificate, ocsp: () => Promise.reject<undefined>(new Error("no")) };
      await using server = await accepting(create(), { certificates: [stapled] });
      expect(shownTo(await server.client({ requestOCSP: true }))).toBe("a.test");
    });
  });
}

/** The first name of the certificate that a client was shown. */
function shownTo(client: TLSSocket): string | undefined {
  return client.getPeerX509Certificate()?.subjectAltName?.replace("DNS:", "");
}

interface CertificateFiles {
  readonly cert: { readonly file: string };
  readonly key: { readonly file: string };
}

async function write(folder: string, { cert, key }: MadeCertificate): Promise<CertificateFiles> {
  const files = { cert: { file: join(folder, "a.pem") }, key: { file: join(folder, "a.key") } };
  await replace(files.key.file, key);
  await replace(files.cert.file, cert);
  return files;
}

/** Whole, or not at all. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

/** Waits until files were read again, with that error or none. */
function told(error: RegExp | undefined): Promise<TlsReloadedMessage> {
  return new Promise((resolve) => {
    const stop = observe(tlsChannels.reloaded, (message) => {
      const fits = error === undefined ? message.error === undefined : error.test(message.error?.message ?? "");
      if (!fits) return;
      stop();
      resolve(message);
    });
  });
}

function ofTwoKinds(name: string): MadeCertificate[] {
  const rsa = selfSignedCertificate({ names: [name], keyType: "rsa", commonName: "rsa" });
  return [selfSignedCertificate({ names: [name] }), rsa];
}
