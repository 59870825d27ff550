import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { holdConnections, type Clients } from "./held-connections.ts";

const content = Buffer.from([255, 0, 13, 10, 128]);

async function serve(listener: RequestListener): Promise<{ server: Server; clients: Clients }> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener).listen(0, "127.0.0.1");
  onTestFinished(() => server.close().closeAllConnections());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const exchange = { request: { method: "GET", path: "/x", fields: [] }, answer: { fields: [], content } } as const;
  const { signal } = new AbortController();
  return { server, clients: { port, connections: 10, atOnce: 3, requestsEach: 2, exchange, signal } };
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

function openConnections(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
