import { HttpPeer, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { blackhole } from "../support/blackhole.ts";
import { patternBytes } from "../support/message.ts";
import { OK } from "../support/origin.ts";
import { gate, get, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  /** Ways to leave; after `end` the client could still read an answer, and must not get one. */
  const LEAVES = [
    ["closing", (client: Wire): unknown => client.close()],
    ["a reset", (client: Wire): unknown => client.reset()],
    ["ending its direction", (client: Wire): unknown => client.end()],
  ] as const;

  async function expectLeft(proxy: TestProxy<object>, client: Wire, phase: string): Promise<void> {
    const { error, session } = await proxy.whenFinished();
    expect(error?.source).toBe("downstream");
    expect(["ConnectionClosed", "ReadError"]).toContain(error?.type);
    expect(session.response).toBeUndefined();
    expect(proxy.errors).toMatchObject([{ phase, status: 499 }]);
    expect(session.outcome).toEqual({ status: 499, sent: 0, how: "client-left" });
    expect((await client.rest()).length).toBe(0);
  }

  describe.each(LEAVES)("a client that leaves by %s", (_how, leave) => {
    test("while the upstream is connected to ends the attempt", async () => {
      await using hole = await blackhole();
      const { opened, open } = gate();
      let failedToConnect = 0;
      await using proxy = await startProxy({
        upstreamPeer() {
          open();
          return new HttpPeer(hole.address, { connectMs: 0 });
        },
        failToConnect(_session, _peer, _ctx, error) {
          failedToConnect++;
          return error.setRetry(true);
        },
      });
      const client = await proxy.send(get());
      await opened;
      leave(client);
      await expectLeft(proxy, client, "connect");
      // It is not the upstream that failed.
      expect(failedToConnect).toBe(0);
    });

    test("inside an asynchronous hook is noticed when it is through; no upstream is contacted", async () => {
      await using origin = await answering(OK);
      const waiting = gate();
      const inside = gate();
      let waitingSession: Session | undefined;
      await using proxy = await startProxy({
        origin,
        async requestFilter(session) {
          waitingSession ??= session;
          inside.open();
          await waiting.opened;
        },
      });
      const client = await proxy.send(get());
      await inside.opened;
      leave(client);
      await expect.poll(() => waitingSession?.downstream.error, { interval: 5 }).toBeDefined();
      const other = await proxy.send(get());
      waiting.open();
      expect((await other.message()).status).toBe(200);
      await expectLeft(proxy, client, "requestFilter");
      expect(origin.connections).toHaveLength(1);
    });

    test("before the response head has the upstream connection closed at once, and is logged", async () => {
      await using origin = await startOrigin((connection) => connection.message());
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      const connection = await origin.connection();
      await connection.upTo("\r\n\r\n");
      leave(client);
      await connection.whenEnded();
      await expectLeft(proxy, client, "exchange");
      // A connection of HTTP/2 outlives its streams.
      expect(proxy.pool.idleCount).toBe(leg.upstream - 1);
    });

    test("in its upload has the upstream connection closed, the request never complete", async () => {
      await using origin = await startOrigin(async () => undefined);
      await using proxy = await startProxy({ origin });
      const client = await proxy.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      const connection = await origin.connection();
      await connection.upTo("abc");
      leave(client);
      expect((await connection.rest()).toString()).not.toContain("0\r\n\r\n");
      await expectLeft(proxy, client, "exchange");
    });

    test("in the download has the upstream connection closed at once", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.upTo("half");
      leave(client);
      await origin.connections[0]!.whenEnded();
      const { error, session } = await proxy.whenFinished();
      expect([error?.source, session.responseStatus]).toEqual(["downstream", 200]);
      expect((await client.rest()).toString()).not.toContain("0\r\n\r\n");
      expect(proxy.errors).toHaveLength(1);
    });

    test("in a download that it did not read has the upstream connection closed", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n", patternBytes(32_000_000));
      });
      await using proxy = await startProxy({ origin });
      const client = (await proxy.send(get())).pause();
      await (await origin.connection()).upTo("\r\n\r\n");
      leave(client);
      await origin.connections[0]!.whenEnded();
      expect((await proxy.whenFinished()).error?.source).toBe("downstream");
      client.close();
    });

    test("in an asynchronous responseFilter has nothing sent after it", async () => {
      await using origin = await answering(OK);
      const { opened, open } = gate();
      const inside = gate();
      let waitingSession: Session | undefined;
      await using proxy = await startProxy({
        origin,
        async responseFilter(session) {
          waitingSession = session;
          inside.open();
          await opened;
        },
      });
      const client = await proxy.send(get());
      await inside.opened;
      leave(client);
      // By HTTP/2 its stream was over.
      if (leg.upstream === 1) await origin.connections[0]!.whenEnded();
      else await expect.poll(() => waitingSession?.downstream.error, { interval: 5 }).toBeDefined();
      open();
      await expectLeft(proxy, client, "responseFilter");
    });

    test("while idle is no request, and no news", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      await client.message();
      leave(client);
      await expect.poll(() => proxy.service.connectionCount, { interval: 5 }).toBe(0);
      expect(proxy.begun).toBe(1);
      expect(proxy.logs).toEqual([]);
    });
  });

  test("a client that leaves does not lead to another attempt, even if the app says so", async () => {
    await using origin = await startOrigin((connection) => connection.message());
    await using proxy = await startProxy({ origin, errorWhileProxy: (_peer, _session, error) => error.setRetry(true) });
    const client = await proxy.send(get());
    await (await origin.connection()).upTo("\r\n\r\n");
    client.close();
    await proxy.whenFinished();
    expect(origin.connections).toHaveLength(1);
  });

  test("a client that connects and says nothing is closed after keepAliveMs, without a word", async () => {
    await using proxy = await startProxy({}, { http1: { keepAliveMs: 50 } });
    const client = await proxy.connect();
    expect((await client.rest()).length).toBe(0);
    expect([proxy.begun, proxy.logs.length]).toEqual([0, 0]);
  });

  test("a client that takes no bytes is cut after writeMs", async () => {
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 32000000\r\n\r\n", patternBytes(32_000_000));
    });
    await using proxy = await startProxy({ origin }, { http1: { writeMs: 100 } });
    const client = (await proxy.send(get())).pause();
    const { error } = await proxy.whenFinished();
    expect(error).toMatchObject({ type: "WriteTimedout", source: "downstream" });
    client.resume();
    expect((await client.rest()).length).toBeLessThan(32_000_000);
    await origin.connections[0]!.whenEnded();
  });
});
