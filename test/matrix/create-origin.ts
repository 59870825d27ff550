import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createSecureServer as createHttp2Tls,
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { createServer as createHttp1Tls } from "node:https";
import type { Server } from "node:net";
import { CERTIFICATE, type Leg } from "./legs.ts";

export type OnRequest = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

/** A server of Node in the version of the leg. */
export function createOrigin({ tls, upstream }: Leg, onRequest: OnRequest): Server {
  // Beyond 10 MB for a connection Node refuses streams.
  const memory = { maxSessionMemory: 1000 };
  if (upstream === 2)
    return tls ? createHttp2Tls({ ...CERTIFICATE, ...memory }, onRequest) : createHttp2(memory, onRequest);
  const options = { keepAliveTimeout: 60_000 };
  return tls ? createHttp1Tls({ ...options, ...CERTIFICATE }, onRequest) : createHttp1(options, onRequest);
}
