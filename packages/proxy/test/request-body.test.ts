import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import type { HttpModule } from "@sluice/core";
import {
  HttpPeer,
  pipeSubrequest,
  presetBody,
  ProxyError,
  type ProxyHttp,
  type RequestBodyOptions,
  type Session,
} from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { chunked, patternBytes, type Message } from "./support/message.ts";
import { answering, OK, Origin, refusedAddress } from "./support/origin.ts";
import { gate, get, startProxy, type TestProxy } from "./support/proxy.ts";
import { settled } from "./support/settled.ts";
import { answerOf, echoing, piping, spawning } from "./support/subrequests.ts";
import type { Wire } from "./support/wire.ts";

afterEach(() => {
  vi.useRealTimers();
});

const FRAMINGS = ["content-length", "chunked"] as const;

function post(body: Uint8Array, framing: (typeof FRAMINGS)[number] = "content-length", fields = ""): Buffer {
  const [field, payload] =
    framing === "chunked" ? ["Transfer-Encoding: chunked", chunked(body)] : [`Content-Length: ${body.length}`, body];
  return Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\nHost: test\r\n${fields}${field}\r\n\r\n`), payload]);
}

/** An origin that keeps what it got, for each of its connections, and answers with 200. */
async function recordingOrigin(): Promise<{ origin: Origin; seen: Message[][] }> {
  const seen: Message[][] = [];
  const origin = await Origin.start(async (connection) => {
    const own: Message[] = [];
    seen.push(own);
    for (;;) {
      own.push(await connection.message());
      connection.send(OK);
    }
  });
  return { origin, seen };
}

/** The same, but its first connection is dropped once the second request has come whole. */
async function droppingOrigin(): Promise<{ origin: Origin; seen: Message[][] }> {
  const seen: Message[][] = [];
  const origin = await Origin.start(async (connection) => {
    const own: Message[] = [];
    seen.push(own);
    for (;;) {
      own.push(await connection.message());
      if (connection.index === 0 && own.length === 2) break;
      connection.send(OK);
    }
    connection.close();
  });
  return { origin, seen };
}

/** A client for whom one request has been served, so that the next goes on a reused connection. */
async function warm(proxy: TestProxy<object>): Promise<Wire> {
  const client = await proxy.send(get("/warm"));
  await client.message();
  await proxy.whenFinished();
  expect(proxy.pool.idleCount).toBe(1);
  return client;
}

/** What `action` was rejected with; `undefined` if it was not. */
async function rejection(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Lets the event loop turn until it is so: for what has no event. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

const READING = ["earlyRequestFilter", "requestFilter", "proxyUpstreamFilter", "upstreamPeer"] as const;
const MODES = [0, 1, 16_384, 65_536, 65_537, 3 << 20].flatMap((size) => FRAMINGS.map((framing) => ({ size, framing })));

describe("readRequestBody", () => {
  test.each(MODES)("gives $size bytes ($framing), which go up as they came", async ({ size, framing }) => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    const read: Buffer[] = [];
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void read.push(await session.readRequestBody({ maxBytes: size })),
    });
    const body = patternBytes(size);
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(post(body, framing));
      expect((await client.message()).field("connection")).toBeUndefined();
    }
    expect(read.map((one) => one.equals(body))).toEqual([true, true]);
    expect(seen.flat().map((one) => one.body.equals(body))).toEqual([true, true]);
    expect(seen.flat().map((one) => one.field("content-length"))).toEqual(
      Array.from({ length: 2 }, () => (framing === "chunked" ? undefined : `${size}`)),
    );
    expect(origin.connections).toHaveLength(1);
    expect(proxy.logs).toEqual([]);
  });

  test.each(READING)("in %s", async (hook) => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    let read = "";
    await using proxy = await startProxy({
      origin,
      async [hook](session: Session) {
        read = (await session.readRequestBody({ maxBytes: 100 })).toString();
        return hook === "upstreamPeer" ? new HttpPeer(origin.address) : undefined;
      },
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect([(await client.message()).status, read, seen[0]![0]!.body.toString()]).toEqual([200, "hello", "hello"]);
  });

  test("gives an empty buffer where there is no body", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    const lengths: number[] = [];
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void lengths.push((await session.readRequestBody({ maxBytes: 0 })).length),
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(200);
    expect([lengths, seen[0]![0]!.fields.map(([name]) => name)]).toEqual([[0], ["Host", "Via"]]);
  });

  test("gives pieces that came one by one, however small", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    let read: Buffer | undefined;
    let session: Session | undefined;
    await using proxy = await startProxy({
      origin,
      async requestFilter(given) {
        session = given;
        read = await given.readRequestBody({ maxBytes: 100_000 });
      },
    });
    const body = patternBytes(20_500);
    const client = await proxy.send(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`);
    for (let at = 0; at < 500; at++) {
      client.send(body.subarray(at, at + 1));
      await until(() => session?.downstream.requestBodyBytes === at + 1);
    }
    client.send(body.subarray(500));
    expect((await client.message()).status).toBe(200);
    expect([read!.equals(body), seen[0]![0]!.body.equals(body)]).toEqual([true, true]);
  });

  test("gives the trailers, too, and what is edited there goes up", async () => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    const trailers: unknown[] = [];
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        trailers.push(session.requestTrailers);
        await session.readRequestBody({ maxBytes: 10 });
        trailers.push(session.requestTrailers?.get("x-sum"));
        session.requestTrailers?.set("X-Checked", "yes");
      },
    });
    const client = await warm(proxy);
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunked(Buffer.from("hello"), 2, "X-Sum: 42\r\n"));
    expect((await client.message()).status).toBe(200);
    expect(trailers).toEqual([undefined, undefined, undefined, "42"]);
    const expected = [
      ["X-Sum", "42"],
      ["X-Checked", "yes"],
    ];
    expect([seen[0]![1]!.trailers, seen[1]![0]!.trailers]).toEqual([expected, expected]);
  });

  test("leaves the next request, which is already there, as it is", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    const { opened, open } = gate();
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        const body = await session.readRequestBody({ maxBytes: 10 });
        await opened;
        return body.toString() === "answer" ? session.respond(200, { body: "own" }) : undefined;
      },
    });
    const bodies = ["one", "answer", "two", "three"];
    const client = await proxy.send(
      ...bodies.map((body) => post(Buffer.from(body), body === "two" ? "chunked" : undefined)),
    );
    open();
    const answers = [];
    while (answers.length < 4) answers.push((await client.message()).body.toString());
    expect(answers).toEqual(["ok", "own", "ok", "ok"]);
    expect(seen.flat().map(({ body }) => body.toString())).toEqual(["one", "two", "three"]);
  });

  test("gives later calls the same buffer, within their own limits", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    let results: unknown[] = [];
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        const first = await session.readRequestBody({ maxBytes: 5 });
        results = [
          (await session.readRequestBody({ maxBytes: 6 })) === first,
          await rejection(session.readRequestBody({ maxBytes: 4 })),
        ];
      },
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(200);
    expect(results).toEqual([true, expect.objectContaining({ type: "HTTPStatus", status: 413 })]);
  });

  test("is shared by calls at the same time, each with its own limits", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    let results: unknown[] = [];
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        const calls = [10, 3, 20].map((maxBytes) => session.readRequestBody({ maxBytes }));
        results = (await Promise.allSettled(calls)).map((one) =>
          one.status === "fulfilled" ? one.value : (one.reason as ProxyError).status,
        );
      },
    });
    const client = await proxy.send(post(Buffer.from("hello"), "chunked"));
    expect((await client.message()).status).toBe(200);
    expect([String(results[0]), results[1], results[0] === results[2]]).toEqual(["hello", 413, true]);
    expect(seen[0]![0]!.body.toString()).toBe("hello");
  });
});

