import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { answer, respond, type Handler } from "../../test/harness.ts";
import { exchange, GET, Http2Served } from "../../test/http2-harness.ts";
import { encodeHeaderBlock, FLAG, FRAME, requestFields, type Http2FrameClient } from "../testing/index.ts";
import { ENHANCE_YOUR_CALM } from "./error-codes.ts";
import type { Http2ServerOptions } from "./server-options.ts";

/** Gives the server turns in between, as a network does: what comes in one read is another matter. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Sends until the connection ends, but not for ever. Returns how often. */
async function until(client: Http2FrameClient, send: (round: number) => void, most: number): Promise<number> {
  let over = false;
  void client.closed.then(() => (over = true));
  for (let round = 0; round < most; round++) {
    if (over) return round;
    send(round);
    if (round % 20 === 19) await turns(2);
  }
  await client.closed;
  return most;
}

const never: Handler = () => new Promise<void>(() => undefined);
const post = (client: Http2FrameClient, streamId: number): unknown =>
  client.headers(streamId, requestFields("POST"), FLAG.END_HEADERS);

interface Case {
  readonly name: string;
  readonly handler?: Handler;
  readonly options?: Partial<Http2ServerOptions>;
  /** Before the flood. */
  readonly begin?: (client: Http2FrameClient) => unknown;
  readonly send: (client: Http2FrameClient, round: number) => unknown;
  /** Rounds by which it must be over. */
  readonly most: number;
  readonly codes: readonly number[];
  readonly reason: RegExp;
}

