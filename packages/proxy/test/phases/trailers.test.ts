import { setImmediate } from "node:timers/promises";
import { defaultErrorWhileProxy, type ProxyHttp } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, type Origin } from "../support/origin.ts";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  const HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const ANSWER = `${HEAD}4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Secret: s\r\n\r\n`;
  const PUT =
    "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Secret: s\r\n\r\n";

  const names = (fields: Iterable<[string, string]>): string => [...fields].map(([name]) => name.toLowerCase()).join();

  describe("the trailers of a response", () => {
    test("pass both filters behind the end of the body, and can be edited in both", async () => {
      await using origin = await answering(ANSWER);
      const calls: string[] = [];
      await using proxy = await startProxy({
        origin,
        upstreamResponseBodyFilter: (_session, piece, end) => void calls.push(`upstream body ${piece?.length} ${end}`),
        responseBodyFilter: (_session, piece, end) => void calls.push(`body ${piece?.length} ${end}`),
        upstreamResponseTrailerFilter(session, trailers) {
          calls.push(`upstream ${session.phase} ${names(trailers)}`);
          trailers.remove("x-secret");
          trailers.set("X-First", "1");
        },
        responseTrailerFilter(session, trailers) {
          calls.push(`down ${session.phase} ${names(trailers)}`);
          trailers.set("x-sum", "2");
        },
      });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.body.toString(), answer.trailers]).toEqual([
        "body",
        [
          [leg.upstream === 1 && leg.downstream === 1 ? "x-sum" : "X-Sum", "2"],
          ["X-First", "1"],
        ],
      ]);
      expect(calls).toEqual([
        "upstream body 4 false",
        "body 4 false",
        "upstream body undefined true",
        "body undefined true",
        "upstream upstreamResponseTrailerFilter x-sum,x-secret",
        "down responseTrailerFilter x-sum,x-first",
      ]);
      expect((await proxy.whenFinished()).error).toBeUndefined();
    });

    test("are waited for as long as their filter takes", async () => {
      await using origin = await answering(ANSWER);
      const inside = gate();
      const filter = gate();
      await using proxy = await startProxy({
        origin,
        async responseTrailerFilter(_session, trailers) {
          inside.open();
          await filter.opened;
          trailers.set("X-Sum", "late");
        },
      });
      const client = await proxy.send(get());
      await client.upTo("4\r\nbody\r\n");
      await inside.opened;
      expect(client.peek()).toBe("");
      filter.open();
      // A name that came through HTTP/2 has no capitals.
      expect((await client.upTo("\r\n\r\n")).toLowerCase()).toBe("0\r\nx-sum: late\r\nx-secret: s\r\n\r\n");
      client.send(get());
      await client.upTo("body");
      expect(origin.connections).toHaveLength(1);
    });

    test.each<[string, ProxyHttp<object>["responseTrailerFilter"]]>([
      ["at once", (_session, trailers) => Buffer.from(names(trailers))],
      ["by a promise", async (_session, trailers) => Buffer.from(names(trailers))],
    ])("become the end of the body when the filter gives bytes instead (%s)", async (_how, responseTrailerFilter) => {
      await using origin = await answering(ANSWER);
      await using proxy = await startProxy({ origin, responseTrailerFilter: responseTrailerFilter! });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.body.toString(), answer.trailers]).toEqual(["bodyx-sum,x-secret", []]);
    });

    test("that become bytes beyond a Content-Length are an error, not silently less", async () => {
      await using origin = await answering(ANSWER);
      await using proxy = await startProxy({
        origin,
        responseFilter: (_session, response) => void response.set("Content-Length", 6),
        responseTrailerFilter: () => Buffer.from("too much"),
      });
      const client = await proxy.send(get());
      const all = (await client.rest()).toString();
      expect(all).toMatch(/Content-Length: 6\r\n.*\r\n\r\nbody$/s);
      expect((await proxy.whenFinished()).error?.type).toBe("InternalError");
      expect(proxy.errors).toMatchObject([
        { cut: true, error: expect.stringContaining("longer than its Content-Length") },
      ]);
    });

    test("that are not there have no filter called", async () => {
      await using origin = await answering(`${HEAD}4\r\nbody\r\n0\r\n\r\n`);
      let calls = 0;
      await using proxy = await startProxy({
        origin,
        upstreamResponseTrailerFilter: () => void calls++,
        responseTrailerFilter: () => void calls++,
      });
      const client = await proxy.send(get());
      expect((await client.message()).body.toString()).toBe("body");
      await proxy.whenFinished();
      expect(calls).toBe(0);
    });

    const failing: [string, TestApp<object>][] = [
      [
        "upstreamResponseTrailerFilter",
        {
          upstreamResponseTrailerFilter() {
            throw new Error("boom");
          },
        },
      ],
      [
        "responseTrailerFilter",
        {
          responseTrailerFilter() {
            throw new Error("boom");
          },
        },
      ],
      [
        "responseTrailerFilter",
        { responseTrailerFilter: () => setImmediate().then(() => Promise.reject(new Error("boom"))) },
      ],
      ["upstreamResponseTrailerFilter", { upstreamResponseTrailerFilter: (async () => {}) as never }],
      ["responseTrailerFilter", { responseTrailerFilter: (() => "text") as never }],
    ];
    test.each(failing)("whose filter fails (%s) are not sent, and the response is cut", async (phase, app) => {
      await using origin = await answering(ANSWER);
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(get());
      const all = (await client.rest()).toString();
      expect(all).toContain("4\r\nbody\r\n");
      expect(all).not.toContain("0\r\n\r\n");
      expect(all).not.toContain("X-Sum");
      expect(proxy.errors).toMatchObject([{ phase, cut: true, status: 200 }]);
      expect(proxy.pool.idleCount).toBe(leg.upstream - 1);
    });
  });

  describe("the trailers of a request", () => {
    /** Answers, and keeps what came behind the head. */
    async function recordingOrigin(bodies: string[], closeFirst = false): Promise<Origin> {
      return startOrigin(async (connection) => {
        for (;;) {
          await connection.upTo("\r\n\r\n");
          bodies.push((await connection.upTo("0\r\n")) + (await connection.upTo("\r\n\r\n").catch(() => "")));
          if (closeFirst && bodies.length === 1) {
            connection.close();
            return;
          }
          connection.send(OK);
        }
      });
    }

    test.each([false, true])(
      "pass their filter behind the end of the body (asynchronous: %s)",
      async (asynchronous) => {
        const bodies: string[] = [];
        await using origin = await recordingOrigin(bodies);
        const calls: string[] = [];
        await using proxy = await startProxy({
          origin,
          requestBodyFilter: (_session, piece, end) => void calls.push(`body ${piece?.length} ${end}`),
          requestTrailerFilter(session, trailers) {
            calls.push(session.phase);
            const edit = (): void => void trailers.set("X-Sum", "2").remove("x-secret");
            return asynchronous ? setImmediate().then(edit) : edit();
          },
        });
        const client = await proxy.send(PUT);
        expect((await client.message()).status).toBe(200);
        expect(bodies).toEqual(["3\r\nabc\r\n0\r\nX-Sum: 2\r\n\r\n"]);
        expect(calls).toEqual(["body 3 false", "body undefined true", "requestTrailerFilter"]);
      },
    );

    test("go up behind a body of which a filter has let nothing pass", async () => {
      const bodies: string[] = [];
      await using origin = await recordingOrigin(bodies);
      await using proxy = await startProxy({
        origin,
        requestBodyFilter: () => new Uint8Array(),
        requestTrailerFilter: (_session, trailers) => void trailers.set("X-Sum", "0").remove("x-secret"),
      });
      const client = await proxy.send(PUT);
      expect((await client.message()).status).toBe(200);
      expect(bodies).toEqual(["0\r\nX-Sum: 0\r\n\r\n"]);
    });

    test("are the client's again in the next attempt", async () => {
      const bodies: string[] = [];
      await using origin = await recordingOrigin(bodies, true);
      await using proxy = await startProxy({
        origin,
        requestTrailerFilter: (session, trailers) => void trailers.append("X-Try", session.tries).remove("x-secret"),
        errorWhileProxy: (peer, session, error, _ctx, reused) =>
          defaultErrorWhileProxy(peer, session, error, reused).setRetry(true),
      });
      const client = await proxy.send(PUT);
      expect((await client.message()).status).toBe(200);
      // A name that came through HTTP/2 has no capitals.
      expect(bodies.map((body) => body.toLowerCase())).toEqual(
        [1, 2].map((n) => `3\r\nabc\r\n0\r\nx-sum: 1\r\nx-try: ${n}\r\n\r\n`),
      );
    });

    test.each([
      [
        "throws",
        () => {
          throw new Error("boom");
        },
      ],
      ["rejects", () => setImmediate().then(() => Promise.reject(new Error("boom")))],
    ])("fail the request when their filter %s, and it never looks complete to the origin", async (_how, filter) => {
      const { promise: received, resolve } = Promise.withResolvers<string>();
      await using origin = await startOrigin(async (connection) => resolve((await connection.rest()).toString()));
      await using proxy = await startProxy({ origin, requestTrailerFilter: filter });
      const client = await proxy.send(PUT);
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([{ phase: "requestTrailerFilter" }]);
      // By TLS the origin may not even have had the end of the handshake.
      if (!leg.tls || origin.connections.length > 0) expect(await received).not.toContain("0\r\n");
    });

    test("that are not there have no filter called", async () => {
      await using origin = await answering(OK);
      let calls = 0;
      await using proxy = await startProxy({ origin, requestTrailerFilter: () => void calls++ });
      const client = await proxy.send(get());
      await client.message();
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
      await client.message();
      expect(calls).toBe(0);
    });
  });
});
