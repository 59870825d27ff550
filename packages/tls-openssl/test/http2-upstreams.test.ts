import { once } from "node:events";
import { createSecureServer, type SecureServerOptions } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { PeerOptions } from "@sluice/proxy";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { expect, test } from "vitest";
import { TlsProxy } from "./support/proxy.ts";

/** Upstreams that choose HTTP/2 by ALPN, or do not. */

const ca = certificateAuthority("Origins");
const trusting: PeerOptions = { tls: true, sni: "a.test", ca: ca.cert, maxHttpVersion: 2 };

/** Says what it was asked by; HTTP/1 only if the options allow it. */
async function origin(options: SecureServerOptions = {}) {
  const server = createSecureServer({ ...ca.issue({ names: ["a.test"] }), ...options }, (request, response) => {
    response.end(`${request.httpVersion} ${request.headers[":scheme"] ?? "https"}`);
  });
  const sockets = new Set<TLSSocket>();
  server.on("secureConnection", (socket: TLSSocket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

test("an upstream that chooses HTTP/2 is spoken to by it, all requests on one connection", async () => {
  await using upstream = await origin();
  await using proxy = await TlsProxy.start({ origin: upstream.address, peer: trusting });
  const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`http://${proxy.address}/`)));
  const texts = await Promise.all(answers.map((answer) => answer.text()));
  expect(new Set(texts)).toEqual(new Set(["2.0 https"]));
  expect(upstream.connections()).toBe(1);
});

test("many connections, one after the other, miss nothing that came with the handshake", async () => {
  await using upstream = await origin();
  await using proxy = await TlsProxy.start({ origin: upstream.address, peer: { ...trusting, idleMs: 0 } });
  for (let count = 0; count < 20; count++) {
    expect(await (await fetch(`http://${proxy.address}/`)).text()).toBe("2.0 https");
  }
  expect(upstream.connections()).toBe(20);
});

test("an upstream that does not know HTTP/2 is spoken to by HTTP/1, unless that is ruled out", async () => {
  const server = createServer({ ...ca.issue({ names: ["a.test"] }), ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    {
      await using proxy = await TlsProxy.start({ origin: address, peer: trusting });
      const answers = await Promise.all([1, 2, 3].map(() => fetch(`http://${proxy.address}/`)));
      expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(["h1", "h1", "h1"]);
    }
    await using proxy = await TlsProxy.start({ origin: address, peer: { ...trusting, minHttpVersion: 2 } });
    expect((await fetch(`http://${proxy.address}/`)).status).toBe(502);
    const line = proxy.logs.find(({ level }) => level >= 50);
    expect(line).toMatchObject({ source: "upstream", status: 502 });
    expect(JSON.stringify(line)).toMatch(/minHttpVersion/);
  } finally {
    server.close();
  }
});
