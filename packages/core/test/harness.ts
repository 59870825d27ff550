import { RequestHeader, ResponseHeader, type HeaderFields } from "@sluice/http";
import type { ProxyError } from "@sluice/error";
import type { ClientSessionEvents, RequestBody } from "../src/http/client-session.ts";
import type { ServerSession, ServerSessionEvents } from "../src/http/server-session.ts";
import { resolveHeadLimits, type HeadLimits } from "../src/http1/head-limits.ts";
import type { ExchangeLimits } from "../src/http/exchange-limits.ts";
import { Http1ClientConnection } from "../src/http1/http1-client-connection.ts";
import { Http1ServerConnection } from "../src/http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions, type Http1ServerOptions } from "../src/http1/server-options.ts";
import { record, streamPair, type Recording, type StreamPair, type StreamPairOptions } from "../src/testing/index.ts";

export type Pairs = [name: string, value: string][];

export function pairs(fields: HeaderFields): Pairs {
  return [...fields];
}

/** A request as an app saw it, updated as it arrives. */
export interface SeenRequest extends ServerSessionEvents {
  onRequestData: (chunk: Buffer) => void;
  onRequestEnd: (trailers: HeaderFields | undefined) => void;
  readonly session: ServerSession;
  body: string;
  ended: boolean;
  trailers: Pairs | undefined;
  batches: number;
  drains: number;
  error: ProxyError | undefined;
}

export interface Served {
  readonly pair: StreamPair;
  readonly connection: Http1ServerConnection;
  /** The client's end, and what it got. */
  readonly client: StreamPair["remote"];
  readonly got: Recording;
  /** What the app was given, in order. */
  readonly requests: SeenRequest[];
  readonly closedCount: () => number;
  /** Writes as the client and lets everything happen that follows. */
  send(text: string): Promise<void>;
}

export type Handler = (seen: SeenRequest) => Promise<void> | void;

/** Reads the body to its end, or to its error. */
export function wholeBody(seen: SeenRequest): Promise<void> {
  return new Promise((resolve) => {
    const { onRequestEnd } = seen;
    seen.onRequestEnd = (trailers) => {
      onRequestEnd(trailers);
      resolve();
    };
    seen.onDownstreamError = (error) => {
      seen.error = error;
      resolve();
    };
    if (seen.session.error !== undefined || seen.session.requestBodyDone) resolve();
    else seen.session.events = seen;
  });
}

/** Reads the request to its end and answers 200 with the body's length, or the error's status. */
export async function answer(seen: SeenRequest): Promise<void> {
  await wholeBody(seen);
  respond(seen.session, seen.session.error === undefined ? 200 : (seen.session.error.status ?? 400), seen.body);
}

export function respond(
  session: ServerSession,
  status: number,
  body: string,
  fields: Record<string, string> = {},
): void {
  const header = ResponseHeader.build(status, { Date: "now", ...fields, "Content-Length": body.length });
  session.writeHeader(header, body === "");
  if (body !== "") session.writeBody(Buffer.from(body, "latin1"));
  session.finish();
}

export function see(session: ServerSession): SeenRequest {
  const seen: SeenRequest = {
    session,
    body: "",
    ended: false,
    trailers: undefined,
    batches: 0,
    drains: 0,
    error: session.error,
    onRequestData: (chunk) => {
      seen.body += chunk.toString("latin1");
    },
    onRequestEnd: (trailers) => {
      seen.ended = true;
      seen.trailers = trailers && pairs(trailers);
    },
    onRequestBatch: () => seen.batches++,
    onDownstreamWritable: () => seen.drains++,
    onDownstreamError: (error) => {
      seen.error = error;
    },
  };
  return seen;
}

/** An HTTP/1 server connection whose client the test plays. */
export function serve(
  handler: Handler = answer,
  options: Partial<Http1ServerOptions> = {},
  pairOptions: StreamPairOptions = {},
): Served {
  const pair = streamPair(pairOptions);
  const requests: SeenRequest[] = [];
  let closed = 0;
  const app = {
    handleRequest: async (session: ServerSession): Promise<void> => {
      const seen = see(session);
      requests.push(seen);
      await handler(seen);
    },
  };
  const connection = new Http1ServerConnection(pair.local, app, resolveHttp1ServerOptions(options), () => closed++);
  return {
    pair,
    connection,
    client: pair.remote,
    got: record(pair.remote),
    requests,
    closedCount: () => closed,
    send: async (text) => {
      pair.remote.write(text, "latin1");
      await pair.flush();
    },
  };
}

