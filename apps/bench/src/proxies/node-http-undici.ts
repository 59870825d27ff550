// What one writes by hand without a framework: a node:http server and undici's cheapest call, with back-pressure both
// ways and without the connection's own fields.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool, type Dispatcher } from "undici";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";
import { portsFromArgv } from "./ports.ts";

const { port, originPort } = portsFromArgv();
const origin = new Pool(`http://127.0.0.1:${originPort}`, { connections: 128, pipelining: 1 });

createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
  origin.dispatch(
    {
      path: request.url ?? "/",
      method: request.method ?? "GET",
      headers: requestFields(request.rawHeaders),
      body: hasBody(request) ? request : null,
    },
    passOn(response),
  );
}).listen(port, "127.0.0.1", 4096);

function passOn(response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      response.on("close", () => {
        if (!response.writableFinished) controller.abort(new Error("the client went away"));
      });
    },
    onResponseStart(_controller, status, headers) {
      response.writeHead(status, responseFields(headers));
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return;
      controller.pause();
      response.once("drain", () => controller.resume());
    },
    onResponseEnd() {
      response.end();
    },
    onResponseError() {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    },
  };
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
}

/** Names and values by turns, which both sides take as they are: cheaper than an object. */
function requestFields(raw: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, raw[index + 1] ?? "");
  }
  return kept;
}

function responseFields(headers: IncomingHttpHeaders): (string | string[])[] {
  const kept: (string | string[])[] = [];
  for (const name in headers) {
    if (!HOP_BY_HOP.has(name)) kept.push(name, headers[name] ?? "");
  }
  return kept;
}

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
