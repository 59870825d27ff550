import { ResponseHeader, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  const HALF = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";

  describe("a request is counted", () => {
    test("as complete when its response went down whole", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        requestFilter: (session) =>
          session.request.target === "/no" ? session.respond(403, { body: "no" }) : undefined,
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      client.send(get("/no"));
      expect((await client.message()).status).toBe(403);
      const outcomes = [(await proxy.whenFinished(1)).session.outcome, (await proxy.whenFinished(2)).session.outcome];
      expect(outcomes).toEqual([
        { status: 200, sent: 2, how: "complete" },
        { status: 403, sent: 2, how: "complete" },
      ]);
    });

    test("as complete also if the client leaves while logging waits", async () => {
      await using origin = await answering(OK);
      const { opened, open } = gate();
      const inside = gate();
      const outcomes: unknown[] = [];
      let logged: Session | undefined;
      await using proxy = await startProxy({
        origin,
        async logging(session) {
          logged = session;
          inside.open();
          await opened;
          outcomes.push(session.outcome);
        },
      });
      const client = await proxy.send(get());
      await client.message();
      await inside.opened;
      client.close();
      // A stream that is over does not hear that its client left.
      if (leg.downstream === 1) await expect.poll(() => logged?.downstream.error, { interval: 5 }).toBeDefined();
      else await expect.poll(() => proxy.service.connectionCount, { interval: 5 }).toBe(0);
      open();
      await proxy.whenFinished();
      expect(outcomes).toEqual([{ status: 200, sent: 2, how: "complete" }]);
    });

    test("as cut when the upstream ended in the middle", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        await connection.sent(HALF);
        connection.close();
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.rest();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 200, sent: 4, how: "cut" });
      expect(proxy.errors).toMatchObject([{ status: 200, cut: true, proxy_status: "http_response_incomplete" }]);
    });

    test("as cut, however late it is asked, also when the client has closed meanwhile", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        await connection.sent(HALF);
        connection.close();
      });
      const closed = gate();
      const outcomes: unknown[] = [];
      await using proxy = await startProxy({
        origin,
        requestFilter: (session) => (session.request.target === "/first" ? session.respond(204) : undefined),
        async logging(session) {
          if (session.request.target === "/first") return;
          await closed.opened;
          outcomes.push(session.outcome);
        },
      });
      for (const first of ["", get("/first")]) {
        const client = await proxy.send(first + get());
        await client.rest();
        client.close();
        await client.whenClosed();
      }
      await expect.poll(() => proxy.service.connectionCount, { interval: 5 }).toBe(0);
      closed.open();
      await proxy.whenFinished(3);
      expect(outcomes).toEqual([1, 2].map(() => ({ status: 200, sent: 4, how: "cut" })));
    });

    test("with the status that the client was told when it left in the middle", async () => {
      await using origin = await answering(HALF);
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.upTo("half");
      client.close();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 200, sent: 4, how: "client-left" });
    });

    test("with 499 when the client left before it was told anything, and once only", async () => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      client.close();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 499, sent: 0, how: "client-left" });
      expect(proxy.errors).toMatchObject([{ status: 499, source: "downstream" }]);
      expect(proxy.errors[0]).not.toHaveProperty("proxy_status");
    });

    test("with what the client was told when an interim head came and no final one: nothing", async () => {
      await using origin = await answering("HTTP/1.1 103 Early Hints\r\n\r\n");
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.message();
      client.close();
      expect((await proxy.whenFinished()).session.outcome.status).toBe(499);
    });
  });

  describe("an answer that a hook gives when the client has left is not counted as one", () => {
    const ways: [string, (session: Session) => unknown][] = [
      ["respondError", (session) => session.respondError(503, { body: "sorry" })],
      ["respond", (session) => session.respond(503)],
      [
        "writing by itself",
        ({ downstream }) => {
          downstream.writeHeader(ResponseHeader.build(503), false);
          downstream.writeBody(Buffer.from("sorry"));
          downstream.finish();
        },
      ],
    ];
    test.each(ways)("by %s", async (_how, answer) => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({
        origin,
        failToProxy(session) {
          answer(session);
          return 503;
        },
      });
      const client = await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      client.close();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 499, sent: 0, how: "client-left" });
      expect(proxy.errors).toMatchObject([{ status: 499, failed_status: 503 }]);
    });

    test("nor is a response whole that is ended when it has left", async () => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      await using proxy = await startProxy({
        origin,
        failToProxy(session) {
          session.downstream.finish();
          return 0;
        },
      });
      const client = await proxy.send(get());
      await client.upTo("half");
      client.close();
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 200, sent: 4, how: "client-left" });
    });
  });

  describe("a server that stops at once", () => {
    test("has cut what was on its way: that is no client that left", async () => {
      await using origin = await answering(HALF);
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.upTo("half");
      await proxy.service.stop(AbortSignal.abort());
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 200, sent: 4, how: "cut" });
    });

    test("has sent nothing to who was still waiting", async () => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin });
      await proxy.send(get());
      await (await origin.connection()).upTo("\r\n\r\n");
      await proxy.service.stop(AbortSignal.abort());
      expect((await proxy.whenFinished()).session.outcome).toEqual({ status: 0, sent: 0, how: "not-sent" });
    });
  });
});
