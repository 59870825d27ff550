import { once } from "node:events";
import { ProxyError, type ProxyHttp, type Session } from "@sluice/proxy";
import { afterEach, describe, expect, test, vi } from "vitest";
import { chunked, patternBytes } from "../support/message.ts";
import { OK } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { droppingOrigin, FRAMINGS, post, recordingOrigin, rejection, until, warm } from "../support/request-bodies.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ closing, leg, startOrigin, startProxy, peerOf }) => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const READING = ["earlyRequestFilter", "requestFilter", "proxyUpstreamFilter", "upstreamPeer"] as const;
  const MODES = [0, 1, 16_384, 65_536, 65_537, 3 << 20].flatMap((size) =>
    FRAMINGS.map((framing) => ({ size, framing })),
  );

  describe("readRequestBody", () => {
    test.each(MODES)("gives $size bytes ($framing), which go up as they came", async ({ size, framing }) => {
      const { origin, seen } = await recordingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
      await using _origin = origin;
      let read = "";
      await using proxy = await startProxy({
        origin,
        async [hook](session: Session) {
          read = (await session.readRequestBody({ maxBytes: 100 })).toString();
          return hook === "upstreamPeer" ? peerOf(origin.address) : undefined;
        },
      });
      const client = await proxy.send(post(Buffer.from("hello")));
      expect([(await client.message()).status, read, seen[0]![0]!.body.toString()]).toEqual([200, "hello", "hello"]);
    });

    test("gives an empty buffer where there is no body", async () => {
      const { origin, seen } = await recordingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
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
      const { origin, seen } = await droppingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
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
      const { origin } = await recordingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
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

  describe("a client that waits for 100 Continue", () => {
    const HEAD = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

    test("is told to go on once, and not again when the origin says so", async () => {
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
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

    test("is asked by the origin if the body is too large to be read, and the filter goes on", async () => {
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
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
      expect([answer.status, answer.field("connection")]).toEqual([408, closing]);
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
      const { origin, seen } = await recordingOrigin(leg);
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
    ] as const)("but %s fails the filter and the request with one error", async (how, leave, type) => {
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
      expect(error).toMatchObject({ source: "downstream" });
      // A socket of TLS that closes does not read what TLS itself still says, and the system resets the connection for that.
      expect(leg.tls && how === "closes" ? ["ConnectionClosed", "ReadError"] : [type]).toContain(error!.type);
      expect([caught === error, session!.downstream.error === error]).toEqual([true, true]);
      expect(proxy.errors).toHaveLength(1);
      expect((await client.rest()).length).toBe(0);
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
      expect([answer.status, answer.body.toString(), answer.field("connection")]).toEqual([403, "413", closing]);
    });

    test("takes the body from the request, which cannot go up any more", async () => {
      const { origin } = await recordingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
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
});
