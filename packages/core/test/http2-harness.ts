import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { HttpServiceOptions } from "../src/services/http-service.ts";
import { HttpService } from "../src/services/http-service.ts";
import type { Http2ServerOptions } from "../src/http2/server-options.ts";
import { configureLogs } from "../src/log/logger.ts";
import { Http2FrameClient, type Http2FrameClientOptions } from "../src/testing/index.ts";
import { answer, see, type Handler, type Pairs, type SeenRequest } from "./harness.ts";

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A service that listens for HTTP/2 by prior knowledge, and for HTTP/1. */
export class Http2Served implements AsyncDisposable {
  readonly service: HttpService;
  /** What the app was given, in order. */
  readonly requests: SeenRequest[] = [];
  readonly logs: LogLine[] = [];
  readonly #clients: AsyncDisposable[] = [];
  #onRequest: (() => void)[] = [];

  private constructor(handler: Handler, http2: Partial<Http2ServerOptions>, http1: Partial<HttpServiceOptions>) {
    configureLogs({ levels: "info", destination: { write: (line) => this.logs.push(JSON.parse(line) as LogLine) } });
    const app = {
      handleRequest: async (session: SeenRequest["session"]): Promise<void> => {
        const seen = see(session);
        this.requests.push(seen);
        for (const tell of this.#onRequest.splice(0)) tell();
        await handler(seen);
      },
    };
    this.service = new HttpService("web", app, { ...http1, http2: { h2c: true, ...http2 } }).listenTcp("127.0.0.1:0");
  }

  static async start(
    handler: Handler = answer,
    http2: Partial<Http2ServerOptions> = {},
    http1: Partial<HttpServiceOptions> = {},
  ): Promise<Http2Served> {
    const served = new Http2Served(handler, http2, http1);
    await served.service.start();
    return served;
  }

  get address(): string {
    return this.service.addresses[0]!;
  }

  /** A client of Node; closed with the service. */
  client(settings: object = {}): ClientHttp2Session {
    const session = connect(`http://${this.address}`, { settings, strictSingleValueFields: false } as object);
    session.on("error", () => undefined);
    const closed = new Promise<void>((resolve) => session.once("close", resolve));
    this.#clients.push({
      [Symbol.asyncDispose]: () => {
        session.destroy();
        return closed;
      },
    });
    return session;
  }

  /** A client that sends frames; closed with the service. */
  async frames(options?: Http2FrameClientOptions): Promise<Http2FrameClient> {
    const client = await Http2FrameClient.connect(this.address, options);
    this.#clients.push(client);
    return client;
  }

  /** The `count`-th request, from 1. */
  async request(count = 1): Promise<SeenRequest> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#onRequest.push(resolve));
    return this.requests[count - 1]!;
  }

  /** Resolves when no connection is left. */
  async idle(): Promise<void> {
    while (this.service.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client[Symbol.asyncDispose]();
    await this.service.stop(AbortSignal.abort());
  }
}

/** What a client of Node got. */
export interface Got {
  readonly status: number;
  readonly fields: Pairs;
  /** Interim heads. */
  readonly interim: Pairs[];
  readonly body: string;
  readonly trailers: Pairs | undefined;
  /** The code of the stream's end: 0 for a good one. */
  readonly code: number;
}

/** The fields of a GET, to be changed by a test. */
export const GET: readonly string[] = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];
export const POST: readonly string[] = [":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/"];

/** Opens a stream. Without a body its end is in HEADERS. */
export function open(client: ClientHttp2Session, fields: readonly string[], endStream = true): ClientHttp2Stream {
  const stream = client.request([...fields], { endStream, waitForTrailers: false });
  stream.on("error", () => undefined);
  return stream;
}

/** Sends a request and collects what comes. */
export async function exchange(client: ClientHttp2Session, fields: readonly string[], body?: string): Promise<Got> {
  const stream = open(client, fields, body === undefined);
  const got = collect(stream);
  if (body !== undefined) stream.end(body, "latin1");
  return await got;
}

/** What comes on a stream, when it is over. */
export function collect(stream: ClientHttp2Stream): Promise<Got> {
  const interim: Pairs[] = [];
  let status = 0;
  let fields: Pairs = [];
  let trailers: Pairs | undefined;
  let body = "";
  stream.on("headers", (_headers, _flags, raw: string[]) => interim.push(pairsOf(raw)));
  stream.on("response", (headers, _flags, raw?: string[]) => {
    status = Number(headers[":status"]);
    fields = pairsOf(raw ?? []).filter(([name]) => name !== ":status");
  });
  stream.on("trailers", (_headers, _flags, raw?: string[]) => (trailers = pairsOf(raw ?? [])));
  stream.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
  return new Promise((resolve) => {
    stream.once("close", () => resolve({ status, fields, interim, body, trailers, code: stream.rstCode }));
  });
}

function pairsOf(raw: readonly string[]): Pairs {
  const pairs: Pairs = [];
  for (let at = 0; at < raw.length; at += 2) pairs.push([raw[at]!, raw[at + 1]!]);
  return pairs;
}
