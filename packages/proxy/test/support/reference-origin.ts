import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { WebSocketServer } from "ws";
import { Origin, type OriginConnection } from "./origin.ts";

/** The wait of a route, in seconds. A test resolves it when what it waits for has happened. */
type Wait = (seconds: number) => Promise<unknown>;

export interface ReferenceOriginOptions {
  /** Default: no wait is one. Run by hand, it may be a real one. */
  wait?: Wait;
}

/** One request on its way through a route. */
interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What the prefix of the route leaves of the target. */
  readonly rest: string;
  /** Requests that the connection has served before. */
  readonly servedBefore: number;
  readonly wait: Wait;
  /** A field of the request. */
  readonly field: (name: string) => string | undefined;
}

const MIB = 1_048_576;

/**
 * The origin that the acceptance tests of Pingora's proxy talk to, by its observable behaviour: routes that answer late, early, by
 * halves or not at all. A target goes to the longest prefix that it begins with.
 */
export class ReferenceOrigin implements AsyncDisposable {
  readonly #options: ReferenceOriginOptions;
  readonly #servers: Server[] = [];
  readonly #served = new WeakMap<Socket, number>();
  readonly #hits = new Map<string, number>();
  readonly #webSockets: WebSocketServer = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  #raw: Origin | undefined = undefined;
  #folder = "";
  /** Method and target of the requests to the routes, in order. */
  readonly seen: string[] = [];

  private constructor(options: ReferenceOriginOptions) {
    this.#options = options;
  }

  static async start(options: ReferenceOriginOptions = {}): Promise<ReferenceOrigin> {
    const origin = new ReferenceOrigin(options);
    await origin.#start();
    return origin;
  }

