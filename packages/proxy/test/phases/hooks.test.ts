import { setImmediate } from "node:timers/promises";
import { inspect } from "node:util";
import { Server } from "@sluice/core";
import { HttpPeer, httpProxy, type ProxyError, type ProxyHttp, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { chunked, patternBytes } from "../support/message.ts";
import { OK, type Origin, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { settled } from "../support/settled.ts";
import { opensslTls } from "../../../tls-openssl/src/index.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, expectLast, answering, startOrigin, startProxy, peerOf }) => {
  interface Ctx {
    readonly calls: string[];
    readonly sessions: Set<Session>;
  }

  const text = (piece: Uint8Array | undefined): string => (piece === undefined ? "-" : Buffer.from(piece).toString());

  /** An app that writes down every call in its context. The asynchronous one gives a promise wherever it may. */
  function recorder(address: string, asynchronous: boolean, given: TestApp<Ctx> = {}): TestApp<Ctx> {
    const peer = peerOf(address);
    const pause = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn++) await setImmediate();
    };
    const note = (ctx: Ctx, session: Session, call: string): Promise<void> | undefined => {
      ctx.calls.push(call);
      ctx.sessions.add(session);
      return asynchronous ? pause() : undefined;
    };
    const app: ProxyHttp<Ctx> = {
      newCtx: () => ({ calls: ["newCtx"], sessions: new Set() }),
      earlyRequestFilter: (session, ctx) => note(ctx, session, "earlyRequestFilter"),
      requestFilter: (session, ctx) => note(ctx, session, "requestFilter"),
      upstreamPeer: (session, ctx) => note(ctx, session, "upstreamPeer")?.then(() => peer) ?? peer,
      failToConnect(session, failed, ctx, error) {
        void note(ctx, session, `failToConnect ${failed === peer} ${error.type}`);
        return error;
      },
      connectedToUpstream: (session, reused, to, digest, ctx) =>
        note(ctx, session, `connectedToUpstream ${reused} ${to === peer} ${digest.remoteAddress === address}`),
      upstreamRequestFilter: (session, outgoing, ctx) =>
        note(
          ctx,
          session,
          `upstreamRequestFilter ${outgoing.method} ${outgoing.target} ${outgoing !== session.request}`,
        ),
      requestBodyFilter: (session, piece, end, ctx) => note(ctx, session, `requestBodyFilter ${text(piece)} ${end}`),
      upstreamResponseFilter: (session, response, ctx) =>
        note(ctx, session, `upstreamResponseFilter ${response.status}`),
      responseFilter: (session, response, ctx) => note(ctx, session, `responseFilter ${response.status}`),
      upstreamResponseBodyFilter(session, piece, end, ctx) {
        void note(ctx, session, `upstreamResponseBodyFilter ${text(piece)} ${end}`);
      },
      responseBodyFilter(session, piece, end, ctx) {
        void note(ctx, session, `responseBodyFilter ${text(piece)} ${end}`);
      },
      errorWhileProxy(to, session, error, ctx, reused) {
        void note(ctx, session, `errorWhileProxy ${to === peer} ${error.type} ${reused}`);
        return error;
      },
      async failToProxy(session, error, ctx) {
        await note(ctx, session, `failToProxy ${error.type}`);
        session.respondError(599);
        return 599;
      },
      suppressErrorLog(session, error, ctx) {
        void note(ctx, session, `suppressErrorLog ${error.type}`);
        return false;
      },
      requestSummary(session, ctx) {
        void note(ctx, session, "requestSummary");
        return "the summary";
      },
      logging: (session, error, ctx) => note(ctx, session, `logging ${error?.type}`),
    };
    return { ...app, ...given };
  }

  const MODES = [
    { mode: "synchronous", asynchronous: false },
    { mode: "asynchronous", asynchronous: true },
  ];

  describe.each(MODES)("$mode hooks", ({ asynchronous }) => {
    test("run once each, in order, with their arguments and one context", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(recorder(origin.address, asynchronous));
      const client = await proxy.send("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
      expect((await client.message()).body.toString()).toBe("ok");
      const { ctx, session } = await proxy.whenFinished();
      expect(ctx.calls).toEqual([
        "newCtx",
        "earlyRequestFilter",
        "requestFilter",
        "upstreamPeer",
        "connectedToUpstream false true true",
        "upstreamRequestFilter POST /up true",
        "requestBodyFilter hello false",
        "requestBodyFilter - true",
        "upstreamResponseFilter 200",
        "responseFilter 200",
        "upstreamResponseBodyFilter ok false",
        "responseBodyFilter ok false",
        "upstreamResponseBodyFilter - true",
        "responseBodyFilter - true",
        "logging undefined",
      ]);
      expect([...ctx.sessions]).toEqual([session]);
    });

    test("a request and a response without body have one call of the body filters, with the end", async () => {
      await using origin = await answering("HTTP/1.1 204 No Content\r\n\r\n");
      await using proxy = await startProxy(recorder(origin.address, asynchronous));
      const client = await proxy.send(get());
      await client.message();
      const { ctx } = await proxy.whenFinished();
      expect(ctx.calls.filter((call) => call.includes("BodyFilter"))).toEqual([
        "requestBodyFilter - true",
        "upstreamResponseBodyFilter - true",
        "responseBodyFilter - true",
      ]);
    });

    test("the head filters run for every 1xx and for the final head, in order", async () => {
      const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
      await using origin = await answering(interim, interim, OK);
      await using proxy = await startProxy(recorder(origin.address, asynchronous));
      const client = await proxy.send(get());
      const messages = [await client.message(), await client.message(), await client.message()];
      expect(messages.map(({ status }) => status)).toEqual([103, 103, 200]);
      expect(messages[2]!.body.toString()).toBe("ok");
      const { ctx } = await proxy.whenFinished();
      expect(ctx.calls.filter((call) => /esponseFilter/.test(call))).toEqual([
        "upstreamResponseFilter 103",
        "responseFilter 103",
        "upstreamResponseFilter 103",
        "responseFilter 103",
        "upstreamResponseFilter 200",
        "responseFilter 200",
      ]);
    });

    test("a connection that cannot be had is told to failToConnect, then to the hooks of a failure", async () => {
      await using proxy = await startProxy(recorder(await refusedAddress(), asynchronous));
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(599);
      const { ctx } = await proxy.whenFinished();
      expect(ctx.calls.slice(3), inspect(proxy.errors)).toEqual([
        "upstreamPeer",
        "failToConnect true ConnectRefused",
        "failToProxy ConnectRefused",
        "suppressErrorLog ConnectRefused",
        "requestSummary",
        "logging ConnectRefused",
      ]);
      expect(proxy.errors).toMatchObject([{ request: "the summary", status: 599 }]);
    });

    test("an attempt that fails on a connection is told to errorWhileProxy", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.close();
      });
      await using proxy = await startProxy(recorder(origin.address, asynchronous));
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(599);
      const { ctx } = await proxy.whenFinished();
      expect(ctx.calls.slice(-6)).toEqual([
        "requestBodyFilter - true",
        "errorWhileProxy true ConnectionClosed false",
        "failToProxy ConnectionClosed",
        "suppressErrorLog ConnectionClosed",
        "requestSummary",
        "logging ConnectionClosed",
      ]);
    });

    test("every request on a connection has a context of its own", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(recorder(origin.address, asynchronous));
      const client = await proxy.connect();
      for (let request = 1; request <= 3; request++) {
        client.send(get());
        await client.message();
        const { ctx } = await proxy.whenFinished(request);
        expect(ctx.calls.filter((call) => call === "newCtx" || call.startsWith("logging"))).toEqual([
          "newCtx",
          "logging undefined",
        ]);
        expect(ctx.calls).toContain(`connectedToUpstream ${request > 1} true true`);
      }
    });
  });

  test("hooks are called on their app: a class with state of its own", async () => {
    await using origin = await answering("HTTP/1.1 103 Early Hints\r\n\r\n", OK);
    const HOOKS = [
      "newCtx",
      "earlyRequestFilter",
      "requestFilter",
      "proxyUpstreamFilter",
      "connectedToUpstream",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "upstreamResponseFilter",
      "responseFilter",
      "upstreamResponseBodyFilter",
      "responseBodyFilter",
      "upstreamPeer",
      "failToConnect",
      "errorWhileProxy",
      "failToProxy",
      "errorPage",
      "suppressErrorLog",
      "requestSummary",
      "logging",
      // A stream of HTTP/2 has no next request.
      ...(leg.downstream === 1 ? ["persistConnectionContext", "onConnectionReuse"] : []),
    ];
    const strangers: string[] = [];
    const app = { peers: [new HttpPeer(await refusedAddress()), peerOf(origin.address)] } as Record<string, unknown>;
    for (const hook of HOOKS) {
      app[hook] = function (this: unknown, ...args: unknown[]): unknown {
        if (this !== app) strangers.push(hook);
        if (hook === "newCtx") return {};
        if (hook === "upstreamPeer") return (app["peers"] as HttpPeer[])[(args[0] as Session).tries - 1];
        if (hook === "failToConnect") return (args[3] as ProxyError).setRetry(true);
        return undefined;
      };
    }
    const server = new Server();
    const service = httpProxy(server, app as unknown as ProxyHttp<object>, { tls: opensslTls() }).listenTcp(
      "127.0.0.1:0",
    );
    await server.addService(service).start();
    const response = await fetch(`http://${service.addresses[0]}/`, { method: "POST", body: "hi" });
    expect(await response.text()).toBe("ok");
    await server.stop(0);
    expect(strangers).toEqual([]);
  });

  describe("requestFilter", () => {
    test("that answers ends the request: no upstream is contacted, and the connection goes on", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        requestFilter: (session) =>
          session.request.target === "/no"
            ? session.respond(403, { fields: { "X-Why": "no" }, body: "denied" })
            : undefined,
      });
      const client = await proxy.send(get("/no"));
      const answer = await client.message();
      expect([answer.startLine, answer.field("x-why"), answer.body.toString()]).toEqual([
        "HTTP/1.1 403 Forbidden",
        "no",
        "denied",
      ]);
      expect(origin.connections).toHaveLength(0);
      expect((await proxy.whenFinished()).error).toBeUndefined();
      client.send(get("/yes"));
      expect((await client.message()).status).toBe(200);
    });

    test("that answers before the request body was read closes the connection, and the answer arrives", async () => {
      await using proxy = await startProxy({ requestFilter: (session) => session.respond(403, { body: "denied" }) });
      // By HTTP/1 what follows might be a part of the body that was not read.
      const more = leg.downstream === 1 ? get("/smuggled") : "";
      const client = await proxy.send(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello${more}`);
      const answer = await client.message();
      expect(answer.body.toString()).toBe("denied");
      await expectLast(client, answer);
      expect(proxy.finished).toHaveLength(1);
    });
  });

  describe("head filters", () => {
    test("upstreamRequestFilter edits only what goes up", async () => {
      const requests: unknown[] = [];
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          const { startLine, field } = await connection.message();
          requests.push([startLine, field("host"), field("x-new"), field("x-secret")]);
          connection.send(OK);
        }
      });
      const seen: string[] = [];
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter(_session, outgoing) {
          outgoing.target = "/other";
          outgoing.set("host", "origin").append("X-New", "1").remove("x-secret");
        },
        logging: (session) =>
          void seen.push(`${session.request.target} ${session.request.get("host")} ${session.request.get("x-secret")}`),
      });
      const client = await proxy.send(get("/mine", "X-Secret: s\r\n"));
      await client.message();
      expect(requests).toEqual([["GET /other HTTP/1.1", "origin", "1", undefined]]);
      expect(seen).toEqual(["/mine test s"]);
    });

    test("responseFilter adds, removes and changes the status", async () => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nServer: secret\r\nContent-Length: 2\r\n\r\nok");
      await using proxy = await startProxy({
        origin,
        upstreamResponseFilter: (_session, response) => void response.append("X-First", "1"),
        responseFilter(_session, response) {
          expect(response.get("x-first")).toBe("1");
          response.status = 203;
          response.append("X-Second", "2").remove("server");
        },
      });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect(answer.startLine).toBe("HTTP/1.1 203 Non-Authoritative Information");
      expect(answer.fields.map(([name]) => name)).toEqual(["Content-Length", "X-First", "X-Second", "Date"]);
    });

    test("an asynchronous responseFilter holds back a body that has already arrived", async () => {
      await using origin = await answering(OK);
      const { opened, open } = gate();
      const { opened: called, open: call } = gate();
      await using proxy = await startProxy({
        origin,
        responseFilter(_session, response) {
          call();
          return opened.then(() => void response.append("X-Late", "1"));
        },
      });
      const client = await proxy.send(get());
      await called;
      expect(await settled(() => client.receivedBytes, 50)).toBe(0);
      open();
      const answer = await client.message();
      expect([answer.field("x-late"), answer.body.toString()]).toEqual(["1", "ok"]);
    });

    test("a slow responseFilter does not make the origin's close a failure", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\n\r\nuntil close").end();
      });
      await using proxy = await startProxy({
        origin,
        responseFilter: async () => {
          await (await origin.connection()).whenEnded().catch(() => undefined);
        },
        upstreamResponseFilter: async () => {
          for (let turn = 0; turn < 20; turn++) await setImmediate();
          (await origin.connection()).ended = true;
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).body.toString()).toBe("until close");
      expect((await proxy.whenFinished()).error).toBeUndefined();
    });
  });

  describe("requestBodyFilter", () => {
    async function echoOrigin(): Promise<Origin> {
      return startOrigin(async (connection) => {
        for (;;) {
          const { body } = await connection.message();
          connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
        }
      });
    }

    test("replaces, swallows and appends; without Content-Length the new length is told by chunks", async () => {
      await using origin = await echoOrigin();
      let came: (() => void) | undefined;
      const pieceOf = (piece: string, end: boolean): Uint8Array => {
        came?.();
        if (end) return Buffer.from("!");
        return piece.startsWith("b") ? new Uint8Array() : Buffer.from(piece.toUpperCase());
      };
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter: (_session, outgoing) => void outgoing.remove("content-length"),
        requestBodyFilter: (_session, piece, end) => pieceOf(text(piece), end),
      });
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
      // One by one: HTTP/2 may join what comes together.
      for (const chunk of ["3\r\naaa\r\n", "2\r\nbb\r\n", "1\r\nc\r\n"]) {
        const { promise, resolve } = Promise.withResolvers<void>();
        came = resolve;
        client.send(chunk);
        await promise;
      }
      client.send("0\r\n\r\n");
      expect((await client.message()).body.toString()).toBe("AAAC!");
    });

    test("that gives a promise is called once at a time, in order, and nothing is lost", async () => {
      await using origin = await echoOrigin();
      let running = 0;
      let most = 0;
      let pieces = 0;
      await using proxy = await startProxy({
        origin,
        async requestBodyFilter() {
          pieces++;
          most = Math.max(most, ++running);
          for (let turn = 0; turn < pieces % 4; turn++) await setImmediate();
          running--;
        },
      });
      const body = patternBytes(3_000_000);
      const client = await proxy.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunked(body, 7001),
      );
      expect((await client.message()).body.equals(body)).toBe(true);
      expect(pieces).toBeGreaterThan(100);
      expect(most).toBe(1);
    });

    test("that gives a promise sometimes keeps the order of the pieces", async () => {
      await using origin = await echoOrigin();
      let pieces = 0;
      await using proxy = await startProxy({
        origin,
        requestBodyFilter: () => (++pieces % 3 === 0 ? setImmediate() : undefined),
      });
      const body = patternBytes(1_000_000);
      const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      expect((await client.message()).body.equals(body)).toBe(true);
    });

    test("that takes its time stops the client: only a bounded amount is read meanwhile", async () => {
      await using origin = await echoOrigin();
      const { opened, open } = gate();
      const fourth = gate();
      let calls = 0;
      let reading: Session["downstream"] | undefined;
      await using proxy = await startProxy({
        origin,
        requestBodyFilter(session) {
          reading = session.downstream;
          if (++calls < 4) return undefined;
          fourth.open();
          return opened;
        },
      });
      const body = patternBytes(24_000_000);
      const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      await fourth.opened;
      expect(await settled(() => reading!.requestBodyBytes)).toBeLessThan(8_000_000);
      expect(calls).toBe(4);
      open();
      expect((await client.message()).body.equals(body)).toBe(true);
    });

    test("that gives a promise every time leaves a stalled origin its back-pressure", async () => {
      const { opened, open } = gate();
      await using origin = await startOrigin(async (connection) => {
        connection.pause();
        await opened;
        connection.resume();
        const { body } = await connection.message();
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      });
      await using proxy = await startProxy({ origin, requestBodyFilter: () => setImmediate() });
      const body = patternBytes(32_000_000);
      const client = await proxy.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      expect(await settled(() => client.socket.writableLength)).toBeGreaterThan(8_000_000);
      open();
      expect((await client.message()).body.equals(body)).toBe(true);
    });
  });

  describe.each(["upstreamResponseBodyFilter", "responseBodyFilter"] as const)("%s", (hook) => {
    const LENGTH = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef";
    const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\nX-T: 1\r\n\r\n";
    const EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const withoutLength: TestApp<object> = {
      responseFilter: (_session, response) => void response.remove("content-length"),
    };

    test.each([
      ["Content-Length", LENGTH, "ABCDEF!"],
      ["chunked", CHUNKED, "ABCDEF!"],
      ["empty", EMPTY, "!"],
    ])("replaces pieces and appends at the end (%s)", async (_framing, response, expected) => {
      await using origin = await answering(response);
      await using proxy = await startProxy({
        origin,
        ...withoutLength,
        [hook]: (_session: Session, piece: Uint8Array | undefined, end: boolean) =>
          Buffer.from(end ? "!" : text(piece).toUpperCase()),
      });
      const client = await proxy.connect();
      for (let request = 0; request < 2; request++) {
        client.send(get());
        const answer = await client.message();
        expect([answer.field("transfer-encoding"), answer.body.toString()]).toEqual(["chunked", expected]);
        if (response === CHUNKED) expect(answer.trailers).toEqual([["X-T", "1"]]);
      }
    });

    test("swallows pieces and gives them all at the end", async () => {
      const body = patternBytes(500_000);
      await using origin = await answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      const kept: Uint8Array[] = [];
      await using proxy = await startProxy({
        origin,
        ...withoutLength,
        [hook](_session: Session, piece: Uint8Array | undefined, end: boolean) {
          if (piece !== undefined) kept.push(Buffer.from(piece));
          return end ? Buffer.concat(kept).toReversed() : new Uint8Array();
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).body.equals(body.toReversed())).toBe(true);
    });

    test("cannot add a body to a response that has none", async () => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
      await using proxy = await startProxy({ origin, [hook]: () => Buffer.from("body") });
      const client = await proxy.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
      await client.message({ toHead: true });
      await proxy.whenFinished();
      expect(client.peek()).toBe("");
    });

    test("that makes the body longer than its Content-Length cuts the connection, and the log says why", async () => {
      await using origin = await answering(LENGTH);
      await using proxy = await startProxy({
        origin,
        [hook]: (_session: Session, piece: Uint8Array | undefined) =>
          Buffer.from(`${text(piece)}HTTP/1.1 666 Bad\r\n\r\n`),
      });
      const client = await proxy.send(get());
      const received = (await client.rest()).toString();
      expect(received).not.toMatch(/\r\n\r\n.{6}/s);
      expect(received).not.toContain("666");
      expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("longer than its Content-Length") }]);
    });

    test.each([
      ["a promise", () => Promise.resolve(Buffer.from("x"))],
      ["a promise that rejects", () => Promise.reject(new Error("x"))],
      ["an object", () => ({})],
      ["false", () => false],
      ["wider numbers", () => new Uint16Array(3)],
    ])("that returns %s fails its request, and nothing is framed wrongly", async (_what, filter) => {
      await using origin = await answering(LENGTH);
      await using proxy = await startProxy({ origin, [hook]: filter as never });
      const client = await proxy.send(get());
      expect((await client.rest()).toString()).not.toMatch(/\r\n\r\n.{6}/s);
      expect(proxy.errors).toMatchObject([{ phase: hook, error: expect.stringContaining("must return a Uint8Array") }]);
    });

    test("that makes the body shorter than its Content-Length cuts the connection", async () => {
      await using origin = await answering(LENGTH);
      await using proxy = await startProxy({ origin, [hook]: () => Buffer.from("ab") });
      const client = await proxy.send(get());
      const received = (await client.rest()).toString();
      expect(received).not.toMatch(/\r\n\r\n.{6}/s);
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "PrematureBodyEnd", source: "internal" });
      expect(proxy.errors).toMatchObject([{ hint: expect.stringContaining("Content-Length") }]);
    });
  });

  test.each([0, 1])(
    "what upstreamResponseBodyFilter gives at the end is a piece for responseBodyFilter (delayMs %i)",
    async (delayMs) => {
      await using origin = await answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
      );
      const seen: string[] = [];
      await using proxy = await startProxy({
        origin,
        upstreamResponseBodyFilter: (_session, piece, end) =>
          end ? { piece: Buffer.from("!"), delayMs } : { piece, delayMs },
        responseBodyFilter(_session, piece, end) {
          seen.push(`${text(piece)} ${end}`);
          // Who goes by the documentation looks for no piece at the end.
          return { piece: end ? Buffer.from(".") : Buffer.from(text(piece).toUpperCase()), delayMs };
        },
      });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.body.toString(), answer.trailers]).toEqual(["ABC!.", [["X-T", "1"]]]);
      expect(seen).toEqual(["abc false", "! false", "- true"]);
    },
  );
});
