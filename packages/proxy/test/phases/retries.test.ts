import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { defaultErrorWhileProxy, HttpPeer, ProxyError } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { blackhole } from "../support/blackhole.ts";
import { chunked, patternBytes, type Message } from "../support/message.ts";
import { OK, type Origin, refusedAddress } from "../support/origin.ts";
import { gate, get, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ answering, startOrigin, startProxy, peerOf }) => {
  describe("a connection that cannot be had", () => {
    test("is not tried again by default, and answered with 502", async () => {
      let calls = 0;
      const address = await refusedAddress();
      await using proxy = await startProxy({
        upstreamPeer() {
          calls++;
          return new HttpPeer(address);
        },
      });
      const client = await proxy.send(get());
      const answer = await client.message();
      expect([answer.status, answer.field("cache-control"), calls]).toEqual([502, "private, no-store", 1]);
      expect(proxy.errors).toMatchObject([
        { phase: "connect", peer: address, tries: 1, status: 502, hint: expect.stringContaining("nothing listens") },
      ]);
    });

    test("is tried again elsewhere when failToConnect says so, also for POST: nothing was sent", async () => {
      await using origin = await answering(OK);
      const peers = [new HttpPeer(await refusedAddress()), peerOf(origin.address)];
      const failed: HttpPeer[] = [];
      await using proxy = await startProxy({
        upstreamPeer: (session) => peers[session.tries - 1]!,
        failToConnect(_session, peer, _ctx, error) {
          failed.push(peer);
          return error.setRetry(true);
        },
      });
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
      expect((await client.message()).body.toString()).toBe("ok");
      expect(failed).toEqual([peers[0]]);
      expect(proxy.logs).toMatchObject([
        { level: 40, msg: "attempt failed, trying again", tries: 1, phase: "connect" },
      ]);
    });

    test.each([1, 3])("is tried maxAttempts (%d) times in total", async (maxAttempts) => {
      const address = await refusedAddress();
      let calls = 0;
      await using proxy = await startProxy(
        {
          upstreamPeer() {
            calls++;
            return new HttpPeer(address);
          },
          failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
        },
        { maxAttempts },
      );
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(502);
      expect([calls, proxy.finished[0]?.session.tries]).toEqual([maxAttempts, maxAttempts]);
      expect(proxy.logs.filter(({ level }) => level === 40)).toHaveLength(maxAttempts - 1);
      expect(proxy.errors).toHaveLength(1);
    });

    test("maxAttempts is max_retries of the configuration, by default", async () => {
      await using proxy = await startProxy({}, {}, { max_retries: 7 });
      expect(proxy.service.proxy.maxAttempts).toBe(7);
    });

    test("upstreamPeer may ask for another attempt", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        upstreamPeer(session) {
          if (session.tries < 3) throw new ProxyError("NoPeer", { retry: true });
          return peerOf(origin.address);
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
    });

    test("takes no longer than connectMs, and is answered with 504", async () => {
      await using hole = await blackhole();
      await using proxy = await startProxy({ origin: new HttpPeer(hole.address, { connectMs: 150 }) });
      const startedAt = performance.now();
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(504);
      expect(performance.now() - startedAt).toBeGreaterThan(140);
      expect(performance.now() - startedAt).toBeLessThan(900);
      expect((await proxy.whenFinished()).error).toMatchObject({ type: "ConnectTimedout", source: "upstream" });
    });
  });

  /** What the origin saw: one list of requests for each of its connections. */
  type Seen = Message[][];

  /** An origin that answers the first request of its first connection, and drops the second; others it answers all. */
  async function droppingOrigin(
    drop: (connection: Wire) => unknown,
    readBody = true,
  ): Promise<{ origin: Origin; seen: Seen }> {
    const seen: Seen = [];
    const origin = await startOrigin(async (connection) => {
      const requests: Message[] = [];
      seen.push(requests);
      for (let request = 0; ; request++) {
        if (connection.index === 0 && request === 1) {
          if (readBody) requests.push(await connection.message());
          else await connection.upTo("\r\n\r\n");
          drop(connection);
          return;
        }
        const message = await connection.message();
        requests.push(message);
        connection.send(message.startLine.startsWith("HEAD") ? OK.slice(0, -2) : OK);
      }
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

  const DROPS = [
    ["closes", (connection: Wire): unknown => connection.close()],
    ["ends", (connection: Wire): unknown => connection.end()],
    ["resets", (connection: Wire): unknown => connection.reset()],
  ] as const;

  describe.each(DROPS)("a reused connection that the origin %s when the next request comes", (_how, drop) => {
    test.each(["GET", "HEAD", "OPTIONS", "DELETE"])("%s is sent again on a fresh one", async (method) => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      client.send(`${method} /again HTTP/1.1\r\nHost: test\r\n\r\n`);
      expect((await client.message({ toHead: method === "HEAD" })).status).toBe(200);
      expect(seen.map((requests) => requests.length)).toEqual([2, 1]);
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
      expect(proxy.logs).toMatchObject([{ level: 40, reused: true, tries: 1 }]);
    });

    test.each(["POST", "PATCH"])("%s is not sent again: it may have been processed", async (method) => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      client.send(`${method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello`);
      expect((await client.message()).status).toBe(502);
      expect(seen.map((requests) => requests.length)).toEqual([2]);
      expect(proxy.errors).toMatchObject([{ reused: true, tries: 1, hint: expect.stringContaining("idleMs") }]);
    });

    test("an app may say that its POST can be sent again", async () => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({
        origin,
        errorWhileProxy: (_peer, _session, error, _ctx, reused) => error.decideReuse(reused),
      });
      const client = await warm(proxy);
      client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
      expect((await client.message()).status).toBe(200);
      expect(seen.flat().map(({ body }) => body.toString())).toEqual(["", "hello", "hello"]);
    });

    test.each([1, 1000, 65_536])("PUT of %d bytes is sent again whole", async (length) => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      const body = patternBytes(length);
      client.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`, body);
      expect((await client.message()).status).toBe(200);
      expect(seen[1]?.[0]?.body.equals(body)).toBe(true);
    });

    test("PUT in chunks is sent again whole, with its trailers", async () => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      const body = patternBytes(30_000);
      client.send(
        "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunked(body, 1000, "X-T: 1\r\n"),
      );
      expect((await client.message()).status).toBe(200);
      expect(seen[1]?.[0]?.body.equals(body)).toBe(true);
      expect(seen[1]?.[0]?.trailers).toEqual([["X-T", "1"]]);
    });

    test("PUT of more than 64 KiB is not sent again, and answered with 502", async () => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      const body = patternBytes(65_537);
      client.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      expect((await client.message()).status).toBe(502);
      expect(seen.map((requests) => requests.length)).toEqual([2]);
    });

    test.each(["synchronous", "asynchronous"])("PUT passes its %s requestBodyFilter again", async (mode) => {
      const { origin, seen } = await droppingOrigin(drop);
      await using _origin = origin;
      await using proxy = await startProxy({
        origin,
        requestBodyFilter(_session, piece) {
          const upper = piece && Buffer.from(Buffer.from(piece).toString("latin1").toUpperCase());
          return mode === "synchronous" ? upper : setImmediate(upper);
        },
      });
      const client = await warm(proxy);
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (const piece of ["one", "two", "six"]) client.send(`3\r\n${piece}\r\n`);
      client.send("0\r\n\r\n");
      expect((await client.message()).status).toBe(200);
      expect(seen[1]?.[0]?.body.toString()).toBe("ONETWOSIX");
    });
  });

  test("a body of which only the start was read when the reused connection broke is completed from the client", async () => {
    const { origin, seen } = await droppingOrigin((connection) => connection.reset(), false);
    await using _origin = origin;
    await using proxy = await startProxy({ origin });
    const client = await warm(proxy);
    const body = patternBytes(60_000);
    client.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body.subarray(0, 20_000));
    await origin.connection(1);
    client.send(body.subarray(20_000, 50_000));
    client.send(body.subarray(50_000));
    expect((await client.message()).status).toBe(200);
    expect(seen[1]?.[0]?.body.equals(body)).toBe(true);
  });

  describe("a requestBodyFilter that is busy when its attempt fails", () => {
    /** A proxy whose first attempt of PUT fails while its filter has the client paused. */
    async function busy(origin: Origin, calls: string[]) {
      const filter = gate();
      const failed = gate();
      const proxy = await startProxy({
        origin,
        async requestBodyFilter(session) {
          if (session.request.method !== "PUT") return;
          calls.push(`begins in ${session.tries}`);
          if (session.tries === 1) await filter.opened;
          calls.push(`ends in ${session.tries}`);
        },
        errorWhileProxy(peer, session, error, _ctx, reused) {
          failed.open();
          return defaultErrorWhileProxy(peer, session, error, reused);
        },
      });
      const client = await warm(proxy);
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc");
      await failed.opened;
      return { proxy, client, filter };
    }

    test("is waited for: the next attempt calls it anew, and reads the client on", async () => {
      const { origin, seen } = await droppingOrigin((connection) => connection.reset(), false);
      await using _origin = origin;
      const calls: string[] = [];
      const { proxy, client, filter } = await busy(origin, calls);
      await using _proxy = proxy;
      client.send("def");
      expect(origin.connections).toHaveLength(1);
      filter.open();
      expect((await client.message()).status).toBe(200);
      expect(seen[1]?.[0]?.body.toString()).toBe("abcdef");
      expect(calls.slice(0, 4)).toEqual(["begins in 1", "ends in 1", "begins in 2", "ends in 2"]);
    });

    test("does not hold a client that leaves", async () => {
      const { origin } = await droppingOrigin((connection) => connection.reset(), false);
      await using _origin = origin;
      const { proxy, client } = await busy(origin, []);
      await using _proxy = proxy;
      client.close();
      const { error, session } = await proxy.whenFinished(2);
      expect([error?.source, session.tries]).toEqual(["downstream", 1]);
      expect(origin.connections).toHaveLength(1);
    });
  });

  describe("a fresh connection", () => {
    test.each(DROPS)("that the origin %s before answering is not tried again", async (_how, drop) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        drop(connection);
      });
      await using proxy = await startProxy({ origin });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(502);
      expect(origin.connections).toHaveLength(1);
      expect(proxy.errors).toMatchObject([{ reused: false, hint: expect.stringContaining("fresh connection") }]);
    });
  });

  describe("an error after the response head", () => {
    test("is never tried again, even if the app says so: the response is cut", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        await connection.sent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        connection.close();
      });
      await using proxy = await startProxy({
        origin,
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get());
      expect((await client.rest()).toString()).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\nhalf$/s);
      expect(origin.connections).toHaveLength(1);
      expect(proxy.errors).toMatchObject([{ status: 200, cut: true, tries: 1 }]);
      expect((await proxy.whenFinished()).session.responseStatus).toBe(200);
    });

    test("on a reused connection is not tried again either", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(OK);
        await connection.message();
        await connection.sent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        connection.reset();
      });
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      client.send(get());
      expect((await client.rest()).toString()).toMatch(/\r\n4\r\nhalf\r\n$/);
      expect(origin.connections).toHaveLength(1);
    });

    test("an interim response does not count: the request is tried again if the app says so", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        await connection.sent("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        if (connection.index === 0) connection.close();
        else connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get());
      const statuses = [
        (await client.message()).status,
        (await client.message()).status,
        (await client.message()).status,
      ];
      expect(statuses).toEqual([103, 103, 200]);
    });
  });

  describe("errorWhileProxy", () => {
    test("may turn the error into another", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.close();
      });
      await using proxy = await startProxy({
        origin,
        errorWhileProxy: (peer, _session, error, _ctx, reused) =>
          ProxyError.httpStatus(599, `${peer.toString()} ${reused} ${error.type}`, error),
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(599);
      expect(proxy.errors[0]!["error"]).toContain(`${peerOf(origin.address).toString()} false ConnectionClosed`);
    });

    test("may have a failure of a fresh connection tried again, each attempt on its own copy of the head", async () => {
      const heads: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        heads.push(await connection.upTo("\r\n\r\n"));
        if (connection.index < 2) connection.close();
        else connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        upstreamRequestFilter: (session, outgoing) => void outgoing.append("X-Try", session.tries),
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(200);
      expect(heads.map((head) => /X-Try.*/is.exec(head)?.[0])).toEqual([1, 2, 3].map((n) => `X-Try: ${n}\r\n\r\n`));
    });
  });

  describe("an idle connection", () => {
    test.each(DROPS)("that the origin %s is dropped before it is used", async (_how, drop) => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin });
      const client = await warm(proxy);
      drop(origin.connections[0]!);
      await expect.poll(() => proxy.pool.idleCount, { interval: 5 }).toBe(0);
      // A POST would not survive a stale connection.
      client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
      expect((await client.message()).status).toBe(200);
      expect(origin.connections).toHaveLength(2);
      expect((await proxy.whenFinished(2)).session.upstreamReused).toBe(false);
      expect(proxy.logs).toEqual([]);
    });

    test("is closed after idleMs", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin: peerOf(origin.address, { idleMs: 50 }) });
      await warm(proxy);
      await origin.connections[0]!.whenEnded();
      expect(proxy.pool.idleCount).toBe(0);
    });

    test("does not come to be with idleMs 0", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({ origin: peerOf(origin.address, { idleMs: 0 }) });
      const client = await proxy.connect();
      for (let request = 1; request <= 2; request++) {
        client.send(get());
        await client.message();
      }
      expect(origin.connections).toHaveLength(2);
    });

    test("is not shared by peers of different groups", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        upstreamPeer: (session) => peerOf(origin.address, { group: session.request.target }),
      });
      const client = await proxy.connect();
      for (const target of ["/a", "/b", "/a", "/b"]) {
        client.send(get(target));
        await client.message();
      }
      expect(origin.connections).toHaveLength(2);
    });

    test("that dies between being chosen and being used is a reused connection that broke: GET is sent again", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        connectedToUpstream: async (_session, reused) => {
          if (!reused) return;
          const connection = origin.connections[0]!;
          connection.close();
          await once(connection.socket, "close");
          for (let turn = 0; turn < 10; turn++) await setImmediate();
        },
      });
      const client = await warm(proxy);
      client.send(get());
      expect((await client.message()).status).toBe(200);
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
    });
  });
});