  async #start(): Promise<void> {
    this.#folder = await mkdtemp(path.join(tmpdir(), "sluice-origin-"));
    const anyPort = { host: "127.0.0.1", port: 0 };
    for (const where of [anyPort, anyPort, { path: this.unixPath }]) {
      const server = createServer(this.#serve);
      server.keepAliveTimeout = 60_000;
      this.#servers.push(server);
      server.listen(where);
      await once(server, "listening");
    }
    this.#raw = await Origin.start(upgradeRoutes);
    if (this.#webSockets.address() === null) await once(this.#webSockets, "listening");
    this.#webSockets.on("headers", (headers) => headers.push("Origin-Http2: "));
    this.#webSockets.on("connection", (socket) => {
      socket.on("message", (data: Buffer, binary) => {
        const said = data.toString();
        if (said.includes("close")) socket.terminate();
        else if (said.includes("graceful")) socket.close();
        else socket.send(data, { binary });
      });
    });
  }

  /** `host:port` of the routes. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#servers[0]!.address() as AddressInfo).port;
  }

  /** The same routes, for tests that need connections of their own. */
  get secondPort(): number {
    return (this.#servers[1]!.address() as AddressInfo).port;
  }

  /** The same routes, on a Unix socket. */
  get unixPath(): string {
    return path.join(this.#folder, "origin.sock");
  }

  /** WebSocket: an echo, but a text with `close` in it drops the connection, one with `graceful` ends it by a close frame. */
  get webSocketPort(): number {
    return (this.#webSockets.address() as AddressInfo).port;
  }

  /** What changes the protocol; see {@link upgradeRoutes}. */
  get upgradePort(): number {
    return Number(this.#raw!.address.split(":")[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#webSockets.clients) client.terminate();
    await new Promise((resolve) => this.#webSockets.close(resolve));
    await this.#raw?.[Symbol.asyncDispose]();
    for (const server of this.#servers) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    }
    await rm(this.#folder, { recursive: true });
  }

  readonly #serve: RequestListener = (request, response) => {
    const servedBefore = this.#served.get(request.socket) ?? 0;
    this.#served.set(request.socket, servedBefore + 1);
    this.seen.push(`${request.method} ${request.url}`);
    response.setHeader("Origin-Http2", "");
    const target = this.#rewritten(request.url!);
    const [prefix, route] = ROUTES.find(([start]) => target.startsWith(start)) ?? ["/", notFound];
    const visit: Visit = {
      request,
      response,
      rest: target.slice(prefix.length),
      servedBefore,
      wait: this.#options.wait ?? (() => Promise.resolve()),
      field: (name) => request.headers[name]?.toString(),
    };
    // A proxy that leaves in the middle is no failure of a route.
    Promise.resolve(route(visit)).catch(() => response.destroy());
  };

  /** `/unique/<id>/rest` is `/rest`; so is `/hitcounted/<id>/rest`, which counts; `/read_hit_count/<id>` tells the count. */
  #rewritten(target: string): string {
    const [, kind, id = "", rest = ""] = /^\/(unique|hitcounted|read_hit_count)\/([^/]+)(\/.*)?$/.exec(target) ?? [];
    switch (kind) {
      case "unique":
        return rest;
      case "hitcounted":
        this.#hits.set(id, (this.#hits.get(id) ?? 0) + 1);
        return rest;
      case "read_hit_count":
        return `/read_hit_count/${this.#hits.get(id) ?? 0}`;
      default:
        return target;
    }
  }
}

type Route = (visit: Visit) => unknown;

function notFound({ response }: Visit): void {
  response.writeHead(404).end();
}

/** Answers with a body whose length is told. */
function text(body: string | Buffer): Route {
  return ({ response }) => response.setHeader("Content-Length", Buffer.byteLength(body)).end(body);
}

/** Sends some bytes of the body, and waits until they have left. */
function flushed(response: ServerResponse, piece: string): Promise<unknown> {
  return new Promise((resolve) => response.write(piece, resolve));
}

/** Ends the connection, whatever was promised on it. */
function kill({ request }: Visit): void {
  request.socket.destroy();
}

const hello = text("Hello World!\n");

const routes: Record<string, Route> = {
  "/": (visit) => (visit.rest === "" ? hello(visit) : notFound(visit)),
  "/read_hit_count/": (visit) => text(visit.rest)(visit),
  "/test": ({ response }) => response.end(),
  "/test2": text("hello world"),
  "/test3": async ({ response }) => {
    await flushed(response, "hello ");
    response.end("world");
  },
  "/test4": ({ response }) => response.end(),
  "/brotli": (visit) => {
    if (!/\bbr\b/.test(visit.field("accept-encoding") ?? "")) return visit.response.writeHead(400).end();
    visit.response.setHeader("Content-Encoding", "br");
    return text(brotliCompressSync("hello"))(visit);
  },
  "/gzip/": (visit) => {
    const accepted = visit.field("accept-encoding");
    if (accepted !== undefined) visit.response.setHeader("Received-Accept-Encoding", accepted);
    if (!/\bgzip\b/.test(accepted ?? "")) return hello(visit);
    visit.response.setHeader("Content-Encoding", "gzip");
    return text(gzipSync("Hello World!\n"))(visit);
  },
  "/client_ip": ({ request, response }) => response.setHeader("X-Client-Ip", request.socket.remoteAddress ?? "").end(),
  // Reads the body first: a request that is dropped has been sent whole.
  "/bad_lb": async (visit) => {
    const body = await buffer(visit.request);
    await visit.wait(1);
    if (visit.servedBefore > 0) kill(visit);
    else text(Buffer.concat([body.length > 0 ? body : Buffer.from("dog!"), Buffer.from("\n")]))(visit);
  },
  "/duplex/": text("A".repeat(320)),
  "/upload/": async (visit) => {
    for await (const _piece of visit.request);
    text("A".repeat(320))(visit);
  },
  "/upload_connection_die/": async (visit) => {
    visit.response.flushHeaders();
    await visit.wait(1);
    kill(visit);
  },
  "/download/": text(Buffer.alloc(4 * MIB, "A")),
  "/download_large/": async ({ response }) => {
    response.setHeader("Content-Length", 128 * MIB);
    await pipeline(Array<Buffer>(128).fill(Buffer.alloc(MIB, "A")), response);
  },
  "/tls_verify": ({ response }) => response.setHeader("Connection", "close").end(),
  "/noreuse": (visit) => {
    visit.response.setHeader("Connection", "close");
    text("hello world")(visit);
  },
  "/set_cookie": (visit) => {
    visit.response.setHeader("Set-Cookie", "chocolate chip");
    text("hello world")(visit);
  },
  "/chunked": async ({ request, response }) => {
    await buffer(request);
    response.write("A".repeat(32));
    response.end("A".repeat(32));
  },
  "/echo": ({ request, response }) => pipeline(request, response),
  "/connection_die": async (visit) => {
    await flushed(visit.response, "AAAAA");
    kill(visit);
  },
  "/103": async (visit) => {
    await earlyHints(visit);
    await visit.wait(1);
    text("123456")(visit);
  },
  "/103-die": async (visit) => {
    await earlyHints(visit);
    await visit.wait(1);
    kill(visit);
  },
  "/no_compression": async ({ response }) => {
    response.setHeader("Content-Type", "text/plain");
    await flushed(response, "B".repeat(16));
    response.end("B".repeat(16));
  },
  "/file_maker": (visit) => text(Buffer.alloc(Number(visit.field("x-set-size") ?? 1024), "A"))(visit),
  "/sleep": async (visit) => {
    const { response, field, wait } = visit;
    await wait(Number(field("x-set-sleep") ?? 1));
    if (field("x-abort") !== undefined) return kill(visit);
    if (field("x-error-header") !== undefined) response.statusCode = 500;
    if (field("x-set-content-length") !== undefined) response.setHeader("Content-Length", 11);
    await flushed(response, "hello ");
    await wait(Number(field("x-set-body-sleep") ?? 0));
    if (field("x-abort-body") !== undefined) return kill(visit);
    response.end("world");
  },
  "/set_content_length": ({ response, field }) => {
    const length = field("x-set-content-length");
    if (length !== undefined) response.setHeader("Content-Length", length);
    response.end("hello world");
  },
  "/slow_body": async ({ response, field, wait }) => {
    response.flushHeaders();
    for (const piece of ["hello ", field("x-set-hello") ?? "world", "!"]) {
      await wait(Number(field("x-set-sleep") ?? 1));
      await flushed(response, piece);
    }
    response.end();
  },
  "/content_type": (visit) => {
    visit.response.setHeader("Content-Type", visit.field("set-content-type") ?? "text/plain");
    text("hello world")(visit);
  },
};

const ROUTES = Object.entries(routes).toSorted(([a], [b]) => b.length - a.length);

function earlyHints({ response }: Visit): Promise<void> {
  return new Promise((resolve) =>
    response.writeEarlyHints({ link: "<https://foo.bar>; rel=preconnect" }, () => resolve()),
  );
}

const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nOrigin-Http2: \r\n\r\n";

/**
 * `/upgrade` greets after the 101; `/upgrade_echo_body` reads the body, which has a Content-Length, before the 101, then sends it
 * back; any other target has its 101 at once, and every byte after the head comes back, until `x-expected-body-len` did.
 */
async function upgradeRoutes(connection: OriginConnection): Promise<void> {
  const head = await connection.message({ toHead: true });
  const target = head.startLine.split(" ")[1]!;
  if (target.startsWith("/upgrade_echo_body")) {
    const body = await connection.bytes(Number(head.field("content-length")));
    connection.send(SWITCHING, body).end();
  } else if (target.startsWith("/upgrade")) {
    connection.send(SWITCHING, "hello\n").end();
  } else {
    connection.send(SWITCHING);
    const expected = Number(head.field("x-expected-body-len") ?? Number.POSITIVE_INFINITY);
    for (let echoed = 0; echoed < expected;) {
      const piece = await connection.some();
      echoed += piece.length;
      connection.send(piece);
    }
    connection.end();
  }
}
