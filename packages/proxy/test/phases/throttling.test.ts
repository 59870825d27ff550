import { setImmediate } from "node:timers/promises";
import { type BodyStep } from "@sluice/proxy";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { OK, type Origin, type OriginConnection } from "../support/origin.ts";
import { gate, get } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy, peerOf }) => {
  // Nothing but the delays and the time limits of the proxy waits for this clock.
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
  afterEach(() => void vi.useRealTimers());

  const HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const PUT = "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const END = "0\r\n\r\n";
  const text = (piece: Uint8Array | undefined): string => (piece === undefined ? "end" : Buffer.from(piece).toString());

  /** What has no timer to wait for has happened. */
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }

  /** An origin that answers with the head, and then what the test sends on the connection. */
  async function openOrigin(): Promise<{ origin: Origin; begun: Promise<OriginConnection> }> {
    const { promise: begun, resolve } = Promise.withResolvers<OriginConnection>();
    const origin = await startOrigin(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send(HEAD);
      resolve(connection);
    });
    return { origin, begun };
  }

  describe("a delay of a response body filter", () => {
    test("holds its piece and what follows; what came before, and the head, go down at once", async () => {
      const { origin, begun } = await openOrigin();
      await using _origin = origin;
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        responseBodyFilter(_session, piece) {
          if (text(piece) !== "slow") return undefined;
          inside.open();
          return { delayMs: 1000 };
        },
      });
      const client = await proxy.send(get());
      const connection = (await begun).send(chunk("fast"));
      await client.upTo(chunk("fast"));
      connection.send(chunk("slow"));
      await inside.opened;
      connection.send(chunk("next"), END);
      vi.advanceTimersByTime(999);
      await settle();
      expect(client.peek()).toBe("");
      vi.advanceTimersByTime(1);
      const rest = await client.upTo(END);
      expect(
        rest
          .split("\r\n")
          .filter((line) => !/^\d*$/.test(line))
          .join(""),
      ).toBe("slownext");
      expect((await proxy.whenFinished()).error).toBeUndefined();
    });

    test("is waited for before the next filter is asked, whose own delay adds to it", async () => {
      const { origin, begun } = await openOrigin();
      await using _origin = origin;
      const calls: string[] = [];
      const first = gate();
      await using proxy = await startProxy({
        origin,
        upstreamResponseBodyFilter(_session, piece) {
          calls.push(`upstream ${text(piece)}`);
          first.open();
          return piece && { piece: Buffer.from(`${text(piece)}!`), delayMs: 300 };
        },
        responseBodyFilter(_session, piece) {
          calls.push(`down ${text(piece)}`);
          return piece && { delayMs: 200 };
        },
      });
      const client = await proxy.send(get());
      (await begun).send(chunk("a"));
      await first.opened;
      await settle();
      expect(calls).toEqual(["upstream a"]);
      vi.advanceTimersByTime(300);
      expect(calls).toEqual(["upstream a", "down a!"]);
      await client.upTo("\r\n\r\n");
      vi.advanceTimersByTime(199);
      await settle();
      expect(client.peek()).toBe("");
      vi.advanceTimersByTime(1);
      await client.upTo(chunk("a!"));
    });

    test("may hold the end", async () => {
      await using origin = await answering(`${HEAD}${chunk("all")}${END}`);
      await using proxy = await startProxy({
        origin,
        responseBodyFilter: (_session, _piece, end) => (end ? { piece: Buffer.from("of it"), delayMs: 50 } : undefined),
      });
      const client = await proxy.send(get());
      await client.upTo(chunk("all"));
      await settle();
      expect([client.peek(), proxy.finished.length]).toEqual(["", 0]);
      vi.advanceTimersByTime(50);
      expect(await client.upTo(END)).toBe(`${chunk("of it")}${END}`);
      client.send(get());
      await client.upTo(chunk("all"));
      expect(origin.connections).toHaveLength(1);
    });

    test("of 0 is none, and pieces keep their bytes while they wait", async () => {
      const pieces = Array.from({ length: 40 }, (_, index) => String.fromCharCode(65 + index).repeat(3000));
      await using origin = await answering(`${HEAD}${pieces.map(chunk).join("")}${END}`);
      let calls = 0;
      await using proxy = await startProxy({
        origin,
        upstreamResponseBodyFilter: () => ({ delayMs: 0 }),
        responseBodyFilter: () => ({ delayMs: calls++ % 2 }),
      });
      const client = await proxy.send(get());
      const answer = client.message();
      while (proxy.finished.length === 0) {
        vi.advanceTimersByTime(1);
        await setImmediate();
      }
      expect((await answer).body.toString()).toBe(pieces.join(""));
    });

    test("leaves the upload going on", async () => {
      const uploaded = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        connection.send(HEAD, chunk("early"));
        await connection.upTo("up!");
        uploaded.open();
        connection.send(END);
      });
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        responseBodyFilter(_session, piece) {
          inside.open();
          return piece && { delayMs: 1000 };
        },
      });
      const client = await proxy.send(PUT);
      await inside.opened;
      client.send(`${chunk("up!")}${END}`);
      await uploaded.opened;
      expect(client.peek()).not.toContain("early");
      vi.advanceTimersByTime(1000);
      await client.upTo(END);
    });

    test("is over when the client leaves: the upstream closes at once, and no filter runs any more", async () => {
      const { origin, begun } = await openOrigin();
      await using _origin = origin;
      const calls: string[] = [];
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        upstreamResponseBodyFilter(_session, piece) {
          calls.push(`upstream ${text(piece)}`);
          inside.open();
          return { delayMs: 60_000 };
        },
        responseBodyFilter: (_session, piece) => void calls.push(`down ${text(piece)}`),
      });
      const client = await proxy.send(get());
      (await begun).send(chunk("a"), chunk("b"));
      await inside.opened;
      client.close();
      expect((await proxy.whenFinished()).error).toMatchObject({ source: "downstream" });
      await (await begun).whenEnded();
      vi.advanceTimersByTime(120_000);
      await settle();
      expect(calls).toEqual(["upstream a"]);
    });

    test("ends with a server that is stopped by force", async () => {
      const { origin, begun } = await openOrigin();
      await using _origin = origin;
      const inside = gate();
      const proxy = await startProxy({
        origin,
        responseBodyFilter() {
          inside.open();
          return { delayMs: 60_000 };
        },
      });
      await proxy.send(get());
      (await begun).send(chunk("a"));
      await inside.opened;
      await proxy[Symbol.asyncDispose]();
      expect(proxy.finished).toMatchObject([{ error: { source: "downstream" } }]);
    });

    test("is not the origin's: its readMs does not run", async () => {
      const { origin, begun } = await openOrigin();
      await using _origin = origin;
      const inside = gate();
      await using proxy = await startProxy({
        origin: peerOf(origin.address, { readMs: 1000 }),
        responseBodyFilter(_session, piece) {
          inside.open();
          return piece && { delayMs: 5000 };
        },
      });
      const client = await proxy.send(get());
      (await begun).send(chunk("a"));
      await inside.opened;
      vi.advanceTimersByTime(5000);
      await client.upTo(chunk("a"));
      // Now it is: the time is the origin's again.
      vi.advanceTimersByTime(1000);
      expect((await proxy.whenFinished()).error?.type).toBe("ReadTimedout");
    });
  });

  describe("a delay of requestBodyFilter", () => {
    test.each<[string, (step: BodyStep) => BodyStep | Promise<BodyStep>]>([
      ["given at once", (step) => step],
      ["given by a promise", (step) => Promise.resolve(step)],
    ])("%s holds its piece and what follows, in order", async (_how, give) => {
      const fast = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo(chunk("fast"));
        fast.open();
        expect(await connection.upTo(END)).toBe(`${chunk("SLOW")}${chunk("next")}${END}`);
        connection.send(OK);
      });
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        requestBodyFilter(_session, piece) {
          if (text(piece) !== "slow") return undefined;
          inside.open();
          return give({ piece: Buffer.from("SLOW"), delayMs: 400 });
        },
      });
      const client = await proxy.send(PUT, chunk("fast"));
      const connection = await origin.connection();
      await fast.opened;
      client.send(chunk("slow"));
      await inside.opened;
      client.send(chunk("next"), END);
      await settle();
      expect(connection.peek()).not.toContain("SLOW");
      vi.advanceTimersByTime(400);
      expect((await client.message()).status).toBe(200);
      expect(origin.failures).toEqual([]);
    });

    test("may hold the end, and is not the client's: its bodyMs does not run", async () => {
      let received = "";
      await using origin = await startOrigin(async (connection) => {
        received = await connection.upTo(END);
        connection.send(OK);
      });
      const first = gate();
      const inside = gate();
      await using proxy = await startProxy(
        {
          origin,
          requestBodyFilter(_session, _piece, end) {
            if (!end) {
              first.open();
              return { delayMs: 5000 };
            }
            inside.open();
            return { piece: Buffer.from("z"), delayMs: 5000 };
          },
        },
        { http1: { bodyMs: 1000 } },
      );
      const client = await proxy.send(PUT, chunk("a"));
      await first.opened;
      vi.advanceTimersByTime(5000);
      client.send(END);
      await inside.opened;
      vi.advanceTimersByTime(5000);
      expect((await client.message()).status).toBe(200);
      expect(received).toContain(`\r\n\r\n${chunk("a")}${chunk("z")}${END}`);
    });

    test("holds the head of a request without body, and a client that leaves ends it", async () => {
      await using origin = await answering(OK);
      const inside = gate();
      await using proxy = await startProxy({
        origin,
        requestBodyFilter() {
          inside.open();
          return { delayMs: 400 };
        },
      });
      const client = await proxy.send(get());
      await inside.opened;
      // By HTTP/2 a request that was not sent is nothing to the origin.
      const connection = leg.upstream === 1 ? await origin.connection() : undefined;
      await settle();
      expect(connection?.receivedBytes ?? origin.connections.length).toBe(0);
      client.close();
      expect((await proxy.whenFinished()).error).toMatchObject({ source: "downstream" });
      vi.advanceTimersByTime(400);
      await connection?.whenEnded();
      await settle();
      expect(connection?.receivedBytes ?? origin.connections.length).toBe(0);
    });

    test("ends with its attempt: the next one has delays of its own", async () => {
      const begun = gate();
      const first = gate();
      await using origin = await startOrigin(async (connection) => {
        if (connection.index === 0) {
          await connection.upTo("\r\n\r\n");
          begun.open();
          await first.opened;
          connection.close();
          return;
        }
        await connection.upTo(END);
        connection.send(OK);
      });
      const calls: string[] = [];
      const second = gate();
      await using proxy = await startProxy({
        origin,
        requestBodyFilter(session, piece) {
          calls.push(`${session.tries} ${text(piece)}`);
          if (session.tries === 1) {
            first.open();
            return { delayMs: 60_000 };
          }
          second.open();
          return { delayMs: 10 };
        },
        errorWhileProxy: (_peer, _session, error) => error.setRetry(true),
      });
      const client = await proxy.send(PUT);
      await begun.opened;
      client.send(chunk("a"), END);
      await second.opened;
      while (proxy.finished.length === 0) {
        vi.advanceTimersByTime(10);
        await setImmediate();
      }
      expect((await client.message()).status).toBe(200);
      expect(calls).toEqual(["1 a", "2 a", "2 end"]);
      vi.advanceTimersByTime(60_000);
      await settle();
      expect(calls).toHaveLength(3);
    });
  });

  describe.each([Number.NaN, -1, 2 ** 31, Number.POSITIVE_INFINITY, "100"])("a delay of %s", (delayMs) => {
    const step = { delayMs } as BodyStep;

    test("on the way up fails the request with 500, and says what was expected", async () => {
      await using origin = await startOrigin((connection) => connection.upTo(END));
      await using proxy = await startProxy({ origin, requestBodyFilter: () => step });
      const client = await proxy.send(PUT, chunk("a"), END);
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors).toMatchObject([
        { phase: "requestBodyFilter", error: expect.stringContaining("delayMs must be from 0 to 2147483647") },
      ]);
    });

    test.each(["upstreamResponseBodyFilter", "responseBodyFilter"] as const)(
      "of %s cuts the response",
      async (hook) => {
        await using origin = await answering(`${HEAD}${chunk("a")}${END}`);
        await using proxy = await startProxy({ origin, [hook]: () => step });
        const client = await proxy.send(get());
        expect((await client.rest()).toString()).not.toContain(END);
        expect(proxy.errors).toMatchObject([{ phase: hook, cut: true }]);
      },
    );
  });

  test("a step whose piece is no bytes fails as such", async () => {
    await using origin = await answering(`${HEAD}${chunk("a")}${END}`);
    const step = { piece: "text", delayMs: 1 } as unknown as BodyStep;
    await using proxy = await startProxy({ origin, responseBodyFilter: () => step });
    const client = await proxy.send(get());
    expect((await client.rest()).toString()).not.toContain(END);
    expect(proxy.errors).toMatchObject([{ error: expect.stringContaining('it returned "text"') }]);
  });
});
