import { HttpConnector, type SubrequestSession } from "@sluice/core";
import {
  HttpPeer,
  HttpProxy,
  type ProxyError,
  SubrequestSpawner,
  type PreparedSubrequest,
  type Session,
} from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { patternBytes } from "../support/message.ts";
import { OK, type Origin, refusedAddress } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { answerOf, spawning, type Answer } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, peerOf, answering, startOrigin, startProxy }) => {
  const CUT = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";

  describe("session.subrequests", () => {
    test.each([undefined, () => false])("is not there unless the hook gives true (%s)", async (allow) => {
      await using origin = await answering(OK);
      let spawner: unknown = "not asked";
      await using proxy = await startProxy({
        origin,
        ...(allow !== undefined && { allowSpawningSubrequest: allow }),
        requestFilter: (session) => void (spawner = session.subrequests),
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(spawner).toBeUndefined();
    });

    test("is asked for after earlyRequestFilter, before all else, for subrequests as well", async () => {
      await using origin = await answering(OK);
      const calls: string[] = [];
      const note = (session: Session, hook: string): void => void calls.push(`${hook} ${session.request.target}`);
      await using proxy = await startProxy({
        origin,
        earlyRequestFilter: (session) => note(session, "early"),
        allowSpawningSubrequest: (session) => (note(session, "allow"), true),
        async requestFilter(session) {
          note(session, "filter");
          if (!session.isSubrequest) await answerOf(session.subrequests!.create({ target: "/sub" }));
        },
      });
      const client = await proxy.send(get("/main"));
      await client.message();
      expect(calls).toEqual(["early /main", "allow /main", "filter /main", "early /sub", "allow /sub", "filter /sub"]);
    });

    test("a hook that gives a promise is refused", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin, allowSpawningSubrequest: (async () => true) as never });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors[0]).toMatchObject({ phase: "allowSpawningSubrequest" });
    });
  });

  describe("a subrequest", () => {
    test("is a copy of its parent's head, edited, that goes through every phase with a context of its own", async () => {
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          const { startLine, field } = await connection.message();
          const names = ["host", "x-kept", "x-set", "content-type", "expect", "transfer-encoding"];
          heads.push([startLine, ...names.map((name) => field(name) ?? "-")].join("|"));
          connection.send(OK);
        }
      });
      let answer: Answer | undefined;
      const seen: unknown[] = [];
      await using proxy = await startProxy<{ of: string }>({
        origin,
        newCtx: () => ({ of: "" }),
        allowSpawningSubrequest: () => true,
        async requestFilter(session, ctx) {
          ctx.of = session.request.target;
          seen.push([
            session.isSubrequest,
            session.subrequest?.depth,
            session.subrequest?.userCtx,
            session.clientAddress,
          ]);
          if (session.isSubrequest) return;
          const options = { method: "GET", target: "/sub?a=b", fields: { "X-Set": "new" }, userCtx: "from main" };
          answer = await answerOf(session.subrequests!.create(options));
        },
      });
      const fields = "X-Kept: 1\r\nX-Set: old\r\nx-set: older\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n";
      const client = await proxy.send(`POST /main HTTP/1.1\r\nHost: test\r\n${fields}\r\nhi`);
      await client.message();
      expect(heads).toEqual([
        "GET /sub?a=b HTTP/1.1|test|1|new|-|-|-",
        "POST /main HTTP/1.1|test|1|old, older|text/plain|-|-",
      ]);
      expect(answer).toMatchObject({ status: 200, body: "ok", cut: undefined });
      const port = client.socket.localPort;
      expect(seen).toEqual([
        [false, undefined, undefined, `127.0.0.1:${port}`],
        [true, 1, "from main", `127.0.0.1:${port}`],
      ]);
      expect(proxy.finished.map(({ ctx, error }) => [ctx.of, error])).toEqual([
        ["/sub?a=b", undefined],
        ["/main", undefined],
      ]);
    });

    test("passes interim heads, chunks and trailers as events", async () => {
      const response = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      await using origin = await answering(response, "3\r\nabc\r\n0\r\nSum: 1\r\n\r\n");
      let answer: Answer | undefined;
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          answer = await answerOf(session.subrequests!.create());
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(204);
      expect(answer).toEqual({
        interim: [103],
        status: 200,
        body: "abc",
        trailers: [[leg.upstream === 1 ? "Sum" : "sum", "1"]],
        cut: undefined,
      });
    });

    test("decides about its parent, as for access control", async () => {
      await using origin = await startOrigin(async (connection) => {
        for (;;) {
          const request = await connection.message();
          if (request.startLine.startsWith("GET /auth ")) {
            connection.send(
              `HTTP/1.1 ${request.field("x-user") === "ada" ? 204 : 401} Auth\r\nContent-Length: 0\r\n\r\n`,
            );
          } else connection.send(OK);
        }
      });
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          const { status } = await answerOf(session.subrequests!.create({ method: "GET", target: "/auth" }));
          return status === 204 ? undefined : session.respond(403);
        }),
      );
      const client = await proxy.send(get("/", "X-User: ada\r\n"), get("/", "X-User: bob\r\n"));
      expect([(await client.message()).status, (await client.message()).status]).toEqual([200, 403]);
    });

    test.each([
      ["a Content-Length", { "Content-Length": "40000" }, ["40000", undefined]],
      ["no length", {}, [undefined, "chunked"]],
    ])("sends the body that its handle gives, with %s, also on another attempt", async (_, fields, framing) => {
      const refused = await refusedAddress();
      const body = patternBytes(40_000);
      const got: unknown[] = [];
      await using origin = await startOrigin(async (connection) => {
        const request = await connection.message();
        got.push([request.field("content-length"), request.field("transfer-encoding")], request.body.equals(body));
        connection.send(OK);
      });
      let answer: Answer | undefined;
      const filter = async (session: Session): Promise<ReturnType<Session["respond"]>> => {
        const prepared = session.subrequests!.create({ method: "PUT", body: "expect", fields });
        prepared.handle.writeBody(body.subarray(0, 15_000));
        prepared.handle.writeBody(body.subarray(15_000));
        prepared.handle.finishBody();
        answer = await answerOf(prepared);
        return session.respond(204);
      };
      await using proxy = await startProxy(
        spawning(origin, filter, {
          upstreamPeer: ({ tries }) => peerOf(tries === 1 ? refused : origin.address),
          failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
        }),
      );
      const client = await proxy.send(get());
      await client.message();
      expect(answer).toMatchObject({ status: 200, body: "ok" });
      expect(got).toEqual([framing, true]);
    });

    test("runs once", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          const prepared = session.subrequests!.create();
          await answerOf(prepared);
          await prepared.run();
        }),
      );
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors[0]!["error"]).toMatch("a subrequest runs once only");
    });
  });

  describe("a subrequest that fails", () => {
    test("is answered for, tells why, and has a line of its own", async () => {
      const refused = await refusedAddress();
      let answer: Answer | undefined;
      let told: ProxyError | undefined;
      await using proxy = await startProxy(
        spawning({ address: refused }, async (session) => {
          const prepared = session.subrequests!.create({ target: "/sub" });
          answer = await answerOf(prepared);
          told = await prepared.handle.proxyError;
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get("/main"));
      expect((await client.message()).status).toBe(204);
      expect(answer).toMatchObject({ status: 502, cut: undefined });
      expect(told).toMatchObject({ type: "ConnectRefused", source: "upstream" });
      expect(proxy.errors).toHaveLength(1);
      expect(proxy.errors[0]).toMatchObject({ request: "GET /sub, Host: test (subrequest)", status: 502 });
    });

    test("in the middle of its answer is cut, and says why", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(CUT).end();
      });
      let answer: Answer | undefined;
      const app = spawning(origin, async (session) => {
        answer = await answerOf(session.subrequests!.create());
        return session.respond(204);
      });
      await using proxy = await startProxy({ ...app, requestSummary: () => "mine" });
      const client = await proxy.send(get());
      await client.message();
      expect(answer).toMatchObject({
        status: 200,
        body: "half",
        cut: { type: "ConnectionClosed", source: "upstream" },
      });
      expect(proxy.errors[0]).toMatchObject({ request: "mine (subrequest)", cut: true });
    });

    test("in newCtx is answered with 500, and told", async () => {
      let contexts = 0;
      let answer: Answer | undefined;
      let told: ProxyError | undefined;
      const app = spawning({ address: "127.0.0.1:1" }, async (session) => {
        const prepared = session.subrequests!.create();
        answer = await answerOf(prepared);
        told = await prepared.handle.proxyError;
        return session.respond(204);
      });
      const newCtx = (): object => {
        if (contexts++ > 0) throw new Error("no more");
        return {};
      };
      await using proxy = await startProxy({ ...app, newCtx });
      const client = await proxy.send(get());
      await client.message();
      expect(answer).toMatchObject({ status: 500 });
      expect(told).toMatchObject({ type: "InternalError" });
    });

    test("because its head cannot be is refused as a client's would be", async () => {
      let answer: Answer | undefined;
      await using proxy = await startProxy(
        spawning({ address: "127.0.0.1:1" }, async (session) => {
          const prepared = session.subrequests!.create({ body: "expect", fields: { "Content-Length": "x" } });
          answer = await answerOf(prepared);
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      await client.message();
      expect(answer).toMatchObject({ status: 400 });
    });
  });

  describe("the end of the parent", () => {
    /** An origin that takes requests for `/sub` and never answers; `left` is fulfilled when its connection is closed. */
    async function hanging(): Promise<{ origin: Origin; asked: Promise<void>; left: Promise<void> }> {
      const asked = gate();
      const left = gate();
      const origin = await startOrigin(async (connection) => {
        await connection.message();
        asked.open();
        await connection.whenEnded();
        left.open();
      });
      return { origin, asked: asked.opened, left: left.opened };
    }

    test("ends those that still run", async () => {
      const { origin, asked, left } = await hanging();
      await using _ = origin;
      let prepared: PreparedSubrequest | undefined;
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          prepared = session.subrequests!.create();
          void prepared.run();
          await asked;
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(204);
      await left;
      const { session, error } = await proxy.whenFinished(2);
      expect([session.isSubrequest, error?.type]).toEqual([true, "WriteError"]);
      await expect(prepared!.handle.next()).rejects.toMatchObject({ type: "WriteError" });
    });

    test("comes with its client, too", async () => {
      const { origin, asked, left } = await hanging();
      await using _ = origin;
      await using proxy = await startProxy(
        spawning(origin, async (session) => void (await answerOf(session.subrequests!.create()))),
      );
      const client = await proxy.send(get());
      await asked;
      client.close();
      await left;
      await proxy.whenFinished(2);
      expect(new Set(proxy.finished.map(({ session }) => session.isSubrequest))).toEqual(new Set([false, true]));
    });

    test("is too late to begin one", async () => {
      await using origin = await answering(OK);
      const prepared: PreparedSubrequest[] = [];
      await using proxy = await startProxy(
        spawning(origin, (session) => {
          prepared.push(session.subrequests!.create());
          return session.respond(204);
        }),
      );
      const client = await proxy.send(get(), get());
      await client.message();
      await client.message();
      // The second is read when the first is over.
      expect(() => prepared[0]!.run()).toThrow("was run after its parent request had ended");
    });
  });

  test("a spawner of another proxy runs that one's app", async () => {
    await using origin = await answering(OK);
    const other = new HttpProxy<object>(
      {
        newCtx: () => ({}),
        requestFilter: (session) => session.respond(418),
        upstreamPeer: () => new HttpPeer("127.0.0.1:1"),
      },
      new HttpConnector(),
      1,
      undefined,
    );
    let answer: Answer | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (answer = await answerOf(new SubrequestSpawner(other, session).create())),
    });
    const client = await proxy.send(get());
    await client.message();
    expect(answer).toMatchObject({ status: 418 });
  });

  test("a host that breaks its promise never to reject ends the subrequest, which tells why", async () => {
    await using origin = await answering(OK);
    const host = {
      subrequestLimits: { maxDepth: 1, maxPerRequest: 1 },
      background: undefined as never,
      handleSubrequest: (_session: SubrequestSession): Promise<void> => Promise.reject(new Error("broken")),
    };
    let answer: Answer | undefined;
    await using proxy = await startProxy({
      origin,
      requestFilter: async (session) => void (answer = await answerOf(new SubrequestSpawner(host, session).create())),
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(200);
    expect(answer).toMatchObject({ status: undefined, cut: { type: "InternalError" } });
    expect(String(answer!.cut)).toMatch("a subrequest could not be run cause: broken");
  });
});
