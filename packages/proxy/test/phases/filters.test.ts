import { ProxyError, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ expectLast, answering, startOrigin, startProxy }) => {
  const POST = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n";

  describe("proxyUpstreamFilter", () => {
    test("runs once a request, behind requestFilter and before the first attempt", async () => {
      const calls: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        if (connection.index === 0) connection.close();
        else connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        requestFilter: () => void calls.push("requestFilter"),
        proxyUpstreamFilter: (session) => void calls.push(`proxyUpstreamFilter ${session.phase} ${session.tries}`),
        connectedToUpstream: () => void calls.push("connectedToUpstream"),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(calls).toEqual([
        "requestFilter",
        "proxyUpstreamFilter proxyUpstreamFilter 0",
        "connectedToUpstream",
        "connectedToUpstream",
      ]);
    });

    test("is not asked when an earlier filter answered", async () => {
      let asked = 0;
      await using proxy = await startProxy({
        requestFilter: (session) => session.respond(403),
        proxyUpstreamFilter: () => void asked++,
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(403);
      expect(asked).toBe(0);
    });

    describe.each([
      ["at once", (session: Session) => session.decline()],
      ["later", async (session: Session) => session.decline()],
    ])("that declines %s", (_when, proxyUpstreamFilter) => {
      test("has 502 answered, contacts no upstream, and keeps the connection", async () => {
        await using origin = await answering(OK);
        await using proxy = await startProxy({ origin, proxyUpstreamFilter });
        const client = await proxy.connect();
        for (let turn = 0; turn < 2; turn++) {
          client.send(get());
          const answer = await client.message();
          expect(["content-length", "cache-control", "connection"].map((name) => answer.field(name))).toEqual([
            "0",
            "private, no-store",
            undefined,
          ]);
          expect(answer.status).toBe(502);
        }
        const { error, session } = await proxy.whenFinished(2);
        expect([error, session.outcome.how, session.tries]).toEqual([undefined, "complete", 0]);
        expect(proxy.logs).toEqual([]);
        expect(origin.connections).toHaveLength(0);
      });

      test("closes the connection when the request's body was not read", async () => {
        await using proxy = await startProxy({ proxyUpstreamFilter });
        const client = await proxy.send(POST);
        await expectLast(client, await client.message());
      });
    });

    test.each([
      ["may answer otherwise", (session: Session) => session.respond(429), 429],
      ["may throw a status", () => Promise.reject(ProxyError.httpStatus(429)), 429],
      ["may have a defect", () => Promise.reject(new Error("boom")), 500],
      ["must not return a value without having answered", () => true as never, 500],
    ])("%s", async (_what, proxyUpstreamFilter, status) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, proxyUpstreamFilter });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(status);
      if (status === 500) {
        await proxy.whenFinished();
        expect(proxy.errors).toMatchObject([
          { phase: "proxyUpstreamFilter", error: expect.stringContaining("proxyUpstreamFilter") },
        ]);
      }
      expect(origin.connections).toHaveLength(0);
    });
  });

  describe("an answer in a hook that cannot answer", () => {
    const HOOKS = [
      "upstreamPeer",
      "connectedToUpstream",
      "upstreamRequestFilter",
      "requestBodyFilter",
      "responseFilter",
    ];

    test.each(HOOKS)("%s fails the request; the error says where to answer", async (hook) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, [hook]: (session: Session) => session.respond(403) as never });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        { phase: hook, error: expect.stringContaining(`session.respond in ${hook}: a request is answered in`) },
      ]);
    });

    test.each(["respondError", "decline"] as const)("the same for %s", async (method) => {
      await using proxy = await startProxy({ upstreamPeer: (session) => session[method](403) as never });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ error: expect.stringContaining(`session.${method} in upstreamPeer`) }]);
    });
  });

  test("earlyRequestFilter that returns a value without having answered is told so", async () => {
    await using proxy = await startProxy({ earlyRequestFilter: () => true as never });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(500);
    expect(proxy.errors).toMatchObject([{ error: expect.stringContaining("earlyRequestFilter returned a value") }]);
  });
});
