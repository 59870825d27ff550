import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer as createHttp1, request as http1Request, type IncomingMessage } from "node:http";
import {
  connect as connectHttp2,
  constants,
  createSecureServer as createHttp2Tls,
  createServer as createHttp2,
  type ClientHttp2Session,
  type Http2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { Agent as TlsAgent, createServer as createHttp1Tls, request as https1Request } from "node:https";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { HttpPeer, type HttpProxyOptions } from "../../packages/proxy/src/index.ts";
import { opensslTls } from "../../packages/tls-openssl/src/index.ts";
import { TestProxy, type TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { peerOptions, CERTIFICATE, TRUSTED, type Leg } from "./legs.ts";

type Fields = Record<string, string | string[] | undefined>;

/** A handshake as it came to the origin, the same whatever the version. */
export interface Handshake {
  readonly path: string;
  readonly fields: Fields;
  /** Agrees; what follows are the bytes of the tunnel. */
  accept(fields?: Record<string, string>): Duplex;
  refuse(status: number, body: string): void;
  /** Leaves without an answer. */
  cut(): void;
}

/** What a client got for its handshake. */
export interface Opened {
  readonly status: number;
  readonly fields: Fields;
  /** The tunnel, or the body of what the origin answered instead. */
  readonly stream: Duplex;
}

export interface WebSocketLine extends AsyncDisposable {
  readonly proxy: TestProxy<object>;
  readonly handshakes: Handshake[];
  /** Asks for a WebSocket. */
  open(path: string, fields?: Record<string, string>, protocol?: string): Promise<Opened>;
  /** A `GET` on the connection of the client, or on another one. */
  get(path: string): Promise<number>;
}

/** A client, a proxy and an origin of WebSockets, in the versions of a leg. */
export async function webSocketLine(
  leg: Leg,
  shake: (handshake: Handshake) => unknown,
  app: TestApp<object> = {},
  options: HttpProxyOptions = {},
): Promise<WebSocketLine> {
  const handshakes: Handshake[] = [];
  const { server, sockets } = await webSocketOrigin(leg, (handshake) => {
    handshakes.push(handshake);
    shake(handshake);
  });
  const peer = new HttpPeer(`127.0.0.1:${(server.address() as AddressInfo).port}`, peerOptions(leg));
  const proxy = await TestProxy.start(
    { origin: peer, ...app },
    { tls: opensslTls(), ...options, http2: { h2c: true, ...options.http2 } },
    {},
    (service) =>
      leg.tls ? service.listenTls("127.0.0.1:0", { certificates: [CERTIFICATE] }) : service.listenTcp("127.0.0.1:0"),
  );
  const client = leg.downstream === 2 ? http2Client(leg, proxy.address) : http1Client(leg, proxy.address);
  return {
    ...client,
    proxy,
    handshakes,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The messages of WebSocket on a tunnel, by `ws`, which knows only HTTP/1 by itself. */
export function webSocketOn(stream: Duplex, isServer: boolean, protocol = ""): WebSocket {
  const Made = WebSocket as unknown as new (...given: unknown[]) => WebSocket & {
    setSocket(stream: Duplex, head: Buffer, options: object): void;
  };
  const socket = new Made(null, undefined, { autoPong: true, closeTimeout: 5000 });
  Object.assign(socket, { _isServer: isServer, _protocol: protocol });
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 64 * 1024 * 1024, skipUTF8Validation: false });
  socket.on("error", () => undefined);
  return socket;
}

type Client = Pick<WebSocketLine, "open" | "get"> & AsyncDisposable;

function http1Client(leg: Leg, address: string): Client {
  const [host, port] = address.split(":");
  const agent = leg.tls ? new TlsAgent({ ca: TRUSTED, servername: "" }) : new Agent();
  const send = leg.tls ? https1Request : http1Request;
  const tunnels: Duplex[] = [];
  return {
    async open(path, fields = {}, protocol = "websocket") {
      const headers = {
        Connection: "Upgrade",
        Upgrade: protocol,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ...fields,
      };
      const request = send({ host, port, path, headers, agent, allowHalfOpen: true } as object);
      request.end();
      return await new Promise((resolve, reject) => {
        request.on("error", reject);
        request.on("response", (stream: IncomingMessage) =>
          resolve({ status: stream.statusCode!, fields: stream.headers, stream: stream as unknown as Duplex }),
        );
        request.on("upgrade", ({ statusCode, headers: given }: IncomingMessage, stream: Duplex, early: Buffer) => {
          if (early.length > 0) stream.unshift(early);
          stream.on("error", () => undefined);
          tunnels.push(stream);
          resolve({ status: statusCode!, fields: given, stream });
        });
      });
    },
    async get(path) {
      const request = send({ host, port, path, agent });
      request.end();
      const [response] = (await once(request, "response")) as [IncomingMessage];
      response.resume();
      return response.statusCode!;
    },
    [Symbol.asyncDispose]: async () => {
      for (const tunnel of tunnels) tunnel.destroy();
      agent.destroy();
    },
  };
}

function http2Client(leg: Leg, address: string): Client {
  let session: ClientHttp2Session | undefined;
  const connected = async (): Promise<ClientHttp2Session> => {
    if (session === undefined) {
      session = connectHttp2(`${leg.tls ? "https" : "http"}://${address}`, { ca: TRUSTED });
      session.on("error", () => undefined);
      await once(session, "remoteSettings");
    }
    return session;
  };
  return {
    async open(path, fields = {}, protocol = "websocket") {
      const stream = (await connected()).request(
        { ":method": "CONNECT", ":protocol": protocol, ":path": path, "sec-websocket-version": "13", ...fields },
        { endStream: false },
      );
      stream.on("error", () => undefined);
      const [given] = (await once(stream, "response")) as [Fields];
      return { status: Number(given[":status"]), fields: given, stream };
    },
    async get(path) {
      const stream = (await connected()).request({ ":path": path });
      const [given] = (await once(stream, "response")) as [Fields];
      stream.resume();
      return Number(given[":status"]);
    },
    [Symbol.asyncDispose]: async () => session?.destroy(),
  };
}

async function webSocketOrigin(
  leg: Leg,
  shake: (handshake: Handshake) => void,
): Promise<{ server: Server; sockets: Set<Socket> }> {
  const server = leg.upstream === 2 ? http2Origin(leg, shake) : http1Origin(leg, shake);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, sockets };
}

function http1Origin({ tls }: Leg, shake: (handshake: Handshake) => void): Server {
  const server = tls ? createHttp1Tls({ ...CERTIFICATE, allowHalfOpen: true } as object) : createHttp1();
  server.on("request", (_request: IncomingMessage, response: { end(text: string): void }) => response.end("plain"));
  server.on("upgrade", (request: IncomingMessage, stream: Duplex, early: Buffer) => {
    stream.on("error", () => undefined);
    shake({
      path: request.url!,
      fields: request.headers,
      accept(fields = {}) {
        const accepted = webSocketAccept(request.headers["sec-websocket-key"]!);
        const lines = Object.entries({ "Sec-WebSocket-Accept": accepted, ...fields });
        const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
        stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${text}\r\n`);
        if (early.length > 0) stream.unshift(early);
        return stream;
      },
      refuse(status, body) {
        stream.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      },
      cut: () => cut(stream),
    });
  });
  return server;
}

function http2Origin({ tls }: Leg, shake: (handshake: Handshake) => void): Server {
  const settings = { enableConnectProtocol: true };
  const server = tls ? createHttp2Tls({ ...CERTIFICATE, settings }) : createHttp2({ settings });
  server.on("stream", (stream: ServerHttp2Stream, fields: IncomingHttpHeaders) => {
    stream.on("error", () => undefined);
    if (fields[":protocol"] !== "websocket") {
      stream.respond({ ":status": 200 });
      stream.end("plain");
      return;
    }
    shake({
      path: fields[":path"]!,
      fields,
      accept(more = {}) {
        stream.respond({ ":status": 200, ...more });
        return stream;
      },
      refuse(status, body) {
        stream.respond({ ":status": status });
        stream.end(body);
      },
      cut: () => cut(stream),
    });
  });
  return server;
}

/** Ends a tunnel, or what should become one, by a reset. */
export function cut(stream: Duplex): void {
  if ("rstCode" in stream) {
    // Node ends what it resets, and END_STREAM would leave first.
    stream._final = () => undefined;
    (stream as Http2Stream).close(constants.NGHTTP2_CANCEL);
  } else if ("encrypted" in stream) stream.destroy();
  else (stream as Socket).resetAndDestroy();
}

/** RFC 6455, section 4.2.2. */
function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
