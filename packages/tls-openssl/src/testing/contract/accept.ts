import { once } from "node:events";
import { connect as connectTls, createSecureContext } from "node:tls";
import type { TlsProvider, TlsVersion } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { selfSignedCertificate } from "../../certificates/make-certificate.ts";
import { accepting } from "./accepting.ts";

/** OpenSSL has it from 3.5 on. */
const HAS_POST_QUANTUM = canUseGroup("X25519MLKEM768");

/** Handshakes with clients: what is agreed on, and how they fail. */
export function acceptContract(create: () => TlsProvider, versions: readonly TlsVersion[]): void {
  const certificates = [selfSignedCertificate({ names: ["a.test"] })];

  describe("a handshake with a client", () => {
    test("gives a stream, and says what was agreed on", async () => {
      await using server = await accepting(create(), { certificates });
      const client = await server.client({ servername: "a.test" });
      const { stream, digest } = await server.secured();
      expect(digest).toMatchObject({ version: "TLSv1.3", serverName: "a.test", resumed: false, alpn: undefined });
      expect(digest.cipher).toMatch(/^TLS_/);
      expect(digest.peerCertificate).toBeUndefined();
      expect(stream.remotePort).toBe(client.localPort);
      client.write("hello");
      expect(String((await once(client, "data"))[0])).toBe("hello");
    });

    test("a client that asks for no name is served", async () => {
      await using server = await accepting(create(), { certificates });
      await server.client();
      expect((await server.secured()).digest.serverName).toBeUndefined();
    });

    test("the listener prefers among the protocols that the client offers", async () => {
      await using server = await accepting(create(), { certificates, alpn: ["h2", "http/1.1"] });
      const client = await server.client({ ALPNProtocols: ["http/1.1", "h2"] });
      expect(client.alpnProtocol).toBe("h2");
      expect((await server.secured()).digest.alpn).toBe("h2");
    });

    test("a client that offers no protocol is served", async () => {
      await using server = await accepting(create(), { certificates, alpn: ["h2", "http/1.1"] });
      await server.client();
      expect((await server.secured()).digest.alpn).toBeUndefined();
    });

    test("a client that offers other protocols only is refused", async () => {
      await using server = await accepting(create(), { certificates, alpn: ["http/1.1"] });
      await expect(server.client({ ALPNProtocols: ["h2"] })).rejects.toThrow(/no application protocol/i);
      await expect(server.failed()).resolves.toMatchObject({ source: "downstream", detail: "tls-alpn" });
    });

    test("a client too old is refused", async () => {
      await using server = await accepting(create(), { certificates, minVersion: "1.3" });
      await expect(server.client({ maxVersion: "TLSv1.2" })).rejects.toThrow(/protocol version/);
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeFailure", detail: "tls-version" });
    });

    test.runIf(versions.includes("1.2"))("TLS 1.2 can be spoken", async () => {
      await using server = await accepting(create(), { certificates, maxVersion: "1.2" });
      await server.client();
      expect((await server.secured()).digest).toMatchObject({ version: "TLSv1.2" });
    });

    test.runIf(HAS_POST_QUANTUM)("a client that can agrees on a key that no quantum computer finds out", async () => {
      await using server = await accepting(create(), { certificates });
      // It offers nothing else.
      await server.client({ ecdhCurve: "X25519MLKEM768", minVersion: "TLSv1.3" });
      await using strict = await accepting(create(), { certificates, groups: "X25519MLKEM768" });
      await strict.client({ minVersion: "TLSv1.3" });
      await expect(strict.client({ ecdhCurve: "X25519", minVersion: "TLSv1.3" })).rejects.toThrow(/handshake failure/);
      await expect(strict.failed()).resolves.toMatchObject({ detail: "tls-parameters" });
    });

    test.runIf(versions.includes("1.2"))("a client does not get to renegotiate", async () => {
      await using server = await accepting(create(), { certificates, maxVersion: "1.2" });
      const client = await server.client();
      const error = new Promise<Error>((resolve) => client.once("error", resolve));
      client.renegotiate({}, () => undefined);
      client.resume();
      expect((await error).message).toMatch(/no renegotiation/);
    });

    test.each([
      ["a fast one, whatever the client puts first", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", /AES_128/],
      ["the client's, if its AES is slow", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", /CHACHA20/],
      ["what the client has", "TLS_AES_256_GCM_SHA384", /AES_256/],
    ])("the cipher is %s", async (_name, ciphers, cipher) => {
      await using server = await accepting(create(), { certificates });
      await server.client({ ciphers, minVersion: "TLSv1.3" });
      expect((await server.secured()).digest.cipher).toMatch(cipher);
    });

    test("the cipher is the first of those in the settings that the client has", async () => {
      const ciphers = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
      await using server = await accepting(create(), { certificates, ciphers });
      await server.client({ ciphers: "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", minVersion: "TLSv1.3" });
      expect((await server.secured()).digest.cipher).toBe("TLS_AES_256_GCM_SHA384");
    });

    test("a client without a cipher in common is refused", async () => {
      await using server = await accepting(create(), { certificates, ciphers: "TLS_AES_128_GCM_SHA256" });
      const ciphers = "TLS_AES_256_GCM_SHA384";
      await expect(server.client({ ciphers, minVersion: "TLSv1.3" })).rejects.toThrow(/handshake failure/);
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeFailure", detail: "tls-parameters" });
    });

    test("a client without a group in common is refused", async () => {
      await using server = await accepting(create(), { certificates, groups: "P-384" });
      await expect(server.client({ ecdhCurve: "X25519", minVersion: "TLSv1.3" })).rejects.toThrow(/handshake failure/);
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeFailure", detail: "tls-parameters" });
    });

    test("a client that speaks plaintext is told so, in plaintext", async () => {
      await using server = await accepting(create(), { certificates });
      const client = await server.plainClient();
      client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      expect(String((await once(client, "data"))[0])).toMatch(/^HTTP\/1\.1 400 /);
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeFailure", detail: "not-tls" });
    });

    test("bytes that are no TLS end the connection", async () => {
      await using server = await accepting(create(), { certificates });
      const client = await server.plainClient();
      client.resume().write(Buffer.alloc(100, 0x20));
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeFailure", source: "downstream" });
      await once(client, "end");
    });

    test("a client that leaves within the handshake is no more than that", async () => {
      await using server = await accepting(create(), { certificates });
      (await server.plainClient()).end(Buffer.of(0x16, 0x03, 0x01));
      await expect(server.failed()).resolves.toMatchObject({ type: "ConnectionClosed", source: "downstream" });
    });

    test("one that takes too long is cut, and does not keep others waiting", async () => {
      await using server = await accepting(create(), { certificates, handshakeMs: 100 });
      const silent = await server.plainClient();
      await server.client();
      await server.secured();
      const closed = once(silent.resume(), "close");
      await expect(server.failed()).resolves.toMatchObject({ type: "TLSHandshakeTimedout", source: "downstream" });
      silent.end();
      await closed;
    });

    test("the signal cuts those that are not done, and no others", async () => {
      const stop = new AbortController();
      await using server = await accepting(create(), { certificates }, undefined, stop.signal);
      const done = await server.client();
      await server.secured();
      await server.plainClient();
      // The connection is accepted by the time that another one, which came later, has been.
      await server.client();
      stop.abort(new Error("enough"));
      await expect(server.failed()).resolves.toMatchObject({ message: "enough" });
      done.write("still there");
      expect(String((await once(done, "data"))[0])).toBe("still there");
    });

    test("what comes together with the end of the handshake is not lost", async () => {
      await using server = await accepting(create(), { certificates });
      for (let round = 0; round < 10; round++) {
        // Written before it is connected, it leaves with the last flight.
        const client = connectTls({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false });
        client.write("at once");
        expect(String((await once(client, "data"))[0])).toBe("at once");
        client.destroy();
        await once(client, "close");
      }
    });
  });

  describe("preparing a listener", () => {
    const [good] = certificates;
    const other = selfSignedCertificate({ names: ["b.test"] });

    test.each<[string, object, RegExp]>([
      [
        "a key that does not fit",
        { certificates: [{ cert: good!.cert, key: other.key }] },
        /certificates\[0\].*does not fit/,
      ],
      ["no certificate", { certificates: [{ cert: good!.key, key: good!.key }] }, /certificates\[0\].*no certificate/],
      ["no key", { certificates: [{ cert: good!.cert, key: good!.cert }] }, /certificates\[0\].*key/],
      [
        "a file that is not there",
        { certificates: [{ cert: { file: "/nowhere/a.pem" }, key: good!.key }] },
        /\/nowhere\/a\.pem/,
      ],
      [
        "an OCSP response in PEM",
        { certificates: [{ ...good!, ocsp: Buffer.from("-----BEGIN OCSP RESPONSE-----") }] },
        /certificates\[0\]\.ocsp: expected an OCSP response in DER/,
      ],
      ["unknown ciphers", { certificates, ciphers: "NONE-SUCH" }, /ciphers: expected .* got "NONE-SUCH"/],
      ["unknown groups", { certificates, groups: "none-such" }, /groups: expected .* got "none-such"/],
      [
        "no authority",
        { certificates, clientCertificates: { mode: "require", ca: good!.key } },
        /clientCertificates\.ca/,
      ],
    ])("%s is an error that names it", async (_name, settings, message) => {
      await expect(create().listen(settings)).rejects.toMatchObject({
        source: "internal",
        message: expect.stringMatching(message) as string,
      });
    });
  });
}

/** Whether the client of these tests can. */
function canUseGroup(ecdhCurve: string): boolean {
  try {
    createSecureContext({ ecdhCurve });
    return true;
  } catch {
    return false;
  }
}
