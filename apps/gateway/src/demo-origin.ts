import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const SLOW_MS = 2000;
const MAX_BYTES = 1024 ** 3;
const BLOCK = Buffer.alloc(64 * 1024, "sluice\n");

/** A small server behind the demo's proxy, which can be stopped and started again on the same port of 127.0.0.1. */
export class DemoOrigin {
  readonly number: number;
  #server: Server | undefined;
  #port = 0;

  constructor(number: number) {
    this.number = number;
  }

  /** `127.0.0.1:port`, once it was started. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** No effect if it runs. Rejects when the port was taken meanwhile. */
  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((request, response) => void this.#answer(request, response));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Closes its connections, as a crash would. No effect if it does not run. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await answer(this.number, request, response);
    } catch {
      // The proxy went away in the middle.
      response.destroy();
    }
  }
}

async function answer(origin: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? "/";
  response.setHeader("X-Origin", origin);
  response.setHeader("Content-Type", "text/plain");
  if (path === "/echo") {
    response.setHeader("Content-Type", request.headers["content-type"] ?? "application/octet-stream");
    await pipeline(request, response);
  } else if (path.startsWith("/bytes/")) {
    await sendBytes(Number(path.slice("/bytes/".length)), response);
  } else if (path === "/slow") {
    await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    response.end(`origin ${origin} took ${SLOW_MS} ms\n`);
  } else {
    response.end(`hello from origin ${origin}\n`);
  }
}

async function sendBytes(count: number, response: ServerResponse): Promise<void> {
  if (!Number.isInteger(count) || count < 0 || count > MAX_BYTES) {
    response.statusCode = 400;
    response.end(`/bytes/N: expected N from 0 to ${MAX_BYTES}\n`);
    return;
  }
  response.setHeader("Content-Type", "application/octet-stream");
  response.setHeader("Content-Length", count);
  await pipeline(Readable.from(blocks(count)), response);
}

function* blocks(count: number): Generator<Buffer> {
  let left = count;
  for (; left >= BLOCK.length; left -= BLOCK.length) yield BLOCK;
  if (left > 0) yield BLOCK.subarray(0, left);
}