test("a call that has failed has no more part in the reading", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  let read = "";
  let error: unknown;
  await using proxy = await startProxy({
    async requestFilter(session) {
      const small = session.readRequestBody({ maxBytes: 3, timeoutMs: 1000 });
      const large = session.readRequestBody({ maxBytes: 10 });
      error = await rejection(small);
      read = (await large).toString();
      return session.respond(204);
    },
  });
  const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n");
  await until(() => error !== undefined);
  await vi.advanceTimersByTimeAsync(1001);
  client.send("0\r\n\r\n");
  expect([(await client.message()).status, read]).toEqual([204, "four"]);
});

test("the session is left as it was, for who reads on by itself", async () => {
  const read: string[] = [];
  await using proxy = await startProxy({
    async requestFilter(session) {
      const { downstream } = session;
      await rejection(session.readRequestBody({ maxBytes: 3 }));
      const ended = Promise.withResolvers<void>();
      downstream.events = {
        onRequestData: (chunk) => void read.push(chunk.toString()),
        onRequestEnd: () => ended.resolve(),
        onRequestBatch: () => undefined,
        onDownstreamWritable: () => undefined,
        onDownstreamError: ended.reject,
      };
      await ended.promise;
      return session.respond(204);
    },
  });
  const chunks = "4\r\nfour\r\n5\r\nfiver\r\n0\r\n\r\n";
  const client = await proxy.send(`POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
  expect([(await client.message()).status, read]).toEqual([204, ["fiver"]]);
});

describe("what was read", () => {
  test.each(FRAMINGS)("goes up again when a reused connection is lost, whatever its size (%s)", async (framing) => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 1 << 20 })),
    });
    const client = await warm(proxy);
    const body = patternBytes(65_537);
    client.send(post(body, framing).toString("latin1").replace("POST", "PUT"));
    expect((await client.message()).status).toBe(200);
    expect((await proxy.whenFinished(2)).session.tries).toBe(2);
    expect([seen[0]![1]!.body.equals(body), seen[1]![0]!.body.equals(body)]).toEqual([true, true]);
  });

  test("does not make a POST one that may be sent again", async () => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10 })),
    });
    const client = await warm(proxy);
    client.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(502);
    expect(seen.map(({ length }) => length)).toEqual([2]);
  });

  test("is there for upstreamPeer in each attempt", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    const bodies: Buffer[] = [];
    const refused = await refusedAddress();
    await using proxy = await startProxy({
      async upstreamPeer(session) {
        bodies.push(await session.readRequestBody({ maxBytes: 10 }));
        return new HttpPeer(session.tries === 1 ? refused : origin.address);
      },
      failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(200);
    expect([bodies.length, bodies[0] === bodies[1], seen[0]![0]!.body.toString()]).toEqual([2, true, "hello"]);
  });

  test("passes requestBodyFilter in pieces, in each attempt", async () => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    const pieces: (number | "end")[] = [];
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 200_000 })),
      async requestBodyFilter(_session, piece, end) {
        pieces.push(end ? "end" : piece!.length);
        await turn();
        return piece && Buffer.from(piece).swap16();
      },
    });
    const client = await warm(proxy);
    pieces.length = 0;
    const body = patternBytes(150_000);
    client.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    expect((await client.message()).status).toBe(200);
    const attempt = [65_536, 65_536, 18_928, "end"];
    expect(pieces).toEqual([...attempt, ...attempt]);
    const swapped = Buffer.from(body).swap16();
    expect([seen[0]![1]!.body.equals(swapped), seen[1]![0]!.body.equals(swapped)]).toEqual([true, true]);
  });

  test.each(["synchronous", "asynchronous"])("passes a %s module once, whose result goes up again", async (mode) => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    const calls: string[] = [];
    class Inverter implements HttpModule {
      requestBody(piece: Uint8Array | undefined): Uint8Array | Promise<Uint8Array> | undefined {
        calls.push(piece === undefined ? "end" : `${piece.length}`);
        if (piece === undefined) return undefined;
        const inverted = Buffer.from(piece.map((byte) => byte ^ 0xff));
        return mode === "synchronous" ? inverted : turn(inverted);
      }
    }
    let read: Buffer | undefined;
    await using proxy = await startProxy({
      origin,
      initDownstreamModules: (modules) => void modules.add({ type: Inverter, init: () => new Inverter() }),
      requestFilter: async (session) => void (read = await session.readRequestBody({ maxBytes: 100_000 })),
    });
    const client = await warm(proxy);
    calls.length = 0;
    const body = patternBytes(100_000);
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body));
    expect((await client.message()).status).toBe(200);
    const inverted = Buffer.from(body.map((byte) => byte ^ 0xff));
    // A hook sees what the client sent.
    expect([read!.equals(body), calls]).toEqual([true, ["65536", "34464", "end"]]);
    expect([seen[0]![1]!.body.equals(inverted), seen[1]![0]!.body.equals(inverted)]).toEqual([true, true]);
  });

  test("and is with a module still when another attempt begins stays in order", async () => {
    const { opened, open } = gate();
    const busy = gate();
    const seen: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(OK);
      if (connection.index > 0) return;
      await connection.upTo("abc");
      await busy.opened;
      connection.close();
    });
    class Slow implements HttpModule {
      requestBody(piece: Uint8Array | undefined): Promise<Uint8Array | undefined> | undefined {
        if (piece?.[0] !== 0x64) return undefined;
        busy.open();
        return opened.then(() => piece);
      }
    }
    await using proxy = await startProxy({
      origin,
      initDownstreamModules: (modules) => void modules.add({ type: Slow, init: () => new Slow() }),
      requestFilter: async (session) => void (await rejection(session.readRequestBody({ maxBytes: 2 }))),
      requestBodyFilter: (session, piece) => void seen.push(`${session.tries} ${Buffer.from(piece ?? []).toString()}`),
      connectedToUpstream: (session) => (session.tries === 2 ? void turn().then(open) : undefined),
    });
    const client = await warm(proxy);
    seen.length = 0;
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
    expect(seen).toEqual(["1 abc", "2 abc", "2 def", "2 "]);
  });

  test("leaves at once as far as a filter has passed it, in a further attempt as well", async () => {
    const { opened, open } = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message();
      connection.send(OK);
      if (connection.index > 0) return;
      await connection.upTo("defgh");
      connection.close();
    });
    await using proxy = await startProxy({
      origin,
      requestBodyFilter: (session, piece) => (session.tries === 2 && piece?.length === 5 ? opened : undefined),
    });
    const client = await warm(proxy);
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n");
    const again = await origin.connection(1);
    await until(() => again.peek().includes("abc"));
    expect(again.peek()).not.toContain("defgh");
    open();
    expect((await client.message()).status).toBe(200);
  });

  test.each(["before", "after"])("is let go of when the answer begins %s its end went up", async (order) => {
    const size = order === "before" ? 16 << 20 : 100_000;
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      if (order === "after") await connection.bytes(size);
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
      if (order === "before") await connection.bytes(size);
      connection.send("done");
    });
    const held: (number | undefined)[] = [];
    const holds = ({ bodyReader }: Session): number | undefined => bodyReader?.kept.bytes;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
      upstreamRequestFilter: (session) => void held.push(holds(session)),
      logging: (session) => void held.push(holds(session)),
    });
    const client = await proxy.send(post(patternBytes(size)));
    expect((await client.message()).body.toString()).toBe("done");
    await proxy.whenFinished();
    expect(held).toEqual([size, 0]);
  });

  test("goes up at the pace of the origin", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.pause();
    });
    let sent = 0;
    const size = 64 << 20;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
      requestBodyFilter: (_session, piece) => void (sent += piece?.length ?? 0),
    });
    const body = patternBytes(size);
    const client = await proxy.send(post(body));
    await origin.connection();
    expect(await settled(() => sent)).toBeLessThan(size / 2);
    const connection = origin.connections[0]!.resume();
    expect((await connection.bytes(size)).equals(body)).toBe(true);
    connection.send(OK);
    expect((await client.message()).status).toBe(200);
  });

  test("need not go up to its end when the answer comes early: the client's connection goes on", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.pause().send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    });
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 64 << 20 })),
    });
    const client = await proxy.connect();
    for (let round = 0; round < 2; round++) {
      client.send(post(Buffer.alloc(32 << 20)));
      const answer = await client.message();
      expect([answer.status, answer.field("connection")]).toEqual([413, undefined]);
    }
    expect(origin.connections).toHaveLength(2);
  });

  test("comes before what the client says on another protocol, also if that is agreed on early", async () => {
    const size = 32 << 20;
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.pause().send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    });
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
    });
    const body = patternBytes(size);
    const client = await proxy.send(post(body, "content-length", "Connection: upgrade\r\nUpgrade: echo\r\n"));
    expect((await client.message()).status).toBe(101);
    client.send("ping!").end();
    const connection = origin.connections[0]!.resume();
    expect((await connection.bytes(size)).equals(body)).toBe(true);
    expect((await connection.rest()).toString()).toBe("ping!");
    connection.send("pong!").end();
    expect((await client.rest()).toString()).toBe("pong!");
  });
});

describe("a body that is too large", () => {
  const limited: Partial<ProxyHttp<object>> = {
    requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 70_000 })),
  };

  test.each(FRAMINGS)("by one byte is answered with 413, and no byte goes up (%s)", async (framing) => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({ origin, ...limited });
    const fits = await proxy.send(post(patternBytes(70_000), framing));
    expect((await fits.message()).status).toBe(200);
    const client = await proxy.send(post(patternBytes(70_001), framing));
    const answer = await client.message();
    expect([answer.status, answer.field("connection")]).toEqual([413, "close"]);
    await client.whenEnded();
    expect(seen.flat()).toHaveLength(1);
    expect((await proxy.whenFinished(2)).error).toMatchObject({
      type: "HTTPStatus",
      source: "downstream",
      status: 413,
    });
    expect(proxy.errors).toMatchObject([{ phase: "requestFilter", status: 413, proxy_status: "http_request_error" }]);
  });

  test("by its Content-Length is refused before a byte of it came", async () => {
    await using proxy = await startProxy(limited);
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 70001\r\n\r\n",
    );
    expect((await client.message()).status).toBe(413);
    expect((await proxy.whenFinished()).session.downstream.requestBodyBytes).toBe(0);
  });

  test.each(MODES.filter(({ size }) => size > 0))(
    "goes up whole if the filter goes on all the same ($size bytes, $framing)",
    async ({ size, framing }) => {
      const { origin, seen } = await recordingOrigin();
      await using _origin = origin;
      let error: unknown;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) =>
          void (error = await rejection(session.readRequestBody({ maxBytes: size - 1 }))),
      });
      const body = patternBytes(size);
      const client = await proxy.send(post(body, framing));
      const answer = await client.message();
      expect([answer.status, answer.field("connection")]).toEqual([200, undefined]);
      expect(error).toMatchObject({ status: 413 });
      expect(seen[0]![0]!.body.equals(body)).toBe(true);
    },
  );

  test("goes up again as far as it was read, and then as it comes", async () => {
    const { origin, seen } = await droppingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await rejection(session.readRequestBody({ maxBytes: 9999 }))),
    });
    const client = await warm(proxy);
    const body = patternBytes(60_000);
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body, 10_000));
    expect((await client.message()).status).toBe(200);
    expect([seen[0]![1]!.body.equals(body), seen[1]![0]!.body.equals(body)]).toEqual([true, true]);
  });

  test("can be read on with another limit", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    let read: Buffer | undefined;
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        await rejection(session.readRequestBody({ maxBytes: 10 }));
        read = await session.readRequestBody({ maxBytes: 500_000 });
      },
    });
    const body = patternBytes(300_000);
    const client = await proxy.send(post(body, "chunked"));
    expect((await client.message()).status).toBe(200);
    expect([read!.equals(body), seen[0]![0]!.body.equals(body)]).toEqual([true, true]);
  });
});

describe("a client that waits for 100 Continue", () => {
  const HEAD = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

  test("is told to go on once, and not again when the origin says so", async () => {
    const heads: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      heads.push(await connection.upTo("\r\n\r\n"));
      connection.send("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n");
      await connection.bytes(5);
      connection.send(OK);
    });
    let session: Session | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (given) => void (await (session = given).readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send(HEAD);
    expect((await client.message()).status).toBe(100);
    client.send("he");
    await until(() => session?.downstream.requestBodyBytes === 2);
    client.send("llo");
    expect([(await client.message()).status, (await client.message()).status]).toEqual([103, 200]);
    expect(heads[0]!.toLowerCase()).not.toContain("expect");
  });

  test("is not told so when its body has come already", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send(HEAD, "hello");
    expect((await client.message()).status).toBe(200);
    expect(seen[0]![0]!.field("expect")).toBeUndefined();
  });

  test("is asked by the origin if the body is too large to be read, and the filter goes on", async () => {
    const heads: string[] = [];
    await using origin = await Origin.start(async (connection) => {
      heads.push(await connection.upTo("\r\n\r\n"));
      connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      await connection.bytes(5);
      connection.send(OK);
    });
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (await rejection(session.readRequestBody({ maxBytes: 4 }))),
    });
    const client = await proxy.send(HEAD);
    expect((await client.message()).status).toBe(100);
    client.send("hello");
    expect((await client.message()).status).toBe(200);
    expect(heads[0]!.toLowerCase()).toContain("expect: 100-continue");
  });

  test("with HTTP/1.0 gets no interim head", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    let session: Session | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (given) => void (await (session = given).readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send(HEAD.replace("1.1", "1.0"));
    await until(() => session?.downstream.events !== undefined);
    client.send("hello");
    expect((await client.message()).status).toBe(200);
  });
});

describe("a client that does not send its body", () => {
  const app: Partial<ProxyHttp<object>> = {
    requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10, timeoutMs: 90_000 })),
  };

  test("within timeoutMs is answered with 408, though each piece comes in time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    let session: Session | undefined;
    await using proxy = await startProxy({
      requestFilter: async (given) =>
        void (await (session = given).readRequestBody({ maxBytes: 10, timeoutMs: 90_000 })),
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n");
    for (const bytes of [1, 2, 3]) {
      client.send("x");
      await until(() => session?.downstream.requestBodyBytes === bytes);
      expect(proxy.finished).toHaveLength(0);
      await vi.advanceTimersByTimeAsync(30_000);
    }
    const answer = await client.message();
    expect([answer.status, answer.field("connection")]).toEqual([408, "close"]);
    expect((await proxy.whenFinished()).error).toMatchObject({
      type: "ReadTimedout",
      source: "downstream",
      message: expect.stringContaining("within 90000 ms; 3 bytes came"),
    });
  });

  test("for bodyMs is answered with 408 before that", async () => {
    await using proxy = await startProxy(app, { http1: { bodyMs: 30 } });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    expect((await client.message()).status).toBe(408);
    expect((await proxy.whenFinished()).error?.message).toContain("no body bytes for 30 ms");
  });

  test("in time, but whose filter catches the error, has it passed on when it comes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    let session: Session | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (given) =>
        void (await rejection((session = given).readRequestBody({ maxBytes: 10, timeoutMs: 1000 }))),
    });
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    await until(() => session?.downstream.requestBodyBytes === 5);
    await vi.advanceTimersByTimeAsync(1001);
    await origin.connection();
    client.send("6\r\n world\r\n0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
    expect(seen[0]![0]!.body.toString()).toBe("hello world");
  });

  test.each([
    ["closes", (client: Wire): unknown => client.close(), "ConnectionClosed"],
    ["ends its direction", (client: Wire): unknown => client.end(), "ConnectionClosed"],
    ["resets", (client: Wire): unknown => client.reset(), "ReadError"],
  ] as const)("but %s fails the filter and the request with one error", async (_how, leave, type) => {
    let caught: unknown;
    let session: Session | undefined;
    await using proxy = await startProxy({
      async requestFilter(given) {
        session = given;
        try {
          await given.readRequestBody({ maxBytes: 10 });
        } catch (error) {
          caught = error;
          throw error;
        }
      },
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    await until(() => session?.downstream.requestBodyBytes === 4);
    leave(client);
    const { error } = await proxy.whenFinished();
    expect(error).toMatchObject({ type, source: "downstream" });
    expect([caught === error, session!.downstream.error === error]).toEqual([true, true]);
    expect(proxy.errors).toHaveLength(1);
    expect((await client.rest()).length).toBe(0);
  });

  test("but something else is answered with 400", async () => {
    await using proxy = await startProxy(app);
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd");
    expect((await client.message()).status).toBe(400);
    expect((await proxy.whenFinished()).error?.type).toBe("InvalidChunk");
  });
});

describe("drainRequestBody", () => {
  test.each(FRAMINGS)("lets the connection go on after an answer (%s)", async (framing) => {
    await using proxy = await startProxy({
      async requestFilter(session) {
        await session.drainRequestBody({ maxBytes: 300_000 });
        return session.respond(403);
      },
    });
    const client = await proxy.send(post(patternBytes(300_000), framing), post(Buffer.from("hello")));
    for (let round = 0; round < 2; round++) {
      const answer = await client.message();
      expect([answer.status, answer.field("connection")]).toEqual([403, undefined]);
    }
  });

  test("has a limit, too, and closes the connection beyond it", async () => {
    await using proxy = await startProxy({
      async requestFilter(session) {
        const error = await rejection(session.drainRequestBody({ maxBytes: 10 }));
        return session.respond(403, { body: String((error as ProxyError).status) });
      },
    });
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
      "b\r\nhello world\r\n",
    );
    const answer = await client.message();
    expect([answer.status, answer.body.toString(), answer.field("connection")]).toEqual([403, "413", "close"]);
  });

  test("takes the body from the request, which cannot go up any more", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => session.drainRequestBody({ maxBytes: 10 }),
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors[0]!["error"]).toContain("the body is gone");
    expect(origin.connections).toHaveLength(0);
  });

  test("has nothing to do where there is no body, or it was read", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        if (session.request.method === "POST") await session.readRequestBody({ maxBytes: 10 });
        await session.drainRequestBody({ maxBytes: 0 });
      },
    });
    const client = await proxy.send(get(), post(Buffer.from("hello")));
    expect([(await client.message()).status, (await client.message()).status]).toEqual([200, 200]);
    expect(seen.flat().map(({ body }) => body.toString())).toEqual(["", "hello"]);
  });

  test("and readRequestBody exclude each other", async () => {
    const errors: string[] = [];
    const fails = async (call: Promise<unknown>): Promise<void> => void errors.push(String(await rejection(call)));
    await using proxy = await startProxy({
      async requestFilter(session) {
        const draining = session.drainRequestBody({ maxBytes: 10 });
        await fails(session.readRequestBody({ maxBytes: 10 }));
        await draining;
        await fails(session.readRequestBody({ maxBytes: 10 }));
        return session.respond(204);
      },
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    await until(() => errors.length === 1);
    client.send("hello");
    expect((await client.message()).status).toBe(204);
    expect(errors).toEqual([expect.stringContaining("is still busy"), expect.stringContaining("was drained before")]);
  });
});

describe("out of place", () => {
  const LATE = [
    "connectedToUpstream",
    "upstreamRequestFilter",
    "requestBodyFilter",
    "upstreamResponseFilter",
    "responseFilter",
  ] as const;

  test.each(LATE)("a call in %s fails and names it", async (hook) => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy({
      origin,
      [hook]: (session: Session) => session.readRequestBody({ maxBytes: 10 }),
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors[0]!["error"]).toContain(`session.readRequestBody in ${hook}`);
  });

  test.each(["failToProxy", "logging"] as const)("a call in %s fails and names it", async (hook) => {
    let error: unknown;
    await using proxy = await startProxy({
      origin: { address: await refusedAddress() },
      [hook]: async (session: Session) => {
        error = await rejection(session.readRequestBody({ maxBytes: 10 }));
        return 502;
      },
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(502);
    await proxy.whenFinished();
    expect(error).toMatchObject({ type: "InternalError", context: expect.stringContaining(`in ${hook}`) });
  });

  test("the first call in upstreamPeer of a further attempt fails", async () => {
    const refused = new HttpPeer(await refusedAddress());
    await using proxy = await startProxy({
      async upstreamPeer(session) {
        if (session.tries === 2) await session.readRequestBody({ maxBytes: 10 });
        return refused;
      },
      failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors[0]!["error"]).toContain("upstreamPeer of a further attempt");
  });

  test("a call after the answer fails, and the answer is sent", async () => {
    let error: unknown;
    await using proxy = await startProxy({
      async requestFilter(session) {
        const answer = session.respond(403);
        error = await rejection(session.readRequestBody({ maxBytes: 10 }));
        return answer;
      },
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(403);
    await proxy.whenFinished();
    expect(error).toMatchObject({ type: "InternalError", context: expect.stringContaining("answered before") });
  });

  test("a body that is still being read when the request is to go up fails it", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    let reading: Promise<unknown> | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => void (reading = session.readRequestBody({ maxBytes: 10 })),
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors[0]!["error"]).toContain("await the end of its body");
    expect(await rejection(reading!)).toMatchObject({ type: "InternalError" });
    expect(origin.connections).toHaveLength(0);
  });

  test("a body may be awaited in a later hook than it was asked for", async () => {
    const { origin, seen } = await recordingOrigin();
    await using _origin = origin;
    await using proxy = await startProxy<{ body?: Promise<Buffer> }>({
      newCtx: () => ({}),
      requestFilter: (session, ctx) => void (ctx.body = session.readRequestBody({ maxBytes: 100 })),
      upstreamPeer: async (_session, ctx) => new HttpPeer((await ctx.body!).toString()),
    });
    const client = await proxy.send(post(Buffer.from(origin.address)));
    expect((await client.message()).status).toBe(200);
    expect(seen[0]![0]!.body.toString()).toBe(origin.address);
  });

  test("a body that is being read when a hook answers is given up", async () => {
    let reading: Promise<unknown> | undefined;
    await using proxy = await startProxy({
      requestFilter(session) {
        reading = session.readRequestBody({ maxBytes: 10 });
        return session.respond(403);
      },
    });
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    const answer = await client.message();
    expect([answer.status, answer.field("connection")]).toEqual([403, "close"]);
    expect(String(await rejection(reading!))).toContain("the request was over");
  });

  test("a body of which somebody else has read neither goes up nor is given", async () => {
    const { origin } = await recordingOrigin();
    await using _origin = origin;
    let error: unknown;
    await using proxy = await startProxy({
      origin,
      async requestFilter(session) {
        const { downstream } = session;
        const ended = Promise.withResolvers<void>();
        const ignore = (): void => undefined;
        downstream.events = {
          onRequestData: ignore,
          onRequestEnd: () => ended.resolve(),
          onRequestBatch: ignore,
          onDownstreamWritable: ignore,
          onDownstreamError: ignore,
        };
        await ended.promise;
        downstream.events = undefined;
        error = await rejection(session.readRequestBody({ maxBytes: 10 }));
      },
    });
    const client = await proxy.send(post(Buffer.from("hello")));
    expect((await client.message()).status).toBe(500);
    expect(error).toMatchObject({ context: expect.stringContaining("somebody else has read") });
    expect(proxy.errors[0]!["error"]).toContain("cannot go up whole");
    expect(origin.connections).toHaveLength(0);
  });

  const WRONG: [string, unknown][] = [
    ["readRequestBody: expected { maxBytes, timeoutMs? }", undefined],
    ["maxBytes: expected an integer from 0 to 2147483648, got undefined", {}],
    ["maxBytes: expected an integer from 0 to 2147483648, got -1", { maxBytes: -1 }],
    ["maxBytes: expected an integer from 0 to 2147483648, got 1.5", { maxBytes: 1.5 }],
    ["maxBytes: expected an integer from 0 to 2147483648, got 2147483649", { maxBytes: 2_147_483_649 }],
    ["maxBytes: expected an integer from 0 to 2147483648, got 10", { maxBytes: "10" }],
    ["timeoutMs: expected 0 to 2147483647, or Infinity, got NaN", { maxBytes: 1, timeoutMs: Number.NaN }],
    ["timeoutMs: expected 0 to 2147483647, or Infinity, got 2147483648", { maxBytes: 1, timeoutMs: 2_147_483_648 }],
    ["timeoutMs: expected 0 to 2147483647, or Infinity, got -1", { maxBytes: 1, timeoutMs: -1 }],
    ["unknown option maxbytes; did you mean maxBytes?", { maxbytes: 1 }],
  ];

  test.each(WRONG)("%s", async (message, options) => {
    await using proxy = await startProxy({
      requestFilter: async (session) => void (await session.readRequestBody(options as RequestBodyOptions)),
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors[0]!["error"]).toContain(message);
  });
});

describe("with subrequests", () => {
  test("a subrequest reads the client's body, and the client is told to send it", async () => {
    await using origin = await echoing();
    const read: string[] = [];
    await using proxy = await startProxy(
      piping(
        origin,
        { body: "expect" },
        {},
        {
          upstreamPeer: async (session) => {
            read.push((await session.readRequestBody({ maxBytes: 10 })).toString());
            return new HttpPeer(origin.address);
          },
        },
      ),
    );
    const client = await proxy.send(
      "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    expect((await client.message()).status).toBe(100);
    client.send("hello");
    const answer = await client.message();
    expect([answer.status, answer.body.toString(), answer.field("connection"), read]).toEqual([
      200,
      "hello",
      undefined,
      ["hello"],
    ]);
  });

  test("what was read can be given to several of them", async () => {
    await using origin = await echoing();
    const first: string[] = [];
    await using proxy = await startProxy(
      spawning(origin, async (session) => {
        const input = presetBody(await session.readRequestBody({ maxBytes: 10 }));
        const create = { body: "expect" } as const;
        first.push((await answerOf(session.subrequests!.create())).body);
        return (await pipeSubrequest(session, session.subrequests!.create(create), { input })).responded;
      }),
    );
    const client = await proxy.send(post(Buffer.from("hello"), "chunked"), post(Buffer.from("again")));
    expect((await client.message()).body.toString()).toBe("hello");
    expect((await client.message()).body.toString()).toBe("again");
    expect(first).toEqual(["", ""]);
  });

  test("a body that a pipe did not come to read is read", async () => {
    await using origin = await answering(OK);
    let read = "";
    await using proxy = await startProxy(
      spawning(
        origin,
        async (session) => {
          const filter = (): never => {
            throw new Error("no more");
          };
          const prepared = session.subrequests!.create({ body: "expect" });
          await rejection(pipeSubrequest(session, prepared, { filter }));
          read = (await session.readRequestBody({ maxBytes: 10 })).toString();
        },
        { proxyUpstreamFilter: (session) => (session.isSubrequest ? session.respond(204) : undefined) },
      ),
    );
    const client = await proxy.send(post(Buffer.from("hello")));
    expect([(await client.message()).status, read]).toEqual([200, "hello"]);
  });

  test("a body of which a pipe has taken a part is not taken for whole", async () => {
    let error: unknown;
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      await connection.bytes(5);
      connection.close();
    });
    await using proxy = await startProxy(
      spawning(origin, async (session) => {
        const filter = (): never => {
          throw new Error("no more");
        };
        const prepared = session.subrequests!.create({ body: "expect" });
        await rejection(pipeSubrequest(session, prepared, { filter }));
        error = await rejection(session.readRequestBody({ maxBytes: 10 }));
      }),
    );
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    expect((await client.message()).status).toBe(500);
    expect(error).toMatchObject({ context: expect.stringContaining("somebody else has read") });
  });
});

test("no limit of time is one that never comes", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const sessions: Session[] = [];
  await using proxy = await startProxy(
    {
      async requestFilter(session) {
        sessions.push(session);
        await session.readRequestBody({
          maxBytes: 10,
          timeoutMs: sessions.length === 1 ? 0 : Number.POSITIVE_INFINITY,
        });
        return session.respond(204);
      },
    },
    { http1: { bodyMs: 0 } },
  );
  for (let count = 1; count <= 2; count++) {
    const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nh");
    await until(() => sessions[count - 1]?.downstream.requestBodyBytes === 1);
    await vi.advanceTimersByTimeAsync(1_000_000_000);
    client.send("i");
    expect((await client.message()).status).toBe(204);
  }
});

test("a server that is stopped at once ends the reading", async () => {
  let error: unknown;
  const reading = gate();
  const proxy = await startProxy({
    async requestFilter(session) {
      const body = session.readRequestBody({ maxBytes: 10 });
      reading.open();
      error = await rejection(body);
    },
  });
  const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nh");
  await reading.opened;
  const closed = once(client.socket, "close");
  await proxy[Symbol.asyncDispose]();
  await closed;
  expect(error).toBeInstanceOf(ProxyError);
});
