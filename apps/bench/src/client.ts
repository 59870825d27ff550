import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { SecureContextOptions } from "node:tls";
import { buffer } from "node:stream/consumers";
import { urlOf, type Wire } from "./wire.ts";
import { chunksOf, isOfConnection, type Request } from "./workload.ts";

/** A whole response. */
export interface Answer {
  readonly status: number;
  /** Values by name in lower case. */
  readonly headers: NodeJS.Dict<string[]>;
  readonly content: Buffer;
}

/** A client with one connection. */
export interface Client extends Disposable {
  /** Rejects when no answer comes, or nothing for 5 s. */
  send(request: Request): Promise<Answer>;
}

/** A client with one session of HTTP/2. */
export interface Http2Client extends Client {
  /** Whether the session has ended. */
  closed(): boolean;
}

/** Whom to ask, and how. */
export interface ClientOptions {
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly wire: Wire;
  /** Who must have issued the certificate of a proxy that speaks TLS, in PEM. */
  readonly ca: string;
}

/** Makes a client that speaks as `wire` says. It connects with its first request. */
export function openClient(options: ClientOptions): Client {
  return options.wire.client === "h2" ? openHttp2Client(options) : http1Client(options);
}

/** How all clients here speak TLS. X25519, also where Node.js has a hybrid of it: the OpenSSL of a proxy may not. */
export function trust(ca: string): SecureContextOptions {
  return { ca, minVersion: "TLSv1.3", ecdhCurve: "X25519" };
}

const PATIENCE_MS = 5_000;

function http1Client({ port, wire: { tls }, ca }: ClientOptions): Client {
  const settings = { keepAlive: true, maxSockets: 1 };
  // Else a Host field would be the name that is asked for and verified.
  const agent = tls ? new HttpsAgent({ ...settings, ...trust(ca), servername: "" }) : new HttpAgent(settings);
  return {
    send: ({ method, path, fields, chunkedBody }) =>
      new Promise((resolve, reject) => {
        const headers = Object.fromEntries(fields);
        const options = { agent, host: "127.0.0.1", port, method, path, headers, timeout: PATIENCE_MS };
        const request = tls ? httpsRequest(options) : httpRequest(options);
        request.once("response", (response) => {
          buffer(response).then(
            (content) => resolve({ status: response.statusCode ?? 0, headers: response.headersDistinct, content }),
            reject,
          );
        });
        request.once("timeout", () => request.destroy(silence()));
        request.once("error", reject);
        for (const chunk of chunkedBody ? chunksOf(chunkedBody) : []) request.write(chunk);
        request.end();
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** Connects at once. */
export function openHttp2Client({ port, wire, ca }: ClientOptions): Http2Client {
  const session = connect(urlOf(wire, port, ""), trust(ca));
  session.on("error", () => {}); // which each of its streams gets, too
  return {
    async send({ method, path, fields, chunkedBody }) {
      const own = fields.filter(([name]) => !isOfConnection(name));
      const stream = session.request(
        { ":method": method, ":path": path, ...Object.fromEntries(own) },
        { endStream: false },
      );
      stream.setTimeout(PATIENCE_MS, () => stream.destroy(silence()));
      for (const chunk of chunkedBody ? chunksOf(chunkedBody) : []) stream.write(chunk);
      stream.end();
      const [head] = (await once(stream, "response")) as [IncomingHttpHeaders];
      const headers = Object.entries(head).map(([name, value]) => [name, value === undefined ? [] : [value].flat()]);
      return {
        status: Number(head[":status"]),
        headers: Object.fromEntries(headers) as Answer["headers"],
        content: await buffer(stream),
      };
    },
    closed: () => session.closed || session.destroyed,
    [Symbol.dispose]: () => session.destroy(),
  };
}

function silence(): Error {
  return new Error(`nothing for ${PATIENCE_MS / 1000} s`);
}
