import { type Session, type Timing } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { patternBytes } from "../support/message.ts";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ peerOf, answering, startOrigin, startProxy }) => {
  /** What happens to a request that succeeds, in order. */
  const ORDER = [
    "acceptedAtMs",
    "headReadAtMs",
    "peerChosenAtMs",
    "connectedAtMs",
    "requestHeadSentAtMs",
    "requestSentAtMs",
    "responseHeadAtMs",
    "responseEndAtMs",
    "endedAtMs",
  ] as const satisfies readonly (keyof Timing)[];

  /** Times of an upstream. */
  const UPSTREAM = ORDER.slice(2, -1);

  function expectInOrder(timing: Timing, names: readonly (keyof Timing)[] = ORDER): void {
    const times = names.map((name) => timing[name]);
    expect(times.every((time) => typeof time === "number" && time > 0)).toBe(true);
    expect(times).toEqual((times as number[]).toSorted((a, b) => a - b));
  }

  test("its members are a promise", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    await (await proxy.send(get())).message();
    const { timing } = (await proxy.whenFinished()).session;
    expect(Object.keys(timing)).toEqual([...ORDER, "connectMs", "upstreamWritePendingMs", "delayedMs"]);
  });

  test("everything has its time, in order, on a new connection and on one of the pool", async () => {
    await using origin = await answering(OK);
    const early: Timing[] = [];
    const logged: Timing[] = [];
    await using proxy = await startProxy({
      origin,
      requestFilter: (session) => void early.push(session.timing),
      logging: (session) => void logged.push(session.timing),
    });
    const client = await proxy.connect();
    for (let count = 1; count <= 2; count++) {
      client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
      await client.message();
      await proxy.whenFinished(count);
    }
    const [fresh, pooled] = logged as [Timing, Timing];
    for (const timing of logged) expectInOrder(timing);
    expect(fresh.connectMs).toBe(fresh.connectedAtMs! - fresh.peerChosenAtMs!);
    expect(fresh.connectMs).toBeGreaterThan(0);
    expect([pooled.connectMs, pooled.peerChosenAtMs]).toEqual([0, pooled.connectedAtMs]);
    expect(pooled.acceptedAtMs).toBe(fresh.acceptedAtMs);
    expect([fresh, pooled].map(({ upstreamWritePendingMs, delayedMs }) => [upstreamWritePendingMs, delayedMs])).toEqual(
      [
        [0, 0],
        [0, 0],
      ],
    );
    const { session } = proxy.finished[0]!;
    expect(fresh.headReadAtMs).toBe(session.startedAtMs);
    // What has not happened has no time.
    for (const timing of early) {
      expect([...UPSTREAM, "endedAtMs" as const, "connectMs" as const].map((name) => timing[name])).toEqual(
        Array.from({ length: UPSTREAM.length + 2 }),
      );
    }
  });

  test("the head of a request without a body is all of it", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    await (await proxy.send(get())).message();
    const { timing } = (await proxy.whenFinished()).session;
    expect(timing.requestSentAtMs).toBe(timing.requestHeadSentAtMs);
  });

  test("a request that a filter answers has an end, and nothing of an upstream", async () => {
    await using proxy = await startProxy({ requestFilter: (session) => session.respond(403) });
    await (await proxy.send(get())).message();
    const { timing } = (await proxy.whenFinished()).session;
    expectInOrder(timing, ["acceptedAtMs", "headReadAtMs", "endedAtMs"]);
    expect(UPSTREAM.map((name) => timing[name])).toEqual(Array.from({ length: UPSTREAM.length }));
  });

  test("an upstream that cannot be had leaves the time at which it was chosen", async () => {
    await using proxy = await startProxy({ origin: { address: await refusedAddress() } });
    await (await proxy.send(get())).message();
    const { timing } = (await proxy.whenFinished()).session;
    expectInOrder(timing, ["acceptedAtMs", "headReadAtMs", "peerChosenAtMs", "endedAtMs"]);
    expect([timing.connectedAtMs, timing.connectMs, timing.responseHeadAtMs]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("the times of an attempt that failed do not count for the next", async () => {
    await using origin = await startOrigin(async (connection) => {
      await connection.message();
      await connection.sent("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf");
      connection.close();
    });
    const first: Timing[] = [];
    const addresses = [origin.address, await refusedAddress()];
    await using proxy = await startProxy({
      upstreamPeer: (session) => peerOf(addresses[session.tries - 1]!),
      upstreamResponseFilter() {
        throw new Error("again");
      },
      errorWhileProxy(_peer, session, error) {
        first.push(session.timing);
        return error.setRetry(true);
      },
    });
    await (await proxy.send(get())).message();
    expectInOrder(first[0]!, ORDER.slice(0, -2));
    const { timing, tries } = (await proxy.whenFinished()).session;
    expect(tries).toBe(2);
    expectInOrder(timing, ["acceptedAtMs", "headReadAtMs", "peerChosenAtMs", "endedAtMs"]);
    expect(UPSTREAM.slice(1).map((name) => timing[name])).toEqual(Array.from({ length: UPSTREAM.length - 1 }));
  });

  describe("sums", () => {
    test("of the delays of body filters, in both directions", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        requestBodyFilter: (_session, _piece, end) => ({ delayMs: end ? 0 : 1 }),
        upstreamResponseBodyFilter: (_session, _piece, end) => ({ delayMs: end ? 2 : 3 }),
        responseBodyFilter: (_session, _piece, end) => ({ delayMs: end ? 0 : 4 }),
      });
      const client = await proxy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
      await client.message();
      expect((await proxy.whenFinished()).session.timing.delayedMs).toBe(1 + 2 + 3 + 4);
    });

    test("of the time in which the upstream took no bytes, as it passes and afterwards", async () => {
      const paused = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        connection.pause();
        paused.open();
      });
      let session: Session | undefined;
      await using proxy = await startProxy({ origin, requestFilter: (own) => void (session = own) });
      const body = patternBytes(16 * 1024 * 1024);
      const client = await proxy.send(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      await paused.opened;
      await expect.poll(() => session?.timing.upstreamWritePendingMs, { interval: 5 }).toBeGreaterThan(0);
      const connection = await origin.connection();
      connection.resume();
      await connection.bytes(body.length);
      connection.send(OK);
      expect((await client.message()).status).toBe(200);
      const { timing } = (await proxy.whenFinished()).session;
      expect(timing.upstreamWritePendingMs).toBeGreaterThan(0);
      // The end of a request comes by HTTP/2 in a frame of its own: an origin that counts bytes may have answered before.
      const sentAtMs = timing.requestSentAtMs ?? timing.endedAtMs!;
      expect(timing.upstreamWritePendingMs).toBeLessThanOrEqual(sentAtMs - timing.requestHeadSentAtMs!);
      expect(session!.timing.upstreamWritePendingMs).toBe(timing.upstreamWritePendingMs);
    });
  });
});
