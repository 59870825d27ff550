import { once } from "node:events";
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { RequestHeader, type HeaderFields, type HeaderFieldsInit } from "@sluice/http";
import type { ClientSession, RequestBody } from "../src/http/client-session.ts";
import { HttpPeer, type PeerOptions } from "../src/upstreams/http-peer.ts";
import { seeResponse, type SeenResponse } from "./harness.ts";

/** An exchange that the test makes on a session. */
export interface Exchange extends SeenResponse {
  readonly session: ClientSession;
  /** Resolves when the response has ended, or failed. */
  readonly over: Promise<Exchange>;
  /** Resolves when the final head has come. */
  readonly begun: Promise<Exchange>;
}

export interface Asked {
  method?: string;
  target?: string;
  fields?: HeaderFieldsInit;
  body?: RequestBody;
  /** Sent, and the end with it. Without it, nothing is sent behind the head of a request with body. */
  bytes?: string | Uint8Array;
  trailers?: HeaderFields;
  /** Changes the head before it is sent. */
  edit?: (header: RequestHeader) => void;
}

/** Begins an exchange. */
export function ask(session: ClientSession, asked: Asked = {}): Exchange {
  const { method = "GET", target = "/", fields = {}, bytes, trailers } = asked;
  const body = asked.body ?? (bytes === undefined ? "none" : "unknown-length");
  const over = Promise.withResolvers<Exchange>();
  const begun = Promise.withResolvers<Exchange>();
  const exchange = Object.assign(seeResponse(), { session, over: over.promise, begun: begun.promise });
  const { onResponseHeader, onResponseEnd, onUpstreamError } = exchange;
  exchange.onResponseHeader = (header, end) => (onResponseHeader(header, end), begun.resolve(exchange));
  exchange.onResponseEnd = (given) => (onResponseEnd(given), over.resolve(exchange));
  exchange.onUpstreamError = (error) => (onUpstreamError(error), begun.resolve(exchange), over.resolve(exchange));
  const header = RequestHeader.build(method, target, fields);
  if (!header.has("host")) header.set("Host", "a.test");
  asked.edit?.(header);
  session.writeRequest(header, body, exchange);
  if (bytes !== undefined) {
    session.writeBody(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
    session.finishRequest(trailers);
  }
  session.flush();
  return exchange;
}

/** Does something right after an event of the exchange was taken, inside the call. */
export function after<Name extends "onInformational" | "onResponseHeader" | "onResponseData">(
  exchange: Exchange,
  event: Name,
  react: (...given: Parameters<Exchange[Name]>) => void,
): void {
  const before = exchange[event] as (...given: Parameters<Exchange[Name]>) => void;
  exchange[event] = ((...given: Parameters<Exchange[Name]>) => {
    before(...given);
    react(...given);
  }) as Exchange[Name];
}

/** A peer by prior knowledge. */
export function h2c(origin: { readonly address: string }, options: PeerOptions = {}): HttpPeer {
  return new HttpPeer(origin.address, { minHttpVersion: 2, ...options });
}

export interface NodeOrigin extends AsyncDisposable {
  readonly address: string;
  readonly server: Http2Server;
  /** Connections so far. */
  readonly connections: () => number;
}

/** An origin by Node's own HTTP/2 server, in the clear. */
export async function nodeH2Origin(
  listener: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void,
  options: ServerOptions = {},
): Promise<NodeOrigin> {
  const server = createServer(options);
  let connections = 0;
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    connections++;
    sessions.add(session);
  });
  server.on("stream", (stream, headers, _flags, raw) => {
    stream.on("error", () => undefined);
    listener(stream as ServerHttp2Stream, headers, raw);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}
