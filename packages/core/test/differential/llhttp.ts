import http, { type IncomingMessage } from "node:http";
import { streamPair } from "../../src/testing/index.ts";
import type { Pairs } from "../harness.ts";
import type { Verdict } from "./verdict.ts";

// As much as we take, so that limits are no difference.
const OPTIONS = { insecureHTTPParser: false, maxHeaderSize: 65_536 } as const;

/** Gives `bytes` to the server of `node:http`, and so to llhttp in its strict mode. It answers each request. */
export async function llhttpOnRequests(bytes: string): Promise<Verdict[]> {
  const server = http.createServer(OPTIONS);
  const pair = streamPair();
  const seen: { request: IncomingMessage; body: string; complete: boolean }[] = [];
  let refused: string | undefined;
  const take = (request: IncomingMessage): (typeof seen)[number] => {
    const one = { request, body: "", complete: false };
    seen.push(one);
    request.on("data", (chunk: Buffer) => (one.body += chunk.toString("latin1")));
    request.on("error", () => undefined);
    return one;
  };
  server.on("request", (request, response) => {
    const one = take(request);
    request.on("end", () => {
      one.complete = true;
      response.end();
    });
  });
  // The bytes behind them belong to nobody's body.
  for (const event of ["connect", "upgrade"]) {
    server.on(event, (request: IncomingMessage) => (take(request).complete = true));
  }
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("clientError", (error: Error & { code?: string }, socket) => {
    refused ??= error.code ?? error.message;
    // What was complete before it is delivered: destroying the socket would take it away.
    for (const one of seen) {
      if (!one.request.complete) continue;
      one.request.read();
      one.complete = true;
    }
    socket.destroy();
  });
  server.emit("connection", pair.local);
  let answer = "";
  pair.remote.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
  pair.remote.on("error", () => undefined);
  let ended = false;
  pair.remote.on("end", () => (ended = true));
  pair.remote.on("close", () => (ended = true));
  pair.remote.write(bytes, "latin1");
  await pair.flush();

  const verdicts = seen.map(({ request, body, complete }): Verdict => {
    if (!complete) return refused === undefined ? { kind: "waits" } : { kind: "refuses", why: refused };
    const start = [request.method!, request.url!, request.httpVersion];
    return { kind: "accepts", start, fields: paired(request.rawHeaders), body, trailers: paired(request.rawTrailers) };
  });
  const last = verdicts.at(-1)?.kind;
  // A request without Host is answered by the server itself.
  if (/HTTP\/1\.1 400 /.test(answer)) verdicts.push({ kind: "refuses", why: "no Host" });
  else if (refused !== undefined && last !== "refuses") verdicts.push({ kind: "refuses", why: refused });
  else if (!ended && last !== "waits" && last !== "refuses") verdicts.push({ kind: "waits" });
  pair.local.destroy();
  pair.remote.destroy();
  return verdicts;
}

/** Gives `bytes` to the client of `node:http` as the answer to `method`. */
export async function llhttpOnResponse(bytes: string, method: string, fin: boolean): Promise<Verdict[]> {
  const pair = streamPair();
  const informational: string[] = [];
  let response: IncomingMessage | undefined;
  let body = "";
  let ended = false;
  let refused: string | undefined;
  const fail = (error: Error & { code?: string }): void => void (refused ??= error.code ?? error.message);
  const request = http.request({
    ...OPTIONS,
    method,
    headers: { Host: "a.test" },
    createConnection: () => pair.local,
  });
  request.on("information", ({ statusCode }) => informational.push(String(statusCode)));
  request.on("error", fail);
  request.on("upgrade", (message) => {
    response = message;
    ended = true;
  });
  request.on("response", (message) => {
    response = message;
    message.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    message.on("end", () => (ended = true));
    message.on("error", fail);
  });
  pair.remote.on("error", () => undefined);
  pair.remote.resume();
  request.end();
  await pair.flush();
  pair.remote.write(bytes, "latin1");
  await pair.flush();
  if (fin) pair.remote.end();
  await pair.flush();
  // What was complete before the bytes that displeased it is read.
  const complete = response !== undefined && (ended || response.complete);
  const why = refused;
  pair.local.destroy();
  pair.remote.destroy();
  if (response === undefined || !complete) {
    return [why === undefined ? { kind: "waits" } : { kind: "refuses", why }];
  }
  const start = [...informational, response.httpVersion, String(response.statusCode), response.statusMessage!];
  const fields = paired(response.rawHeaders);
  return [{ kind: "accepts", start, fields, body, trailers: paired(response.rawTrailers) }];
}

function paired(raw: readonly string[]): Pairs {
  const all: Pairs = [];
  for (let at = 0; at < raw.length; at += 2) all.push([raw[at]!, raw[at + 1]!]);
  return all;
}
