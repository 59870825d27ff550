import { setImmediate as turn } from "node:timers/promises";
import type { HttpModule } from "@sluice/core";
import { type ProxyHttp, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { chunked, patternBytes } from "../support/message.ts";
import { OK, refusedAddress } from "../support/origin.ts";
import { gate } from "../support/proxy.ts";
import { droppingOrigin, FRAMINGS, post, recordingOrigin, rejection, warm } from "../support/request-bodies.ts";
import { settled } from "../support/settled.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ expectLast, peerOf, leg, startOrigin, startProxy }) => {
  const MODES = [1, 16_384, 65_536, 65_537, 3 << 20].flatMap((size) => FRAMINGS.map((framing) => ({ size, framing })));

  describe("what was read", () => {
    test.each(FRAMINGS)("goes up again when a reused connection is lost, whatever its size (%s)", async (framing) => {
      const { origin, seen } = await droppingOrigin(leg);
      await using _origin = origin;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 1 << 20 })),
      });
      const client = await warm(proxy);
      const body = patternBytes(65_537);
      client.send(post(body, framing).toString("latin1").replace("POST", "PUT"));
      expect((await client.message()).status).toBe(200);
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
      expect([seen[0]![1]!.body.equals(body), seen[1]![0]!.body.equals(body)]).toEqual([true, true]);
    });

    test("does not make a POST one that may be sent again", async () => {
      const { origin, seen } = await droppingOrigin(leg);
      await using _origin = origin;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 10 })),
      });
      const client = await warm(proxy);
      client.send(post(Buffer.from("hello")));
      expect((await client.message()).status).toBe(502);
      expect(seen.map(({ length }) => length)).toEqual([2]);
    });

    test("is there for upstreamPeer in each attempt", async () => {
      const { origin, seen } = await recordingOrigin(leg);
      await using _origin = origin;
      const bodies: Buffer[] = [];
      const refused = await refusedAddress();
      await using proxy = await startProxy({
        async upstreamPeer(session) {
          bodies.push(await session.readRequestBody({ maxBytes: 10 }));
          return peerOf(session.tries === 1 ? refused : origin.address);
        },
        failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true),
      });
      const client = await proxy.send(post(Buffer.from("hello")));
      expect((await client.message()).status).toBe(200);
      expect([bodies.length, bodies[0] === bodies[1], seen[0]![0]!.body.toString()]).toEqual([2, true, "hello"]);
    });

    test("passes requestBodyFilter in pieces, in each attempt", async () => {
      const { origin, seen } = await droppingOrigin(leg);
      await using _origin = origin;
      const pieces: (number | "end")[] = [];
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 200_000 })),
        async requestBodyFilter(_session, piece, end) {
          pieces.push(end ? "end" : piece!.length);
          await turn();
          return piece && Buffer.from(piece).swap16();
        },
      });
      const client = await warm(proxy);
      pieces.length = 0;
      const body = patternBytes(150_000);
      client.send(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n`, body);
      expect((await client.message()).status).toBe(200);
      const attempt = [65_536, 65_536, 18_928, "end"];
      expect(pieces).toEqual([...attempt, ...attempt]);
      const swapped = Buffer.from(body).swap16();
      expect([seen[0]![1]!.body.equals(swapped), seen[1]![0]!.body.equals(swapped)]).toEqual([true, true]);
    });

    test.each(["synchronous", "asynchronous"])("passes a %s module once, whose result goes up again", async (mode) => {
      const { origin, seen } = await droppingOrigin(leg);
      await using _origin = origin;
      const calls: string[] = [];
      class Inverter implements HttpModule {
        requestBody(piece: Uint8Array | undefined): Uint8Array | Promise<Uint8Array> | undefined {
          calls.push(piece === undefined ? "end" : `${piece.length}`);
          if (piece === undefined) return undefined;
          const inverted = Buffer.from(piece.map((byte) => byte ^ 0xff));
          return mode === "synchronous" ? inverted : turn(inverted);
        }
      }
      let read: Buffer | undefined;
      await using proxy = await startProxy({
        origin,
        initDownstreamModules: (modules) => void modules.add({ type: Inverter, init: () => new Inverter() }),
        requestFilter: async (session) => void (read = await session.readRequestBody({ maxBytes: 100_000 })),
      });
      const client = await warm(proxy);
      calls.length = 0;
      const body = patternBytes(100_000);
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body));
      expect((await client.message()).status).toBe(200);
      const inverted = Buffer.from(body.map((byte) => byte ^ 0xff));
      // A hook sees what the client sent.
      expect([read!.equals(body), calls]).toEqual([true, ["65536", "34464", "end"]]);
      expect([seen[0]![1]!.body.equals(inverted), seen[1]![0]!.body.equals(inverted)]).toEqual([true, true]);
    });

    test("and is with a module still when another attempt begins stays in order", async () => {
      const { opened, open } = gate();
      const busy = gate();
      const seen: string[] = [];
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(OK);
        if (connection.index > 0) return;
        await connection.upTo("abc");
        await busy.opened;
        connection.close();
      });
      class Slow implements HttpModule {
        requestBody(piece: Uint8Array | undefined): Promise<Uint8Array | undefined> | undefined {
          if (piece?.[0] !== 0x64) return undefined;
          busy.open();
          return opened.then(() => piece);
        }
      }
      await using proxy = await startProxy({
        origin,
        initDownstreamModules: (modules) => void modules.add({ type: Slow, init: () => new Slow() }),
        requestFilter: async (session) => void (await rejection(session.readRequestBody({ maxBytes: 2 }))),
        requestBodyFilter: (session, piece) =>
          void seen.push(`${session.tries} ${Buffer.from(piece ?? []).toString()}`),
        connectedToUpstream: (session) => (session.tries === 2 ? void turn().then(open) : undefined),
      });
      const client = await warm(proxy);
      seen.length = 0;
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
      client.send("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
      expect((await client.message()).status).toBe(200);
      expect(seen).toEqual(["1 abc", "2 abc", "2 def", "2 "]);
    });

    test("leaves at once as far as a filter has passed it, in a further attempt as well", async () => {
      const { opened, open } = gate();
      await using origin = await startOrigin(async (connection) => {
        if (connection.index === 0) {
          await connection.message();
          connection.send(OK);
          await connection.upTo("defgh");
          connection.close();
          return;
        }
        await connection.upTo("abc");
        open();
        await connection.upTo("defgh\r\n0\r\n\r\n");
        connection.send(OK);
      });
      await using proxy = await startProxy({
        origin,
        requestBodyFilter: (session, piece) => (session.tries === 2 && piece?.length === 5 ? opened : undefined),
      });
      const client = await warm(proxy);
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
      client.send("3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n");
      expect((await client.message()).status).toBe(200);
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
    });

    test.each(["before", "after"])("is let go of when the answer begins %s its end went up", async (order) => {
      const size = order === "before" ? 16 << 20 : 100_000;
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        if (order === "after") await connection.bytes(size);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        if (order === "before") await connection.bytes(size);
        connection.send("done");
      });
      const held: (number | undefined)[] = [];
      const holds = ({ bodyReader }: Session): number | undefined => bodyReader?.kept.bytes;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
        upstreamRequestFilter: (session) => void held.push(holds(session)),
        logging: (session) => void held.push(holds(session)),
      });
      const client = await proxy.send(post(patternBytes(size)));
      expect((await client.message()).body.toString()).toBe("done");
      await proxy.whenFinished();
      expect(held).toEqual([size, 0]);
    });

    test("goes up at the pace of the origin", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        connection.pause();
      });
      let sent = 0;
      const size = 32 << 20;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: size })),
        requestBodyFilter: (_session, piece) => void (sent += piece?.length ?? 0),
      });
      const body = patternBytes(size);
      const client = await proxy.send(post(body));
      await origin.connection();
      expect(await settled(() => sent)).toBeLessThan(size / 2);
      const connection = origin.connections[0]!.resume();
      expect((await connection.bytes(size)).equals(body)).toBe(true);
      connection.send(OK);
      expect((await client.message()).status).toBe(200);
    });

    test("need not go up to its end when the answer comes early: the client's connection goes on", async () => {
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\n");
        connection.pause().send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
      });
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 16 << 20 })),
      });
      const client = await proxy.connect();
      for (let round = 0; round < 2; round++) {
        client.send(post(Buffer.alloc(16 << 20)));
        const answer = await client.message();
        expect([answer.status, answer.field("connection")]).toEqual([413, undefined]);
      }
      expect(origin.connections).toHaveLength(2);
    });
  });

  describe("a body that is too large", () => {
    const limited: Partial<ProxyHttp<object>> = {
      requestFilter: async (session) => void (await session.readRequestBody({ maxBytes: 70_000 })),
    };

    test.each(FRAMINGS)("by one byte is answered with 413, and no byte goes up (%s)", async (framing) => {
      const { origin, seen } = await recordingOrigin(leg);
      await using _origin = origin;
      await using proxy = await startProxy({ origin, ...limited });
      const fits = await proxy.send(post(patternBytes(70_000), framing));
      expect((await fits.message()).status).toBe(200);
      const client = await proxy.send(post(patternBytes(70_001), framing));
      const answer = await client.message();
      expect(answer.status).toBe(413);
      await expectLast(client, answer);
      expect(seen.flat()).toHaveLength(1);
      expect((await proxy.whenFinished(2)).error).toMatchObject({
        type: "HTTPStatus",
        source: "downstream",
        status: 413,
      });
      expect(proxy.errors).toMatchObject([{ phase: "requestFilter", status: 413, proxy_status: "http_request_error" }]);
    });

    test("by its Content-Length is refused before a byte of it came", async () => {
      await using proxy = await startProxy(limited);
      const client = await proxy.send(
        "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 70001\r\n\r\n",
      );
      expect((await client.message()).status).toBe(413);
      expect((await proxy.whenFinished()).session.downstream.requestBodyBytes).toBe(0);
    });

    test.each(MODES)(
      "goes up whole if the filter goes on all the same ($size bytes, $framing)",
      async ({ size, framing }) => {
        const { origin, seen } = await recordingOrigin(leg);
        await using _origin = origin;
        let error: unknown;
        await using proxy = await startProxy({
          origin,
          requestFilter: async (session) =>
            void (error = await rejection(session.readRequestBody({ maxBytes: size - 1 }))),
        });
        const body = patternBytes(size);
        const client = await proxy.send(post(body, framing));
        const answer = await client.message();
        expect([answer.status, answer.field("connection")]).toEqual([200, undefined]);
        expect(error).toMatchObject({ status: 413 });
        expect(seen[0]![0]!.body.equals(body)).toBe(true);
      },
    );

    test("goes up again as far as it was read, and then as it comes", async () => {
      const { origin, seen } = await droppingOrigin(leg);
      await using _origin = origin;
      await using proxy = await startProxy({
        origin,
        requestFilter: async (session) => void (await rejection(session.readRequestBody({ maxBytes: 9999 }))),
      });
      const client = await warm(proxy);
      const body = patternBytes(60_000);
      client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body, 10_000));
      expect((await client.message()).status).toBe(200);
      expect([seen[0]![1]!.body.equals(body), seen[1]![0]!.body.equals(body)]).toEqual([true, true]);
    });

    test("can be read on with another limit", async () => {
      const { origin, seen } = await recordingOrigin(leg);
      await using _origin = origin;
      let read: Buffer | undefined;
      await using proxy = await startProxy({
        origin,
        async requestFilter(session) {
          await rejection(session.readRequestBody({ maxBytes: 10 }));
          read = await session.readRequestBody({ maxBytes: 500_000 });
        },
      });
      const body = patternBytes(300_000);
      const client = await proxy.send(post(body, "chunked"));
      expect((await client.message()).status).toBe(200);
      expect([read!.equals(body), seen[0]![0]!.body.equals(body)]).toEqual([true, true]);
    });
  });
});
