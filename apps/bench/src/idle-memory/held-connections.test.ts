import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server as NetServer } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { testCertificate } from "../test-certificate.ts";
import { HTTP1 } from "../wire.ts";
import { holdConnections, type Clients } from "./held-connections.ts";

const content = Buffer.from([255, 0, 13, 10, 128]);

const exchange = { request: { method: "GET", path: "/x", fields: [] }, answer: { fields: [], content } } as const;
const { signal } = new AbortController();
const EACH: Omit<Clients, "client"> = { connections: 10, atOnce: 3, requestsEach: 2, exchange, signal };

async function serve(listener: RequestListener): Promise<{ server: Server; clients: Clients }> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener);
  onTestFinished(() => server.closeAllConnections());
  return { server, clients: { ...EACH, client: { port: await listen(server), wire: HTTP1, ca: "" } } };
}

/** The port of 127.0.0.1 that `server` listens on until the test is over. */
async function listen(server: NetServer): Promise<number> {
  server.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

test("opens each connection, asks on it, and holds it until it is disposed of", async () => {
  let requests = 0;
  let open = 0;
  const { server, clients } = await serve((_request, response) => {
    requests++;
    response.end(content);
  });
  server.on("connection", (socket) => {
    open++;
    socket.on("error", () => {}).on("close", () => open--);
  });
  const held = await holdConnections(clients);
  expect({ requests, open, closed: held.closed() }).toEqual({ requests: 20, open: 10, closed: 0 });
  held[Symbol.dispose]();
  await vi.waitFor(() => expect(open).toBe(0));
});

test("counts those that the other side closes", async () => {
  const { server, clients } = await serve((_request, response) => response.end(content));
  using held = await holdConnections(clients);
  server.closeIdleConnections();
  await vi.waitFor(() => expect(held.closed()).toBe(10));
});

test("a wrong answer is an error that shows it, and no connection stays", async () => {
  let requests = 0;
  const { server, clients } = await serve((_request, response) => {
    if (++requests === 5) response.writeHead(502, { Connection: "close" });
    response.end(content);
  });
  await expect(holdConnections(clients)).rejects.toThrow("502 Bad Gateway");
  await vi.waitFor(async () => expect(await openConnections(server)).toBe(0));
});

testWith("openssl", "holds connections with TLS, and notices their end", async () => {
  const { cert, key } = await testCertificate();
  const server = createHttpsServer({ cert, key, keepAliveTimeout: 60_000 }, (_request, response) => {
    response.end(content);
  });
  const port = await listen(server);
  using held = await holdConnections({ ...EACH, client: { port, wire: { ...HTTP1, tls: true }, ca: cert } });
  expect({ open: await openConnections(server), closed: held.closed() }).toEqual({ open: 10, closed: 0 });
  server.closeIdleConnections();
  await vi.waitFor(() => expect(held.closed()).toBe(10));
});

test("holds sessions of HTTP/2, and notices their end", async () => {
  const server = createHttp2Server((_request, response) => response.end(content));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  const port = await listen(server);
  using held = await holdConnections({ ...EACH, client: { port, wire: { ...HTTP1, client: "h2" }, ca: "" } });
  expect({ sessions: sessions.size, closed: held.closed() }).toEqual({ sessions: 10, closed: 0 });
  for (const session of sessions) session.close();
  await vi.waitFor(() => expect(held.closed()).toBe(10));
});

test("a wrong answer on a session of HTTP/2 is an error that shows it", async () => {
  const port = await listen(createHttp2Server((_request, response) => response.writeHead(502).end("bad")));
  const client = { port, wire: { ...HTTP1, client: "h2" }, ca: "" } as const;
  await expect(holdConnections({ ...EACH, client })).rejects.toThrow('a wrong answer: 502, "bad"');
});

function openConnections(server: NetServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
