import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import type { TlsListenSettings, TlsProvider, TlsVersion } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { certificateAuthority, selfSignedCertificate } from "../../certificates/make-certificate.ts";
import { accepting, type Accepting } from "./accepting.ts";

/** Sessions that clients resume. */
export function sessionsContract(create: () => TlsProvider, versions: readonly TlsVersion[]): void {
  describe.each(versions.filter((version) => version === "1.2" || version === "1.3"))(
    "sessions of TLS %s",
    (maxVersion) => {
      const certificates = [selfSignedCertificate({ names: ["a.test"] })];
      const settings: TlsListenSettings = { certificates, maxVersion };

      test("are resumed", async () => {
        await using server = await accepting(create(), settings);
        expect(await resumes(server, await sessionFrom(server))).toBe(true);
      });

      test("are resumed by another process with the same key", async () => {
        const ticketKey = randomBytes(48);
        await using first = await accepting(create(), { ...settings, ticketKey });
        await using second = await accepting(create(), { ...settings, ticketKey });
        expect(await resumes(second, await sessionFrom(first))).toBe(true);
      });

      test.runIf(maxVersion === "1.3")("bring another one for the next time", async () => {
        await using server = await accepting(create(), settings);
        const session = await sessionFrom(server);
        const client = await server.client({ servername: "a.test", session });
        await ping(client);
        expect(client.isSessionReused()).toBe(true);
        expect(client.kept).toBeDefined();
        expect(client.kept).not.toEqual(session);
        expect(await resumes(server, client.kept)).toBe(true);
      });

      test("do not go on for ever if they stand for a certificate", async () => {
        const ca = certificateAuthority();
        const clientCertificates = { mode: "request", ca: ca.cert } as const;
        await using server = await accepting(create(), { ...settings, clientCertificates });
        const shown = ca.issue({ usage: "client", commonName: "client 1" });
        const client = await server.client({
          session: await sessionFrom(server, shown),
          servername: "a.test",
          ...shown,
        });
        await ping(client);
        expect(client.isSessionReused()).toBe(true);
        expect(client.kept).toBeUndefined();
      });

      test("are not resumed by one with another key", async () => {
        await using first = await accepting(create(), { ...settings, ticketKey: randomBytes(48) });
        await using second = await accepting(create(), { ...settings, ticketKey: randomBytes(48) });
        expect(await resumes(second, await sessionFrom(first))).toBe(false);
      });

      test("are not resumed where that is switched off", async () => {
        const ticketKey = randomBytes(48);
        await using first = await accepting(create(), { ...settings, ticketKey });
        await using second = await accepting(create(), { ...settings, ticketKey: false });
        expect(await resumes(second, await sessionFrom(first))).toBe(false);
      });

      test("are not resumed by whoever gave them where that is switched off", async () => {
        await using server = await accepting(create(), { ...settings, ticketKey: false });
        const client = await server.client({ servername: "a.test" });
        await ping(client);
        client.destroy();
        // There may be none at all.
        expect(await resumes(server, client.kept)).toBe(false);
      });

      test("keep the certificate of the client", async () => {
        const ca = certificateAuthority();
        const clientCertificates = { mode: "require", ca: ca.cert } as const;
        await using server = await accepting(create(), { ...settings, clientCertificates });
        const shown = ca.issue({ usage: "client", commonName: "client 1" });
        const session = await sessionFrom(server, shown);
        await server.secured();
        expect(await resumes(server, session, shown)).toBe(true);
        const { digest } = await server.secured();
        expect(digest).toMatchObject({ resumed: true, peerCertificate: { verified: true, subject: "CN=client 1" } });
      });

      test("do not stand for a certificate where it was not asked for", async () => {
        const ticketKey = randomBytes(48);
        const clientCertificates = { mode: "require", ca: certificateAuthority().cert } as const;
        await using open = await accepting(create(), { ...settings, ticketKey });
        await using strict = await accepting(create(), { ...settings, ticketKey, clientCertificates });
        const session = await sessionFrom(open);
        await strict.client({ session }).catch(() => undefined);
        await expect(strict.failed()).resolves.toMatchObject({ detail: "cert-missing" });
      });
    },
  );
}

/** A session as the server gives it. It comes behind the handshake, with what is read then. */
async function sessionFrom(server: Accepting, options: object = {}): Promise<Buffer> {
  const client = await server.client({ servername: "a.test", ...options });
  await ping(client);
  client.destroy();
  return client.kept!;
}

async function resumes(server: Accepting, session: Buffer | undefined, options: object = {}): Promise<boolean> {
  const client = await server.client({ servername: "a.test", ...(session !== undefined && { session }), ...options });
  await ping(client);
  return client.isSessionReused();
}

async function ping(client: TLSSocket): Promise<void> {
  client.write("ping");
  await once(client, "data");
}
