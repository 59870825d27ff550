// What a request costs in our own code, without sockets: `node packages/proxy/bench/request.bench.ts`. Prints nanoseconds per
// request, hooks on: all that a proxy does but the system calls, and Node's own part of them. What counts is CPU time, all threads.
import { strictEqual } from "node:assert";
import { HttpConnector, HttpPeer, type ByteStream } from "@sluice/core";
import { Http1ClientConnection } from "../../core/src/http1/http1-client-connection.ts";
import { Http1ServerConnection } from "../../core/src/http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions } from "../../core/src/http1/server-options.ts";
import { resolveHeadLimits } from "../../core/src/http1/head-limits.ts";
import { SocketReader } from "../../core/src/net/socket-reader.ts";
import { REQUESTS, RESPONSES } from "../../core/bench/header-sets.ts";
import { HttpProxy } from "../src/http-proxy.ts";
import type { ProxyHttp } from "../src/proxy-http.ts";

// Many short samples: on a machine with others the best one had it to itself.
const ROUNDS = 4000;
const SAMPLES = 30;
const CONNECTIONS = 64;

/** A stream that takes everything at once, and flattens what it is given as a socket does. */
class Sink implements ByteStream {
  destroyed = false;
  writableLength = 0;
  bytes = 0;
  writes = 0;
  last: string | Uint8Array = "";
  static readonly flat: Buffer = Buffer.alloc(65_536);
  write(chunk: string | Uint8Array): boolean {
    this.writes++;
    this.last = chunk;
    if (typeof chunk === "string") this.bytes += Sink.flat.write(chunk, 0, "latin1");
    else this.bytes += chunk.length;
    return true;
  }
  end(): void {}
  destroy(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  on(): void {}
}

function app(): ProxyHttp<{ filtered: number }> {
  const peerAddress = "127.0.0.1:80";
  return {
    newCtx: () => ({ filtered: 0 }),
    requestFilter(_session, ctx) {
      ctx.filtered++;
    },
    upstreamPeer: () => new HttpPeer(peerAddress),
    upstreamRequestFilter(_session, request) {
      request.set("x-bench", "1");
    },
    responseFilter(_session, response) {
      response.set("x-proxied", "1");
    },
    logging(_session, _error, ctx) {
      served += ctx.filtered;
    },
  };
}
let served = 0;
/** What an exchange leaves to be done at its end. */
const microtasks = Promise.resolve();

async function measure(
  name: string,
  requestHead: string,
  response: Buffer,
  more: Partial<ProxyHttp<{ filtered: number }>> = {},
): Promise<void> {
  const request = Buffer.from(requestHead, "latin1");
  const connector = new HttpConnector();
  const proxy = new HttpProxy({ ...more, ...app() }, connector, 1, "sluice");
  const options = resolveHttp1ServerOptions({ maxRequests: 1e12 });
  const clients: { connection: Http1ServerConnection; read(bytes: Buffer): void; sink: Sink }[] = [];
  for (let n = 0; n < CONNECTIONS; n++) {
    const sink = new Sink();
    const reader = new SocketReader(false);
    const { onread } = reader;
    const connection = new Http1ServerConnection(sink, proxy, options, () => undefined, reader);
    clients.push({ connection, sink, read: feed(onread) });
  }
  // One upstream connection is enough: an exchange is over before the next begins.
  const upSink = new Sink();
  const upReader = new SocketReader(true);
  const up = new Http1ClientConnection(upSink, "127.0.0.1:80", "127.0.0.1:80", connector, resolveHeadLimits(), {
    reader: upReader,
  });
  const upRead = feed(upReader.onread);
  connector.pool.put("127.0.0.1:80", up);
  const samples: number[] = [];
  for (let sample = 0; sample < 2 * SAMPLES; sample++) {
    served = 0;
    const before = process.cpuUsage();
    for (let round = 0; round < ROUNDS; round++) {
      clients[round % CONNECTIONS]!.read(request);
      upRead(response);
      await microtasks;
    }
    const { user, system } = process.cpuUsage(before);
    samples.push(((user + system) * 1000) / ROUNDS);
    for (let turn = 0; turn < 10; turn++) await microtasks;
    strictEqual(served, ROUNDS);
  }
  const sorted = samples.slice(SAMPLES).toSorted((a, b) => a - b);
  console.log(`${name.padEnd(44)} ${sorted[SAMPLES >> 1]!.toFixed(0).padStart(6)} ns, best ${sorted[0]!.toFixed(0)}`);
  if (process.argv.includes("--show")) console.log(String(upSink.last), String(clients[0]!.sink.last).slice(0, 600));
}

/** Bytes as they come from a socket: into the buffer that the reader names. */
function feed(onread: SocketReader["onread"]): (bytes: Buffer) => void {
  let target = onread.buffer();
  return (bytes) => {
    target.set(bytes);
    onread.callback(bytes.length);
    target = onread.buffer() ?? target;
  };
}

const nginxResponse = [
  "HTTP/1.1 200 OK",
  "Server: nginx/1.22.1",
  "Date: Sun, 22 Nov 2026 19:06:40 GMT",
  "Content-Type: application/octet-stream",
  "Content-Length: %",
  "Last-Modified: Sun, 22 Nov 2026 19:06:40 GMT",
  "Connection: keep-alive",
  'ETag: "6921ffb0-d"',
  "Accept-Ranges: bytes",
].join("\r\n");

function withBody(head: string, bytes: number): Buffer {
  const text = head.replace(/Content-Length: \S+/i, `Content-Length: ${bytes}`);
  return Buffer.from(`${text.trimEnd()}\r\n\r\n${"a".repeat(bytes)}`, "latin1");
}

const wrkRequest = "GET /13.bin HTTP/1.1\r\nHost: 127.0.0.1:21001\r\n\r\n";
await measure("wrk's request, nginx's response, 13 B", wrkRequest, withBody(nginxResponse, 13));
await measure("wrk's request, nginx's response, 1 KB", wrkRequest, withBody(nginxResponse, 1024));
await measure("12 request fields, 15 response fields, 13 B", REQUESTS[1]![1], withBody(RESPONSES[1]![1], 13));

const EVERY_HOOK: Partial<ProxyHttp<{ filtered: number }>> = {
  initUpstreamModules: () => undefined,
  onConnectionReuse: () => undefined,
  earlyRequestFilter: () => undefined,
  allowSpawningSubrequest: () => false,
  proxyUpstreamFilter: () => undefined,
  connectedToUpstream: () => undefined,
  requestBodyFilter: () => undefined,
  requestTrailerFilter: () => undefined,
  adjustUpstreamModules: () => undefined,
  upstreamResponseFilter: () => undefined,
  upstreamResponseBodyFilter: () => undefined,
  responseBodyFilter: () => undefined,
  upstreamResponseTrailerFilter: () => undefined,
  responseTrailerFilter: () => undefined,
  persistConnectionContext: () => undefined,
};
await measure("the first, with every hook there is", wrkRequest, withBody(nginxResponse, 13), EVERY_HOOK);
process.exit();
