import { once } from "node:events";
import { duplexPair } from "node:stream";
import { HttpPeer, type ByteStream, type PeerOptions, type TlsProvider, type TlsVersion } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { certificateAuthority } from "../../certificates/make-certificate.ts";
import { accepting, readStream } from "./accepting.ts";
import { connecting, plainOrigin, tlsOrigin } from "./connecting.ts";

/** TLS as a client: what is agreed on, and how it fails. */
export function connectContract(create: () => TlsProvider, versions: readonly TlsVersion[]): void {
  describe("a connection to an upstream", () => {
    const ca = certificateAuthority();
    const certificate = ca.issue({ names: ["a.test"] });
    const trusting: PeerOptions = { sni: "a.test", ca: ca.cert };

    test("gives a stream, and says what was agreed on", async () => {
      await using origin = await tlsOrigin({ ...certificate, ALPNProtocols: ["h2", "http/1.1"] });
      using connection = await connecting(create(), origin.address, trusting, { alpn: ["http/1.1", "h2"] });
      const { stream, digest } = connection;
      expect(digest).toMatchObject({ version: "TLSv1.3", alpn: "h2", resumed: false });
      expect(digest.peerCertificate).toMatchObject({ verified: true, subject: "CN=a.test", altNames: ["DNS:a.test"] });
      expect(`${stream.remoteAddress}:${stream.remotePort}`).toBe(origin.address);
      stream.write(Buffer.from("hello"));
      expect(await firstOf(stream)).toBe("hello");
      expect(origin.connections[0]?.servername).toBe("a.test");
    });

    test("offers no protocol unless it is told to", async () => {
      await using origin = await tlsOrigin({ ...certificate, ALPNProtocols: ["http/1.1"] });
      using connection = await connecting(create(), origin.address, trusting);
      expect(connection.digest.alpn).toBeUndefined();
    });

    test("an upstream that speaks other protocols only", async () => {
      await using origin = await tlsOrigin({ ...certificate, ALPNProtocols: ["other"] });
      await expect(connecting(create(), origin.address, trusting, { alpn: ["h2"] })).rejects.toMatchObject({
        source: "upstream",
        type: "TLSHandshakeFailure",
        detail: "tls-alpn",
      });
    });

    test("an address is not sent as a name", async () => {
      const byAddress = ca.issue({ names: ["127.0.0.1"] });
      await using origin = await tlsOrigin(byAddress);
      using connection = await connecting(create(), origin.address, { ca: ca.cert });
      connection.stream.write(Buffer.from("hello"));
      await firstOf(connection.stream);
      expect(origin.connections[0]?.servername).toBe(false);
    });

    test("an upstream too old", async () => {
      await using origin = await tlsOrigin({
        ...certificate,
        minVersion: "TLSv1",
        maxVersion: "TLSv1",
        ciphers: "DEFAULT@SECLEVEL=0",
      });
      await expect(connecting(create(), origin.address, trusting)).rejects.toMatchObject({
        source: "upstream",
        type: "TLSHandshakeFailure",
        detail: "tls-version",
      });
    });

    test("an upstream without a cipher in common", async () => {
      await using origin = await tlsOrigin({ ...certificate, ciphers: "TLS_AES_128_GCM_SHA256" });
      const options: PeerOptions = { ...trusting, ciphers: "TLS_AES_256_GCM_SHA384", minTlsVersion: "1.3" };
      await expect(connecting(create(), origin.address, options)).rejects.toMatchObject({
        type: "TLSHandshakeFailure",
        detail: "tls-parameters",
      });
    });

    test("an upstream that speaks plaintext", async () => {
      await using origin = await plainOrigin((socket) =>
        socket.on("data", () => socket.end("HTTP/1.1 400 Bad\r\n\r\n")),
      );
      await expect(connecting(create(), origin.address, trusting)).rejects.toMatchObject({
        source: "upstream",
        type: "TLSHandshakeFailure",
        detail: "not-tls",
      });
    });

    test("an upstream that speaks before it is spoken to", async () => {
      await using origin = await plainOrigin((socket) => socket.write("SSH-2.0-something\r\n"));
      await expect(connecting(create(), origin.address, trusting)).rejects.toMatchObject({ detail: "not-tls" });
    });

    test("an upstream that closes", async () => {
      await using origin = await plainOrigin((socket) => socket.end());
      await expect(connecting(create(), origin.address, trusting)).rejects.toMatchObject({
        source: "upstream",
        type: "TLSHandshakeFailure",
      });
    });

    test("an upstream that says nothing is given up after connectMs", async () => {
      const closed: Promise<unknown>[] = [];
      await using origin = await plainOrigin((socket) => closed.push(once(socket.resume(), "close")));
      await expect(connecting(create(), origin.address, { ...trusting, connectMs: 100 })).rejects.toMatchObject({
        source: "upstream",
        type: "ConnectTimedout",
        detail: "tls-silent",
      });
      await Promise.all(closed);
    });

    const { cert } = ca.issue({ usage: "client" });
    test.each<[string, PeerOptions, RegExp]>([
      ["unknown groups", { groups: "none-such" }, /groups: expected .* got "none-such"/],
      ["unknown ciphers", { ciphers: "NONE-SUCH" }, /ciphers: expected .* got "NONE-SUCH"/],
      [
        "a key of another certificate",
        { clientCert: { cert, key: ca.issue().key } },
        /clientCert: the key does not fit/,
      ],
    ])("%s of a peer are our own fault, and named", async (_name, options, message) => {
      await using origin = await plainOrigin(() => undefined);
      await expect(connecting(create(), origin.address, { ...trusting, ...options })).rejects.toMatchObject({
        source: "internal",
        type: "ConfigError",
        message: expect.stringMatching(message) as string,
      });
    });

    test("the signal gives up", async () => {
      await using origin = await plainOrigin(() => undefined);
      const stop = new AbortController();
      const connected = connecting(create(), origin.address, trusting, { signal: stop.signal });
      setImmediate(() => stop.abort(new Error("enough")));
      await expect(connected).rejects.toThrow("enough");
    });

    test("a signal that is aborted already does, too", async () => {
      await using origin = await plainOrigin(() => undefined);
      const signal = AbortSignal.abort(new Error("enough"));
      await expect(connecting(create(), origin.address, trusting, { signal })).rejects.toThrow("enough");
    });

    test("over a stream that is no socket", async () => {
      const provider = create();
      await using server = await accepting(provider, { certificates: [certificate] });
      const [near, far] = duplexPair();
      const below = await server.plainClient();
      far.pipe(below).pipe(far);
      const peer = new HttpPeer("a.test:443", { tls: true, ...trusting });
      const { stream, digest } = await provider.connect(near, peer, {});
      expect(digest.peerCertificate?.verified).toBe(true);
      stream.write(Buffer.from("hello"));
      expect(await firstOf(stream)).toBe("hello");
      stream.destroy();
    });

    describe("a certificate of our own", () => {
      const clients = certificateAuthority("Clients");
      const clientCert = clients.issue({ usage: "client", commonName: "proxy 1" });
      const asking = { ...certificate, ca: clients.cert, requestCert: true };

      test("is shown to those who ask", async () => {
        await using origin = await tlsOrigin(asking);
        using connection = await connecting(create(), origin.address, { ...trusting, clientCert });
        connection.stream.write(Buffer.from("hello"));
        await firstOf(connection.stream);
        expect(origin.connections[0]?.getPeerX509Certificate()?.subject).toBe("CN=proxy 1");
      });

      test.each(versions.filter((version) => version === "1.2" || version === "1.3"))(
        "that is missing is told, TLS %s",
        async (maxTlsVersion) => {
          await using origin = await tlsOrigin(asking);
          const failure = await connecting(create(), origin.address, { ...trusting, maxTlsVersion }).then(
            // In TLS 1.3 we are done before the upstream looks for it.
            ({ stream }) => new Promise((resolve) => void stream.on("error", resolve)),
            (error: unknown) => error,
          );
          // TLS 1.2 has no alert of its own for it (RFC 5246, section 7.4.6).
          const detail = maxTlsVersion === "1.2" ? "tls-parameters" : "cert-missing";
          expect(failure).toMatchObject({ source: "upstream", type: "TLSHandshakeFailure", detail });
        },
      );
    });

    describe("sessions", () => {
      test("are resumed for the same peer, and for no other", async () => {
        await using origin = await tlsOrigin({ ...certificate, maxVersion: "TLSv1.3" });
        const provider = create();
        const resumed = async (options: PeerOptions): Promise<boolean | undefined> => {
          using connection = await connecting(provider, origin.address, { ...trusting, ...options });
          // Tickets come behind the handshake.
          connection.stream.write(Buffer.from("ping"));
          await firstOf(connection.stream);
          expect(connection.digest.peerCertificate).toMatchObject({ verified: true, subject: "CN=a.test" });
          return connection.digest.resumed;
        };
        expect(await resumed({})).toBe(false);
        expect(await resumed({})).toBe(true);
        expect(await resumed({ group: "other" })).toBe(false);
        expect(await resumed({ sni: "b.test", alternativeCn: "a.test" })).toBe(false);
        expect(await resumed({ verifyHostname: false })).toBe(false);
        expect(await resumed({ ca: `${ca.cert}${certificateAuthority().cert}` })).toBe(false);
        expect(await resumed({})).toBe(true);
      });
    });
  });
}

function firstOf(stream: ByteStream): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    readStream(stream, (chunk) => resolve(String(chunk)));
  });
}
