// An origin for the tests.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import type { OriginConfig, OriginCounts } from "../support/messages.ts";
import { parent } from "../support/parent.ts";
import { pattern, patternPieces } from "../support/pattern.ts";

const config = parent.config() as OriginConfig;
const held = new Map<string, () => void>();
let connections = 0;
let sentBytes = 0;
let responses = 0;
let stopping = false;

/** The answers by path; each gets the parameters of the query. */
const ROUTES: Readonly<Record<string, (call: OriginCall) => Promise<void>>> = {
  /** `size` bytes of the pattern `seed`, `framing=chunked` or with Content-Length. */
  "/bytes": async ({ query, response }) => {
    const size = Number(query.get("size"));
    if (query.get("framing") === "chunked") response.flushHeaders();
    else response.setHeader("Content-Length", size);
    for (const piece of patternPieces(query.get("seed")!, size)) {
      const writable = response.write(piece);
      sentBytes += piece.length;
      if (!writable) await Promise.race([once(response, "drain"), once(response, "close")]);
      if (response.destroyed) return;
    }
    response.end();
  },

  /** Reads the body; says how long it was and its hash. */
  "/hash": async ({ request, response }) => {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      hash.update(chunk);
    }
    sendWhole(response, JSON.stringify({ bytes, hash: hash.digest("hex") }));
  },

  /** As `/hash`, but reads nothing until the test calls `release` with the `key`. */
  "/held": async (call) => {
    const { key } = { key: call.query.get("key")! };
    const gone = once(call.response, "close");
    await Promise.race([new Promise<void>((resolve) => held.set(key, resolve)), gone]);
    held.delete(key);
    if (!call.response.destroyed) await ROUTES["/hash"]!(call);
  },

  /** `size` bytes after some milliseconds. */
  "/page": async ({ query, response }) => {
    await sleep(Math.random() * Number(query.get("ms") ?? 0));
    sendWhole(response, pattern(query.get("seed")!, Number(query.get("size"))));
  },

  /** Something that must not be done twice. */
  "/job": async ({ request, query, response }) => {
    request.resume();
    await once(request, "end");
    appendFileSync(config.jobs!, `${query.get("id")}\n`);
    await sleep(Math.random() * Number(query.get("ms") ?? 0));
    sendWhole(response, "done");
  },
};

interface OriginCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

const server = createServer((request, response) => {
  const { pathname, searchParams: query } = new URL(request.url!, "http://origin");
  response.setHeader("X-Origin", config.tag);
  responses++;
  const closes = stopping || (config.closeEvery !== undefined && responses % config.closeEvery === 0);
  // Named, so that Node does not add its `Keep-Alive: timeout`, which would spare the proxy the surprise.
  response.setHeader("Connection", closes ? "close" : "keep-alive");
  request.on("error", () => undefined);
  ROUTES[pathname]!({ request, response, query }).catch(() => response.destroy());
});
// Says everything back.
const echo = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  echo.handleUpgrade(request, socket, head, (own) => {
    own.on("message", (data, isBinary) => own.send(data as Buffer, { binary: isBinary }));
    own.on("error", () => undefined);
  });
});
server.requestTimeout = 0;
if (config.keepAliveMs !== undefined) {
  server.keepAliveTimeout = config.keepAliveMs;
  server.keepAliveTimeoutBuffer = 0;
}
server.on("connection", (socket) => {
  connections++;
  socket.once("close", () => connections--);
});

parent.answer({
  counts: (): OriginCounts => ({ connections, sentBytes, held: held.size }),
  release: (key) => held.get(key as string)?.(),
});

// Ends as a well-behaved server does: what is in flight is answered, idle connections are closed.
process.on("SIGTERM", () => {
  stopping = true;
  server.close(() => process.exit());
  setInterval(() => server.closeIdleConnections(), 5);
});

await once(server.listen(config.port, "127.0.0.1"), "listening");
parent.listening((server.address() as AddressInfo).port);

function sendWhole(response: ServerResponse, body: string | Buffer): void {
  // It may have begun to stop meanwhile.
  if (stopping) response.setHeader("Connection", "close");
  response.setHeader("Content-Length", Buffer.byteLength(body));
  response.end(body);
}
