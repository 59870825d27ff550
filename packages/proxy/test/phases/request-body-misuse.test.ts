import { HttpPeer, pipeSubrequest, presetBody, type RequestBodyOptions, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { post, recordingOrigin, rejection } from "../support/request-bodies.ts";
import { answerOf, echoing, piping, spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ closing, leg, answering, startOrigin, startProxy, peerOf }) => {
  describe("out of place", () => {
    const LATE = [
      "connectedToUpstream",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "upstreamResponseFilter",
      "responseFilter",
    ] as const;

    test.each(LATE)("a call in %s fails and names it", async (hook) => {
      const { origin } = await recordingOrigin(leg);
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
      const { origin } = await recordingOrigin(leg);
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
      const { origin, seen } = await recordingOrigin(leg);
      await using _origin = origin;
      await using proxy = await startProxy<{ body?: Promise<Buffer> }>({
        newCtx: () => ({}),
        requestFilter: (session, ctx) => void (ctx.body = session.readRequestBody({ maxBytes: 100 })),
        upstreamPeer: async (_session, ctx) => peerOf((await ctx.body!).toString()),
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
      expect([answer.status, answer.field("connection")]).toEqual([403, closing]);
      expect(String(await rejection(reading!))).toContain("the request was over");
    });

    test("a body of which somebody else has read neither goes up nor is given", async () => {
      const { origin } = await recordingOrigin(leg);
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
      ['maxBytes: expected an integer from 0 to 2147483648, got "10"', { maxBytes: "10" }],
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

  describe("with subrequests", () => {
    test("a subrequest reads the client's body, and the client is told to send it", async () => {
      await using origin = await echoing(leg);
      const read: string[] = [];
      await using proxy = await startProxy(
        piping(
          origin,
          { body: "expect" },
          {},
          {
            upstreamPeer: async (session) => {
              read.push((await session.readRequestBody({ maxBytes: 10 })).toString());
              return peerOf(origin.address);
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
      await using origin = await echoing(leg);
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
      await using origin = await startOrigin(async (connection) => {
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
});
