import { X509Certificate } from "node:crypto";
import { connect, constants } from "node:http2";
import type { TlsProvider, TlsVersion } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { certificateAuthority, selfSignedCertificate } from "../../certificates/make-certificate.ts";
import { accepting, type ClientSocket } from "./accepting.ts";

/** Clients that show who they are. */
export function clientCertificatesContract(create: () => TlsProvider, versions: readonly TlsVersion[]): void {
  describe("certificates of clients", () => {
    const ca = certificateAuthority("Clients");
    const certificates = [selfSignedCertificate({ names: ["a.test"] })];
    const good = ca.issue({
      usage: "client",
      commonName: "client 1",
      names: ["client-1.test", "spiffe://a.test/client-1"],
    });
    const expired = ca.issue({ usage: "client", commonName: "old", fromDays: -20, toDays: -10 });
    const stranger = certificateAuthority("Others").issue({ usage: "client", commonName: "stranger" });
    const alone = selfSignedCertificate({ usage: "client", commonName: "alone" });
    const forServers = ca.issue({ usage: "server", names: ["client-1.test"] });
    const requested = { certificates, clientCertificates: { mode: "request", ca: ca.cert } } as const;
    const required = { certificates, clientCertificates: { mode: "require", ca: ca.cert } } as const;

    test.each([requested, required])("one that verifies is told", async (settings) => {
      await using server = await accepting(create(), settings);
      await server.client(good);
      const { digest } = await server.secured();
      const x509 = new X509Certificate(good.cert);
      expect(digest.peerCertificate).toMatchObject({
        verified: true,
        verifyError: undefined,
        subject: "CN=client 1",
        issuer: "CN=Clients",
        altNames: ["DNS:client-1.test", "URI:spiffe://a.test/client-1"],
        serialNumber: x509.serialNumber,
        fingerprint256: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
      });
      expect(digest.peerCertificate?.validTo.getTime()).toBe(Date.parse(x509.validTo));
      expect(Buffer.from(digest.peerCertificate!.raw)).toEqual(x509.raw);
    });

    test("what is only requested may be missing", async () => {
      await using server = await accepting(create(), requested);
      await server.client();
      expect((await server.secured()).digest.peerCertificate).toBeUndefined();
    });

    test.each([
      ["expired", expired],
      ["from others", stranger],
      ["self-signed", alone],
    ])("what is only requested may be bad, and that is told: %s", async (_name, certificate) => {
      await using server = await accepting(create(), requested);
      await server.client(certificate);
      const { peerCertificate } = (await server.secured()).digest;
      expect(peerCertificate?.verified).toBe(false);
      expect(peerCertificate?.verifyError).toEqual(expect.any(String));
    });

    test.each([
      ["expired", expired, "cert-expired", /expired on \d{4}-/],
      ["from others", stranger, "cert-unknown-issuer", /Others/],
      ["self-signed", alone, "cert-self-signed", /self-signed/],
      ["for servers", forServers, "cert-purpose", /extended key usage/],
    ])("what is required must not be bad: %s", async (_name, certificate, detail, message) => {
      await using server = await accepting(create(), required);
      // In TLS 1.3 the client is done before its certificate is looked at.
      const client = await server.client(certificate).catch((error: unknown) => error as Error);
      const told = heard(client);
      const error = await server.failed();
      expect(error).toMatchObject({ source: "downstream", type: "InvalidCert", detail });
      expect(error.message).toMatch(message);
      expect(await told).toMatch(/certificate/);
    });

    test("a client of HTTP/2 is told in its protocol", async () => {
      await using server = await accepting(create(), { ...required, alpn: ["h2", "http/1.1"] });
      const session = connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false, ...stranger });
      session.on("error", () => undefined);
      session.request().on("error", () => undefined);
      const [code, reason] = await new Promise<[number, Buffer | undefined]>((resolve) =>
        session.on("goaway", (told, _lastStream, data) => resolve([told, data])),
      );
      expect(code).toBe(constants.NGHTTP2_INADEQUATE_SECURITY);
      expect(String(reason)).toMatch(/certificate/);
      await expect(server.failed()).resolves.toMatchObject({ detail: "cert-unknown-issuer" });
    });

    test.each(versions.filter((version) => version === "1.2" || version === "1.3"))(
      "what is required must not be missing, TLS %s",
      async (version) => {
        await using server = await accepting(create(), { ...required, maxVersion: version });
        const told = heard(await server.client().catch((error: unknown) => error as Error));
        await expect(server.failed()).resolves.toMatchObject({
          source: "downstream",
          type: "TLSHandshakeFailure",
          detail: "cert-missing",
        });
        // TLS 1.2 has no alert of its own for it.
        expect(await told).toMatch(version === "1.3" ? /certificate required/ : /handshake failure/);
      },
    );
  });
}

/** What a client hears before the connection is closed: by its own error, an alert, or what it can read. */
function heard(client: ClientSocket | Error): Promise<string> {
  if (client instanceof Error) return Promise.resolve(client.message);
  let text = "";
  client.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  client.on("error", (error) => (text += error.message));
  return new Promise((resolve) => client.on("close", () => resolve(text)));
}
