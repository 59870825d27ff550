import { once } from "node:events";
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from "node:net";
import { createServer, type TlsOptions, type TLSSocket } from "node:tls";
import type { PeerOptions } from "@sluice/proxy";
import { certificateAuthority, selfSignedCertificate } from "@sluice/tls-openssl/testing";
import { describe, expect, test } from "vitest";
import { TlsProxy } from "./support/proxy.ts";

const ca = certificateAuthority("Origins");
const trusting: PeerOptions = { tls: true, sni: "a.test", ca: ca.cert };

/** An origin that answers every read with `answer`. */
async function origin(server: TcpServer, answer: string): Promise<{ address: string } & AsyncDisposable> {
  const sockets = new Set<{ destroy(): unknown }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.end(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function tls(options: TlsOptions): TcpServer {
  return createServer(options);
}

const plain = (): TcpServer =>
  createTcpServer((socket) => void socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));

const OLD: TlsOptions = { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" };

describe("an upstream whose TLS fails: 502, and the log says where to look", () => {
  test.each<[string, () => TcpServer, string, string, RegExp]>([
    [
      "with a certificate for other names",
      () => tls(ca.issue({ names: ["b.test", "*.c.test"] })),
      "InvalidCert",
      "the upstream's certificate is for other names: is the peer's sni right? alternativeCn allows another name",
      /wanted a certificate for a\.test, got one for b\.test, \*\.c\.test/,
    ],
    [
      "with a certificate that has expired",
      () => tls(ca.issue({ names: ["a.test"], fromDays: -20, toDays: -10 })),
      "InvalidCert",
      "the upstream's certificate has expired: it needs a new one (or this machine's clock is wrong)",
      /expired on \d{4}-\d\d-\d\dT/,
    ],
    [
      "with a self-signed certificate",
      () => tls(selfSignedCertificate({ names: ["a.test"] })),
      "InvalidCert",
      "the upstream's certificate is self-signed: trust it by the peer's ca",
      /a\.test is self-signed/,
    ],
    [
      "with a certificate of an authority that is not known",
      () => tls(certificateAuthority("Others").issue({ names: ["a.test"] })),
      "InvalidCert",
      "nobody trusted has issued the upstream's certificate: does it send its intermediates? a private authority goes into the peer's ca",
      /issued by CN=Others/,
    ],
    [
      "that speaks TLS 1.0 only",
      () => tls({ ...ca.issue({ names: ["a.test"] }), ...OLD }),
      "TLSHandshakeFailure",
      "no TLS version in common with the upstream: see the peer's minTlsVersion and maxTlsVersion",
      /ERR_SSL_/,
    ],
    [
      "that speaks plaintext",
      plain,
      "TLSHandshakeFailure",
      "the upstream does not speak TLS at that address: is it a plaintext port?",
      /ERR_SSL_/,
    ],
  ])("%s", async (_name, make, type, hint, error) => {
    await using upstream = await origin(make(), "");
    await using proxy = await TlsProxy.start({ origin: upstream.address, peer: trusting });
    const answer = await fetch(`http://${proxy.address}/`);
    await answer.arrayBuffer();
    expect(answer.status).toBe(502);
    const reason = type === "InvalidCert" ? "tls_certificate_error" : "tls_protocol_error";
    expect(answer.headers.get("proxy-status")).toBe(`sluice;error=${reason}`);
    expect(await proxy.logged("request failed")).toMatchObject({
      type,
      source: "upstream",
      hint,
      error: expect.stringMatching(error) as string,
      peer: `https://${upstream.address} (a.test)`,
    });
  });

  test("that chooses a cipher too weak for HTTP/2", async () => {
    const weak: TlsOptions = { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256", ALPNProtocols: ["h2"] };
    await using upstream = await origin(tls({ ...ca.issue({ names: ["a.test"] }), ...weak }), "");
    const peer: PeerOptions = { ...trusting, minHttpVersion: 2 };
    await using proxy = await TlsProxy.start({ origin: upstream.address, peer });
    expect((await fetch(`http://${proxy.address}/`)).status).toBe(502);
    expect(await proxy.logged("request failed")).toMatchObject({
      type: "TLSHandshakeFailure",
      error: expect.stringContaining("must not be spoken with TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256") as string,
      hint: expect.any(String) as string,
    });
  });

  test("that does not get a certificate of ours, though it asks (TLS 1.3, where that comes late)", async () => {
    const asking = { ...ca.issue({ names: ["a.test"] }), ca: ca.cert, requestCert: true, rejectUnauthorized: true };
    await using upstream = await origin(tls(asking), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await using proxy = await TlsProxy.start({ origin: upstream.address, peer: trusting });
    const answer = await fetch(`http://${proxy.address}/`);
    expect([answer.status, answer.headers.get("proxy-status")]).toEqual([502, "sluice;error=tls_alert_received"]);
    expect(await proxy.logged("request failed")).toMatchObject({
      hint: "the upstream asks for a certificate of ours: see the peer's clientCert",
    });

    const clientCert = ca.issue({ usage: "client", commonName: "proxy" });
    await using known = await TlsProxy.start({ origin: upstream.address, peer: { ...trusting, clientCert } });
    expect(await (await fetch(`http://${known.address}/`)).text()).toBe("ok");
  });
});

describe("a response that ends with the connection", () => {
  const answer = "HTTP/1.1 200 OK\r\n\r\nas much as there is";

  test("is whole if TLS says so", async () => {
    await using upstream = await origin(tls(ca.issue({ names: ["a.test"] })), answer);
    await using proxy = await TlsProxy.start({ origin: upstream.address, peer: trusting });
    expect(await (await fetch(`http://${proxy.address}/`)).text()).toBe("as much as there is");
  });

  test("is cut if only TCP does", async () => {
    const server = tls(ca.issue({ names: ["a.test"] }));
    server.on("secureConnection", (socket: TLSSocket) => {
      socket.once("data", () => {
        socket.write(answer, () => {
          // A FIN without a close_notify: TLS's own end is not sent when its socket is destroyed.
          socket.destroy();
        });
      });
    });
    await using upstream = await originAsIs(server);
    await using proxy = await TlsProxy.start({ origin: upstream.address, peer: trusting });
    const response = await fetch(`http://${proxy.address}/`);
    await expect(response.text()).rejects.toThrow(/terminated/);
    expect(await proxy.logged("request failed")).toMatchObject({
      type: "ConnectionClosed",
      cut: true,
      error: expect.stringContaining("close_notify") as string,
    });
  });
});

async function originAsIs(server: TcpServer): Promise<{ address: string } & AsyncDisposable> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}
