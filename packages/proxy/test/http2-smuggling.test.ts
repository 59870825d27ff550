import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { FLAG, FRAME, Http2FrameClient } from "@sluice/core/testing";
import { expect, test } from "vitest";
import { TestProxy } from "./support/proxy.ts";

const STREAMS = 20;
const CONNECTIONS = 60;

/** What could make two requests of one, or another one, for a reader of HTTP/1. */
const NAMES = [
  "x-a",
  "transfer-encoding",
  "transfer-encoding ",
  "transfer_encoding",
  "content-length",
  "te",
  "host",
  "connection",
  "upgrade",
  "cookie",
  "x a",
  "x:a",
  "X-Up",
  "x\r\ny",
  "x\0",
  "",
  "\u00e9",
  ":path",
  ":foo",
  "trailer",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
] as const;
const VALUES = [
  "",
  "0",
  "5",
  "+5",
  "5, 5",
  " 5",
  "chunked",
  "gzip, chunked",
  "trailers",
  "a\r\nx: y",
  "a\nGET /smuggled HTTP/1.1",
  "a\rb",
  "a\0b",
  " a ",
  "a\tb",
  "\u00ff",
  "100-continue",
  "close, x-id",
  "h2c",
  "test",
] as const;
const METHODS = ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "G T", "GET / HTTP/1.1\r\nx:", ""] as const;
const PATHS = [
  "/",
  "/a?b",
  "*",
  "",
  "/a b",
  "/a\r\nx: y",
  "/#f",
  "http://other/",
  "/a\0",
  "abc",
  "/ HTTP/1.1\r\nHost: other\r\n\r\n",
  "/\t",
  "/\x7f",
] as const;
const AUTHORITIES = ["test", "", "user@test", "a\r\nb", "te st", "test/", "test?x", "a,test", ":80", "[::1]"] as const;
const BODIES = ["", "hello", "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: other\r\n\r\n"] as const;

/** What Node's server says of a request that ends in the middle. */
const GIVEN_UP: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "HPE_INVALID_EOF_STATE"]);

/** mulberry32: the same numbers for the same seed. */
function random(seed: number): <T>(among: readonly T[]) => T {
  let state = seed;
  return (among) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return among[((mixed ^ (mixed >>> 14)) >>> 0) % among.length]!;
  };
}

/** Streams that have been answered or reset. */
function over(client: Http2FrameClient): number {
  const ids = client.frames.filter(
    ({ type, flags, streamId }) =>
      streamId > 0 && (type === FRAME.RST_STREAM || (type <= FRAME.HEADERS && (flags & FLAG.END_STREAM) !== 0)),
  );
  return new Set(ids.map(({ streamId }) => streamId)).size;
}

test("whatever frames a client sends, an HTTP/1 origin sees each request once, as it was, and no other", async () => {
  const bodies = new Map<string, string>();
  const seen = new Set<string>();
  const wrong: string[] = [];
  const look = (request: IncomingMessage, body: string): void => {
    const { url, headersDistinct: fields } = request;
    const id = String(fields["x-id"]);
    const told = JSON.stringify([id, request.method, url, fields]);
    if (bodies.get(id) === undefined || seen.has(id) || url!.includes("smuggled")) wrong.push(told);
    if (body !== bodies.get(id) && body !== "") wrong.push(`${told} with the body ${JSON.stringify(body)}`);
    seen.add(id);
    if (fields["host"]?.length !== 1 || !["test", "[::1]"].includes(fields["host"][0]!)) wrong.push(told);
    if (fields["transfer-encoding"] !== undefined && fields["content-length"] !== undefined) wrong.push(told);
    for (const name of ["upgrade", "keep-alive", "proxy-connection", "http2-settings"])
      if (fields[name] !== undefined) wrong.push(told);
  };
  const origin = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    request.on("error", () => undefined);
    request.on("end", () => {
      look(request, body);
      response.end("ok");
    });
  });
  origin.on("clientError", (error: Error, socket) => {
    // A request that was given up is cut; anything else is a head or a body that is none.
    if (!GIVEN_UP.has((error as NodeJS.ErrnoException).code)) wrong.push(String(error));
    socket.destroy();
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const address = `127.0.0.1:${(origin.address() as AddressInfo).port}`;
  const limits = { h2c: true, maxResets: 1_000_000, maxControlFrames: 1_000_000 };
  await using proxy = await TestProxy.start({ origin: { address } }, { http2: limits });

  for (let connection = 0; connection < CONNECTIONS; connection++) {
    const pick = random(connection + 1);
    const chance = (parts: number): boolean => pick(Array.from({ length: parts }, (_, n) => n === 0));
    const client = await Http2FrameClient.connect(proxy.address);
    for (let n = 0; n < STREAMS; n++) {
      const id = `${connection}.${n}`;
      const fields: [string, string][] = [
        [":method", chance(5) ? pick(METHODS) : pick(["GET", "POST"])],
        [":scheme", "http"],
        [":authority", chance(5) ? pick(AUTHORITIES) : "test"],
        [":path", chance(5) ? pick(PATHS) : "/"],
        ["x-id", id],
      ];
      if (chance(2)) fields.push([pick(NAMES), pick(VALUES)]);
      const body = pick(BODIES);
      bodies.set(id, body);
      client.headers(n * 2 + 1, fields, FLAG.END_HEADERS);
      const trailers = chance(3);
      client.data(n * 2 + 1, body, !trailers);
      if (trailers) client.headers(n * 2 + 1, [[pick(NAMES), pick(VALUES)]]);
    }
    while (!client.stream.closed && over(client) < STREAMS) await new Promise((resolve) => setTimeout(resolve, 2));
    await client[Symbol.asyncDispose]();
  }
  origin.closeAllConnections();
  origin.close();
  expect(wrong).toEqual([]);
  expect(seen.size).toBeGreaterThan((CONNECTIONS * STREAMS) / 4);
}, 60_000);
