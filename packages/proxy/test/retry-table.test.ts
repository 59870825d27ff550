import dns from "node:dns";
import { constants } from "node:http2";
import { HttpPeer, ProxyError, type PeerOptions } from "@sluice/proxy";
import { afterEach, expect, test, vi } from "vitest";
import { DATA, HEADERS, MAX_CONCURRENT_STREAMS } from "../../core/test/http2-frames.ts";
import { data, FrameOrigin, goaway, head, ok, reset, type FrameConnection } from "../../core/test/http2-origin.ts";
import { blackhole } from "./support/blackhole.ts";
import { docTable } from "./support/doc-table.ts";
import { patternBytes } from "./support/message.ts";
import { OK, Origin, refusedAddress, type OriginScript } from "./support/origin.ts";
import { get, startProxy, type LogLine, type TestApp } from "./support/proxy.ts";
import type { Wire } from "./support/wire.ts";

/** Every row of the table in docs/failures.md that says what is tried again, done. */

afterEach(() => {
  vi.restoreAllMocks();
});

const { lookup } = dns;

type App = TestApp<object>;

/** How a row is done, with the hooks of `app`. */
type Case = (app: App, again: boolean) => Promise<Outcome>;

const POST = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";
const HUGE = patternBytes(32_000_000);

function put(body: Uint8Array): [string, Uint8Array] {
  return [`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body];
}

interface Sending {
  /** Attempts in total. Default 2: one more than the first. */
  maxAttempts?: number;
  peer?: PeerOptions;
  request?: (string | Uint8Array)[];
  /** What the client does then; by default it reads to the end. */
  client?: (client: Wire, origin: Origin) => Promise<unknown>;
  /** A request before, so that there is an idle connection. */
  warm?: boolean;
  /** What the origin gets is no request. */
  noBytes?: boolean;
}

interface Outcome {
  tries: number;
  /** What the origin got of the request, over all attempts. */
  seenBytes: number;
  logs: readonly LogLine[];
}

/** Sends a request through the proxy with this app, and waits until it is over. */
async function send(app: App, script: OriginScript, options: Sending = {}): Promise<Outcome> {
  const { maxAttempts = 2, warm = false, request = [get()] } = options;
  await using origin = await Origin.start(async (connection) => {
    if (warm && connection.index === 0) {
      await connection.message();
      connection.send(OK);
    }
    await script(connection);
  });
  await using proxy = await startProxy({ origin: new HttpPeer(origin.address, options.peer), ...app }, { maxAttempts });
  const client = await proxy.connect();
  if (warm) {
    client.send(get("/warm"));
    await client.message();
  }
  const received = (): number => origin.connections.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  const before = received();
  client.send(...request);
  await (options.client ?? (() => client.rest()))(client, origin);
  const { session } = await proxy.whenFinished(warm ? 2 : 1);
  const seenBytes = options.noBytes === true ? 0 : received() - before;
  return { tries: session.tries, seenBytes, logs: proxy.logs };
}

/** The same, to an origin of HTTP/2; of what it got, requests and their bodies count. */
async function sendHttp2(
  app: App,
  script: (connection: FrameConnection, stream: number) => unknown,
  options: Pick<Sending, "peer" | "request" | "warm"> & { settings?: Readonly<Record<number, number>> } = {},
): Promise<Outcome> {
  const { peer, request = [get()], settings, warm = false } = options;
  let sent = 0;
  await using origin = await FrameOrigin.start(async (connection, index) => {
    if (warm && index === 0) connection.send(ok(await connection.request()));
    for (;;) {
      const stream = await connection.request();
      sent += connection.heard.filter(({ type }) => type === HEADERS || type === DATA).length;
      script(connection, stream);
    }
  }, settings);
  const to = new HttpPeer(origin.address, { minHttpVersion: 2, ...peer });
  await using proxy = await startProxy({ origin: to, ...app }, { maxAttempts: 2 });
  const client = await proxy.connect();
  if (warm) {
    client.send(get("/warm"));
    await client.message();
  }
  client.send(...request);
  await client.rest();
  const { session } = await proxy.whenFinished(warm ? 2 : 1);
  return { tries: session.tries, seenBytes: sent, logs: proxy.logs };
}

/** An origin that takes the request and answers with this, then ends. */
function answers(response: string): OriginScript {
  return async (connection) => {
    await connection.message();
    await connection.sent(response);
    connection.close();
  };
}

const closes = answers("");

/** A reused connection of which the origin says so much, and its end, while a hook waits and nothing of the request was sent. */
function endsIn(hook: "upstreamRequestFilter" | "requestBodyFilter", words: string, app: App): Promise<Outcome> {
  const reached = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const wait: App["upstreamRequestFilter"] & App["requestBodyFilter"] = async (session) => {
    if (session.request.method !== "POST" || session.tries > 1) return;
    reached.resolve();
    await ended.promise;
  };
  const script: OriginScript = async (connection) => {
    if (connection.index > 0) {
      await closes(connection);
      return;
    }
    await reached.promise;
    connection.send(words).end();
    await connection.whenEnded();
    expect(connection.peek()).toBe("");
    ended.resolve();
  };
  const request = ["POST / HTTP/1.1\r\nHost: test\r\n\r\n"];
  return send({ ...app, [hook]: wait }, script, { warm: true, request, noBytes: true });
}

/** The same by HTTP/2. */
const ends = (connection: FrameConnection): unknown => connection.socket.end();

const { NGHTTP2_CANCEL: CANCEL, NGHTTP2_ENHANCE_YOUR_CALM: CALM, NGHTTP2_REFUSED_STREAM: REFUSED } = constants;

const idle: OriginScript = (connection) => connection.whenEnded();

function fails(): never {
  throw new Error("boom");
}

const CASES: Readonly<Record<string, readonly Case[]>> = {
  "`upstreamPeer` throws": [
    (app, again) =>
      send(
        {
          ...app,
          upstreamPeer() {
            throw new ProxyError("NoPeer", { retry: again });
          },
        },
        idle,
      ),
  ],
  "the peer's name has no address": [
    (app) => {
      const error = Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND", syscall: "getaddrinfo" });
      const failing = (name: string, options: object, callback: (error: Error | null) => void): void => {
        if (name === "origin.test") setImmediate(callback, error);
        else lookup(name, options, callback);
      };
      vi.spyOn(dns, "lookup").mockImplementation(failing as typeof lookup);
      return send({ ...app, origin: new HttpPeer("origin.test:80") }, idle);
    },
  ],
  "the connection is refused": [async (app) => send({ ...app, origin: { address: await refusedAddress() } }, idle)],
  "`connectMs` runs out": [
    async (app) => {
      await using hole = await blackhole();
      return await send({ ...app, origin: new HttpPeer(hole.address, { connectMs: 50 }) }, idle);
    },
  ],
  "HTTP/2: the upstream does not speak it": [
    (app) => send(app, answers("HTTP/1.1 400 Bad Request\r\n\r\n"), { peer: { minHttpVersion: 2 }, noBytes: true }),
  ],
  "HTTP/2: no stream is free within `connectMs`": [
    (app) => sendHttp2(app, () => undefined, { settings: { [MAX_CONCURRENT_STREAMS]: 0 } }),
  ],
  "`connectedToUpstream` or `upstreamRequestFilter` throws": [
    (app) => send({ ...app, connectedToUpstream: fails }, idle),
    (app) => send({ ...app, upstreamRequestFilter: fails }, idle),
  ],
  "`requestBodyFilter` throws": [(app) => send({ ...app, requestBodyFilter: fails }, idle, { request: [POST] })],
  "a reused connection ends before any byte of a response, the method is idempotent": [
    (app) => send(app, closes, { warm: true }),
    (app) => send(app, closes, { warm: true, request: put(patternBytes(1000)) }),
    (app) => sendHttp2(app, ends, { warm: true }),
    (app) => sendHttp2(app, ends, { warm: true, request: put(patternBytes(1000)) }),
  ],
  "a reused connection ends before any byte of a response, the method is another": [
    (app) => send(app, closes, { warm: true, request: [POST] }),
    (app) => sendHttp2(app, ends, { warm: true, request: [POST] }),
  ],
  "a reused connection ends, or speaks, before any byte of the request was sent": [
    (app) => endsIn("upstreamRequestFilter", "", app),
    (app) => endsIn("requestBodyFilter", "", app),
    (app) => endsIn("requestBodyFilter", OK, app),
  ],
  "a fresh connection ends before any byte of a response": [(app) => send(app, closes), (app) => sendHttp2(app, ends)],
  "HTTP/2: GOAWAY or REFUSED_STREAM says that the request was not processed": [
    (app) => sendHttp2(app, (connection) => connection.send(goaway(0)), { request: [POST] }),
    (app) => sendHttp2(app, (connection) => connection.send(goaway(0, CALM)), { request: [POST] }),
    (app) => sendHttp2(app, (connection, stream) => connection.send(reset(stream, REFUSED)), { request: [POST] }),
  ],
  "HTTP/2: the stream is reset otherwise before the response head": [
    (app) => sendHttp2(app, (connection, stream) => connection.send(reset(stream, CANCEL))),
    (app) => sendHttp2(app, (connection, stream) => connection.send(reset(stream, CALM)), { warm: true }),
  ],
  "the connection ends behind an interim response": [
    (app) => send(app, answers("HTTP/1.1 103 Early Hints\r\n\r\n")),
    (app) => send(app, answers("HTTP/1.1 103 Early Hints\r\n\r\n"), { warm: true }),
  ],
  "the connection ends inside the response head": [
    (app) => send(app, answers("HTTP/1.1 200 OK\r\nContent-")),
    (app) => send(app, answers("HTTP/1.1 200 OK\r\nContent-"), { warm: true }),
  ],
  "the response head is malformed": [(app) => send(app, answers("garbage\r\n\r\n"))],
  "`readMs` runs out before the response head": [(app) => send(app, idle, { peer: { readMs: 40 } })],
  "`upstreamResponseFilter` or `responseFilter` throws": [
    (app) => send({ ...app, upstreamResponseFilter: fails }, answers(OK)),
    (app) => send({ ...app, responseFilter: fails }, answers(OK)),
  ],
  "anything, when the response head has gone down": [
    (app) => send(app, answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
    (app) =>
      sendHttp2(app, (connection, stream) =>
        connection.send(head(stream, { ":status": "200" }), data(stream, "half"), reset(stream, REFUSED)),
      ),
    (app) => send({ ...app, responseBodyFilter: fails }, answers(OK)),
    (app) =>
      send(app, answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), {
        warm: true,
      }),
  ],
  "anything, when more than 64 KiB of the request body were read": [
    (app) => send(app, closes, { warm: true, request: put(patternBytes(65_537)) }),
    (app) => send(app, answers("garbage\r\n\r\n"), { request: put(patternBytes(65_537)) }),
  ],
  "`writeMs` runs out: by then more than 64 KiB of the body were read": [
    (app) => send(app, async (connection) => void connection.pause(), { peer: { writeMs: 60 }, request: put(HUGE) }),
  ],
  "anything, when `maxAttempts` were made": [
    async (app) => send({ ...app, origin: { address: await refusedAddress() } }, idle, { maxAttempts: 1 }),
    (app) => send(app, closes, { maxAttempts: 1 }),
  ],
  "the client leaves": [
    (app) =>
      send(app, (connection) => connection.message(), {
        async client(client, origin) {
          await (await origin.connection()).upTo("\r\n\r\n");
          client.close();
        },
      }),
  ],
};

/** The hooks that decide say yes. */
const YES: App = {
  failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
  errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
};

/** The hooks that decide say no. */
const NO: App = {
  failToConnect: (_session, _peer, _ctx, error) => error.setRetry(false),
  errorWhileProxy: (_peer, _session, error) => error.setRetry(false),
};

function hookOf(decidedIn: string, all: App): App {
  const hook = /^`(failToConnect|errorWhileProxy)`$/.exec(decidedIn)?.[1] as keyof App | undefined;
  return hook === undefined ? {} : { [hook]: all[hook] };
}

const rows = (await docTable("failures.md", "an attempt fails:")).map(
  ([row = "", seen = "", again = "", hook = ""]) => ({
    row,
    seen,
    again,
    hook,
  }),
);

test("the table has the rows that are done here, and no others", () => {
  expect(rows.map(({ row }) => row)).toEqual(Object.keys(CASES));
  expect(new Set(rows.map(({ again }) => again))).toEqual(new Set(["yes", "no", "never"]));
});

test.each(rows)("by default: $row: $again", async ({ row, seen, again }) => {
  for (const one of CASES[row]!) {
    const { tries, seenBytes } = await one({}, false);
    expect(tries).toBe(again === "yes" ? 2 : 1);
    if (seen === "nothing") expect(seenBytes).toBe(0);
    if (seen === "the request") expect(seenBytes).toBeGreaterThan(0);
  }
});

test.each(rows.filter(({ again }) => again !== "never"))("$row: $hook decides", async ({ row, hook }) => {
  for (const one of CASES[row]!) {
    expect(await one(hookOf(hook, YES), true)).toMatchObject({ tries: 2 });
    expect(await one(hookOf(hook, NO), false)).toMatchObject({ tries: 1 });
  }
});

test.each(rows.filter(({ again }) => again === "never"))("$row: never, whatever a hook says", async ({ row }) => {
  for (const one of CASES[row]!) expect(await one(YES, true)).toMatchObject({ tries: 1 });
});

test("the log says when another attempt was wanted and all were made", async () => {
  const { logs } = await send(YES, closes);
  expect(logs).toMatchObject([
    { level: 40, tries: 1 },
    { level: 50, tries: 2, retries_exhausted: true },
  ]);
});