const CASES: readonly Case[] = [
  {
    name: "streams that are opened and reset (CVE-2023-44487)",
    handler: never,
    send: (client, round) => client.get(round * 2 + 1).rstStream(round * 2 + 1),
    most: 400,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 200 streams were reset within 10 s/,
  },
  {
    name: "streams that we are made to reset (CVE-2025-8671)",
    handler: never,
    send: (client, round) => {
      const id = round * 2 + 1;
      client.headers(id, [...requestFields("POST"), ["content-length", "5"]], FLAG.END_HEADERS).data(id, "a", true);
    },
    most: 400,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 200 streams were reset within 10 s/,
  },
  {
    name: "window updates beyond the largest window",
    handler: never,
    send: (client, round) => client.get(round * 2 + 1).windowUpdate(round * 2 + 1, 2 ** 31 - 1),
    most: 400,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 200 streams were reset within 10 s/,
  },
  {
    name: "PING",
    send: (client) => client.ping(),
    most: 3000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "SETTINGS",
    send: (client) => client.settings([]),
    most: 3000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "PRIORITY",
    send: (client) => client.send(FRAME.PRIORITY, 0, 1, Buffer.from([0, 0, 0, 0, 1])),
    most: 20_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "CONTINUATION without end",
    begin: (client) => client.headers(1, requestFields("GET"), FLAG.END_STREAM),
    send: (client, round) => client.send(FRAME.CONTINUATION, 0, 1, encodeHeaderBlock([[`x-${round}`, "a"]])),
    most: 100,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 32 CONTINUATION frames/,
  },
  {
    name: "DATA without bytes",
    handler: never,
    begin: (client) => post(client, 1),
    send: (client) => client.data(1, ""),
    most: 5000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "DATA without bytes that ends streams again",
    handler: never,
    begin: (client) => post(client, 1),
    // The first breaks a rule: we reset the stream.
    send: (client, round) => (round === 0 ? client.headers(1, [], FLAG.END_HEADERS) : client.data(1, "", true)),
    most: 5000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "HEADERS behind the end of streams",
    handler: never,
    begin: (client) => post(client, 1),
    send: (client) => client.headers(1, [], FLAG.END_HEADERS),
    most: 20_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "frames of unknown types",
    send: (client) => client.send(99, 0, 0, Buffer.alloc(100)),
    most: 20_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "malformed requests",
    send: (client, round) => client.headers(round * 2 + 1, [[":method", "GET"]]),
    most: 5000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 200 streams were reset within 10 s/,
  },
  {
    name: "answers to no PING",
    send: (client) => client.send(FRAME.PING, FLAG.ACK, 0, Buffer.alloc(8)),
    most: 20_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "WINDOW_UPDATE beside a request",
    handler: never,
    options: { writeMs: 40 },
    begin: (client) => client.get(1),
    send: (client) => client.windowUpdate(0, 1),
    most: 50_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
  {
    name: "padding",
    handler: never,
    options: { writeMs: 40 },
    begin: (client) => post(client, 1),
    send: (client) => client.send(FRAME.DATA, FLAG.PADDED, 1, Buffer.concat([Buffer.from([199]), Buffer.alloc(200)])),
    most: 50_000,
    codes: [ENHANCE_YOUR_CALM],
    reason: /more than 1000 frames without content within 10 s/,
  },
];

/** What is said to whoever has clients that mean no harm. */
function hintFor({ source }: RegExp): unknown {
  if (source.includes("were reset")) return expect.stringContaining("see maxResets of the option http2");
  return source.includes("without content")
    ? expect.stringContaining("see maxControlFrames of the option http2")
    : undefined;
}

describe("a flood of", () => {
  test.each(CASES)(
    "$name ends the connection, and says so; others go on",
    async (flood) => {
      const { handler = answer, options = {}, begin, send, most, codes, reason } = flood;
      const quiet: Handler = (seen) => (seen.session.request.target === "/ok" ? answer(seen) : handler(seen));
      await using served = await Http2Served.start(quiet, options);
      const other = served.client();
      const client = await served.frames();
      await client.next(FRAME.SETTINGS, 0, ({ flags }) => flags === FLAG.ACK);
      begin?.(client);
      const rounds = await until(client, (round) => send(client, round), most);
      expect(rounds).toBeLessThan(most);
      expect(codes).toContain((await client.goaway()).code);
      expect((await exchange(other, [...GET.slice(0, -1), "/ok"])).status).toBe(200);
      expect(served.service.connectionCount).toBe(1);
      const [line, ...more] = served.logs;
      expect(line).toMatchObject({
        client: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        reason: expect.stringMatching(reason),
      });
      expect(line!["hint"]).toEqual(hintFor(reason));
      expect(more).toEqual([]);
      // What the client had asked for is not worked on any more.
      expect(
        served.requests
          .filter(({ session }) => session.request.target !== "/ok")
          .every(({ session }) => session.error ?? session.responseDone),
      ).toBe(true);
    },
    30_000,
  );
});

test("a flood of requests behind our last GOAWAY ends the connection", async () => {
  await using served = await Http2Served.start(never, { maxRequests: 1 });
  const client = await served.frames();
  client.get(1);
  await client.next(FRAME.GOAWAY, 0, ({ payload }) => payload.readUInt32BE(0) === 1);
  const rounds = await until(client, (round) => client.get(round * 2 + 3), 5000);
  expect(rounds).toBeLessThan(5000);
  expect((await client.goaway(ENHANCE_YOUR_CALM)).lastStreamId).toBe(1);
  expect(served.requests).toHaveLength(1);
});

test("many small responses that are taken one by one are no flood", async () => {
  await using served = await Http2Served.start();
  const client = served.client();
  for (let round = 0; round < 300; round++) expect((await exchange(client, GET)).status).toBe(200);
  expect(served.logs).toEqual([]);
});

test("a client that gives its windows back in steps of what it reads, however small, is no flood", async () => {
  await using served = await Http2Served.start(({ session }) => respond(session, 200, "x".repeat(2_000_000)));
  const client = await served.frames({ settings: [[4, 2 ** 24]] });
  client.windowUpdate(0, 2 ** 24).get(1);
  for (let taken = 0, seen = 0; taken < 2_000_000; seen++) {
    while (client.frames.length === seen) await once(client.stream, "data");
    const { type, payload } = client.frames[seen]!;
    if (type !== FRAME.DATA) continue;
    taken += payload.length;
    for (let left = payload.length; left > 0; left -= 1024) {
      client.windowUpdate(0, Math.min(left, 1024)).windowUpdate(1, Math.min(left, 1024));
    }
  }
  expect(await client.get(3).status(3)).toBe(200);
});

test("streams that take nothing hold a bounded amount of memory each", async () => {
  const given: number[] = [];
  await using served = await Http2Served.start(
    async (seen) => {
      const { session } = seen;
      const { ResponseHeader } = await import("@sluice/http");
      session.events = seen;
      session.writeHeader(ResponseHeader.build(200), false);
      let bytes = 16_000;
      while (session.writeBody(Buffer.alloc(16_000))) bytes += 16_000;
      given.push(bytes);
      await new Promise((resolve) => (session.onGone = resolve));
    },
    { writeMs: 200 },
  );
  const client = await served.frames({ settings: [[4, 0]] });
  for (let id = 1; id < 200; id += 2) client.get(id);
  for (let id = 1; id < 200; id += 2) expect(await client.reset(id)).toBe(8);
  expect(given).toHaveLength(100);
  expect(Math.max(...given)).toBeLessThan(200_000);
});
