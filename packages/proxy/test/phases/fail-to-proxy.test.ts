import { ProxyError, ResponseHeader, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, closing, expectLast, answering, startOrigin, startProxy, peerOf }) => {
  /** What a hook gives that never ends. */
  const NEVER = new Promise<never>(() => undefined);

  const HEAD_AND_POST = [
    "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi",
  ];

  describe("failToProxy", () => {
    test.each([
      ["a number", 503],
      ["an object", { status: 503 }],
      ["a promise", Promise.resolve({ status: 503 })],
    ])("that returns a status and has not answered has it answered: %s", async (_what, result) => {
      await using proxy = await startProxy({ failToProxy: () => result });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.status, answer.field("cache-control"), answer.field("connection")]).toEqual([
        503,
        "private, no-store",
        closing,
      ]);
      const { session } = await proxy.whenFinished();
      expect([session.failedStatus, session.outcome.status]).toEqual([503, 503]);
      expect(proxy.errors).toMatchObject([{ status: 503 }]);
      expect(proxy.errors[0]).not.toHaveProperty("failed_status");
    });

    test("that returns 0 has nothing sent, and the connection cut", async () => {
      await using proxy = await startProxy({ failToProxy: () => 0 });
      const client = await proxy.send(get());
      expect((await client.rest()).length).toBe(0);
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 0, sent: 0, how: "not-sent" });
      expect(proxy.errors).toMatchObject([{ status: 0 }]);
    });

    test("that returns another status than it answered with has both in the log", async () => {
      await using proxy = await startProxy({
        failToProxy(session) {
          session.respond(200, { body: "all is well" });
          return 500;
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([{ status: 200, failed_status: 500 }]);
    });

    test.each([[{ status: 502, reuse: true }], [{ status: 502 }], [502]])(
      "that answers by respond() and returns %j leaves the connection open",
      async (result) => {
        await using proxy = await startProxy({
          failToProxy(session) {
            session.respond(502);
            return result;
          },
        });
        const client = await proxy.send(get());
        expect((await client.message()).field("connection")).toBeUndefined();
        client.send(get());
        expect((await client.message()).status).toBe(502);
      },
    );

    test("cannot keep a connection on which the rest of a body is still to come", async () => {
      await using proxy = await startProxy({
        failToProxy(session) {
          session.respond(502);
          return { status: 502, reuse: true };
        },
      });
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe");
      await expectLast(client, await client.message());
    });

    test.each([
      ["nothing", undefined, "it returned undefined"],
      ["an interim status", 100, "it returned 100"],
      ["no integer", 502.5, "it returned 502.5"],
      ["text", "502", 'it returned "502"'],
      ["an object without a status", {}, "a status of undefined"],
      ["a reuse that is none", { status: 502, reuse: 1 }, "expected a reuse of true or false, got 1"],
      ["a promise of nothing", Promise.resolve(), "it returned undefined"],
    ])("that returns %s is told so; the answer is the default one", async (_what, result, message) => {
      await using proxy = await startProxy({
        origin: { address: await refusedAddress() },
        failToProxy: () => result as never,
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(502);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        { phase: "failToProxy", error: expect.stringContaining(message) },
        { phase: "connect", status: 502 },
      ]);
    });

    test("that never ends is not waited for when it was the client that failed the request", async () => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin, failToProxy: () => NEVER });
      const client = await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      client.close();
      expect((await proxy.whenFinished()).session.outcome.how).toBe("client-left");
    });
  });

  describe("errorPage", () => {
    test("gives fields and body of the answer", async () => {
      await using proxy = await startProxy({
        origin: { address: await refusedAddress() },
        errorPage: (session, status, error) => ({
          fields: { "Retry-After": 7, "Content-Type": "text/plain" },
          body: `${status} for ${session.request.target}: ${error.type}`,
        }),
      });
      const client = await proxy.send(get("/x"));
      const answer = await client.message();
      expect([answer.status, answer.body.toString()]).toEqual([502, "502 for /x: ConnectRefused"]);
      expect(["retry-after", "content-type", "cache-control", "connection"].map((name) => answer.field(name))).toEqual([
        "7",
        "text/plain",
        "private, no-store",
        closing,
      ]);
    });

    test.each(HEAD_AND_POST)("has no body in an answer to HEAD: %j", async (request) => {
      await using proxy = await startProxy({ errorPage: () => ({ body: "a page" }) });
      const client = await proxy.send(request);
      const toHead = request.startsWith("HEAD");
      const answer = await client.message({ toHead });
      expect([answer.status, answer.body.toString()]).toEqual([500, toHead ? "" : "a page"]);
      await expectLast(client, answer);
    });

    test.each<[string, () => unknown, string]>([
      [
        "throws",
        () => {
          throw new Error("boom");
        },
        "thrown in errorPage",
      ],
      ["rejects", () => Promise.reject(new Error("boom")), "thrown in errorPage"],
      ["gives text", () => "<h1>sorry</h1>", "errorPage must return { fields?, body? } or nothing"],
      ["gives a body that is none", () => ({ body: 5 }), "expected a body of text or bytes"],
      ["gives a field that cannot be", () => ({ fields: { "X-Y": "a\r\nb" } }), "InvalidHTTPHeader"],
    ])("that %s leaves the answer plain, and is logged", async (_what, errorPage, message) => {
      await using proxy = await startProxy({
        origin: { address: await refusedAddress() },
        errorPage: errorPage as never,
      });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.status, answer.field("content-length"), answer.field("x-y")]).toEqual([502, "0", undefined]);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        { phase: "errorPage", error: expect.stringContaining(message) },
        { phase: "connect", status: 502 },
      ]);
    });

    test("that never ends is not waited for when the client has left", async () => {
      const { opened, open } = gate();
      await using proxy = await startProxy({
        errorPage() {
          open();
          return NEVER;
        },
      });
      const client = await proxy.send(get());
      await opened;
      client.close();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 499, sent: 0, how: "client-left" });
    });

    test("is not asked when failToProxy answered, when a response had begun, or when the client has left", async () => {
      let asked = 0;
      const errorPage = (): void => void asked++;
      await using origin = await startOrigin(async (connection) => {
        const { startLine } = await connection.message();
        if (startLine.includes("/cut")) await connection.sent("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        if (!startLine.includes("/wait")) connection.close();
      });
      await using proxy = await startProxy({
        origin,
        errorPage,
        failToProxy(session, error) {
          if (session.request.target === "/own") session.respondError(503);
          return session.request.target === "/own" ? 503 : (error.status ?? 0);
        },
      });
      expect((await (await proxy.send(get("/own"))).message()).status).toBe(503);
      await (await proxy.send(get("/cut"))).rest();
      const leaving = await proxy.send(get("/wait"));
      await (await origin.connection(2)).upTo("\r\n\r\n");
      leaving.close();
      await proxy.whenFinished(3);
      expect(asked).toBe(0);
    });
  });

  describe("an answer that a filter began and did not finish", () => {
    test.each(["earlyRequestFilter", "requestFilter", "proxyUpstreamFilter"] as const)(
      "in %s is cut, and told in the log",
      async (hook) => {
        await using origin = await answering(OK);
        await using proxy = await startProxy({
          origin,
          [hook]: (session: Session) => {
            session.downstream.writeHeader(ResponseHeader.build(200), false);
            session.downstream.writeBody(Buffer.from("half"));
          },
        });
        const client = await proxy.send(get());
        expect((await client.rest()).toString()).toMatch(/\r\n4\r\nhalf\r\n$/);
        const { error, session } = await proxy.whenFinished();
        expect([error?.type, session.outcome]).toEqual(["InternalError", { status: 200, sent: 4, how: "cut" }]);
        expect(proxy.errors).toMatchObject([
          {
            phase: hook,
            status: 200,
            cut: true,
            error: expect.stringContaining(`${hook} began an answer and did not finish`),
          },
        ]);
        expect(origin.connections).toHaveLength(0);
      },
    );
  });

  describe("an attempt that fails on a connection before its request is sent", () => {
    test.each(["connectedToUpstream", "upstreamRequestFilter"] as const)(
      "in %s is told to errorWhileProxy, which may have it tried again",
      async (hook) => {
        await using origin = await answering(OK);
        const told: string[] = [];
        await using proxy = await startProxy({
          origin,
          [hook](session: { tries: number }) {
            if (session.tries === 1) throw ProxyError.httpStatus(403);
          },
          errorWhileProxy(peer, session, error, _ctx, reused) {
            told.push(`${peer.toString()} ${session.phase} ${error.status} ${reused}`);
            return error.setRetry(true);
          },
        });
        const client = await proxy.send(get());
        expect((await client.message()).status).toBe(200);
        expect(told).toEqual([`${peerOf(origin.address).toString()} errorWhileProxy 403 false`]);
        expect(proxy.logs).toMatchObject([{ level: 40, phase: hook, tries: 1 }]);
        // What was not sent leaves no connection of HTTP/1 behind, and no stream.
        // By TLS the origin may not even have had the end of the first handshake.
        if (leg.upstream === 1 && !leg.tls) await origin.connections[0]!.whenEnded();
        else expect(origin.connections.length).toBeLessThanOrEqual(leg.upstream === 1 ? 2 : 1);
      },
    );

    test("names the peer in its error, by default", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter() {
          throw new Error("boom");
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      await proxy.whenFinished();
      expect(proxy.errors).toMatchObject([
        {
          phase: "upstreamRequestFilter",
          error: expect.stringContaining(`Peer: ${peerOf(origin.address).toString()}`),
        },
      ]);
    });
  });
});