/** What an upstream answered, updated as it arrives. */
export interface SeenResponse extends ClientSessionEvents {
  onInformational: (header: ResponseHeader) => void;
  onResponseHeader: (header: ResponseHeader, end: boolean) => void;
  onResponseData: (chunk: Buffer) => void;
  onResponseEnd: (trailers: HeaderFields | undefined) => void;
  onUpstreamError: (error: ProxyError) => void;
  informational: number[];
  header: ResponseHeader | undefined;
  /** The `end` of `onResponseHeader`. */
  headerEnd: boolean | undefined;
  body: string;
  ended: boolean;
  trailers: Pairs | undefined;
  batches: number;
  drains: number;
  error: ProxyError | undefined;
  /** The names of the events in order. */
  order: string[];
}

export function seeResponse(): SeenResponse {
  const seen: SeenResponse = {
    informational: [],
    header: undefined,
    headerEnd: undefined,
    body: "",
    ended: false,
    trailers: undefined,
    batches: 0,
    drains: 0,
    error: undefined,
    order: [],
    onInformational: (header) => {
      seen.order.push("informational");
      seen.informational.push(header.status);
    },
    onResponseHeader: (header, end) => {
      seen.order.push("header");
      seen.header = header;
      seen.headerEnd = end;
    },
    onResponseData: (chunk) => {
      if (seen.order.at(-1) !== "data") seen.order.push("data");
      seen.body += chunk.toString("latin1");
    },
    onResponseEnd: (trailers) => {
      seen.order.push("end");
      seen.ended = true;
      seen.trailers = trailers && pairs(trailers);
    },
    onResponseBatch: () => seen.batches++,
    onUpstreamWritable: () => seen.drains++,
    onUpstreamError: (error) => {
      seen.order.push("error");
      seen.error = error;
    },
  };
  return seen;
}

export interface Called {
  readonly pair: StreamPair;
  readonly connection: Http1ClientConnection;
  /** The origin's end, and what it got. */
  readonly origin: StreamPair["remote"];
  readonly got: Recording;
  /** What the connection asked its owner to keep. */
  readonly stored: { idleMs: number | undefined }[];
  readonly forgotten: string[];
  /** Begins an exchange. The head has left, as no origin answers before; unless `leaves` is false: then it does with the turn. */
  request(
    method?: string,
    body?: RequestBody,
    fields?: Record<string, string | number>,
    options?: { leaves?: boolean; reused?: boolean },
  ): SeenResponse;
  /** Writes as the origin and lets everything happen that follows. */
  send(text: string): Promise<void>;
}

/** An HTTP/1 client connection whose origin the test plays. */
export function call(
  limits: Partial<ExchangeLimits> = {},
  headLimits: Partial<HeadLimits> = {},
  pairOptions: StreamPairOptions = {},
): Called {
  const pair = streamPair(pairOptions);
  const stored: { idleMs: number | undefined }[] = [];
  const forgotten: string[] = [];
  const owner = {
    // As the pool does.
    store(connection: Http1ClientConnection, idleMs: number | undefined) {
      const state = connection.idleState();
      if (state === "usable") return stored.push({ idleMs }) > 0;
      connection.closeIdle(state);
      return false;
    },
    forget: (_: Http1ClientConnection, why: string) => void forgotten.push(why),
  };
  const connection = new Http1ClientConnection(
    pair.local,
    "origin.test:80",
    "key",
    owner,
    resolveHeadLimits(headLimits),
  );
  const exchange: ExchangeLimits = { readMs: 0, writeMs: 0, idleMs: undefined, ...limits };
  let exchanges = 0;
  return {
    pair,
    connection,
    origin: pair.remote,
    got: record(pair.remote),
    stored,
    forgotten,
    request: (method = "GET", body = "none", fields = {}, { leaves = true, reused = exchanges > 0 } = {}) => {
      exchanges++;
      connection.prepare(reused, exchange);
      const seen = seeResponse();
      connection.writeRequest(RequestHeader.build(method, "/", { Host: "a.test", ...fields }), body, seen);
      connection.flush();
      if (leaves) connection.writeLate();
      return seen;
    },
    send: async (text) => {
      pair.remote.write(text, "latin1");
      await pair.flush();
    },
  };
}
