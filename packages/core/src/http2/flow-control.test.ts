import { ResponseHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { respond, type Handler } from "../../test/harness.ts";
import { Http2Served } from "../../test/http2-harness.ts";
import { FLAG, FRAME, requestFields, type Http2FrameClient } from "../testing/index.ts";
import { ENHANCE_YOUR_CALM } from "./error-codes.ts";

const LENGTH = 100_000;
const large: Handler = ({ session }) => respond(session, 200, "a".repeat(LENGTH));
const settings = (client: Http2FrameClient, windowBytes: number): unknown => client.settings([[4, windowBytes]]);

/** Everything that was on its way when it was called has come. */
async function settle(client: Http2FrameClient, mark: string): Promise<void> {
  client.ping(Buffer.from(mark.padEnd(8)));
  await client.next(FRAME.PING, 0, ({ payload }) => payload.toString() === mark.padEnd(8));
}

describe("a response", () => {
  test("goes as far as the stream's window, also when that has become negative (RFC 9113, section 6.9.2)", async () => {
    await using served = await Http2Served.start(large);
    const client = await served.frames();
    client.windowUpdate(0, 1_000_000).get(1);
    await settle(client, "first");
    expect(client.dataBytes(1)).toBe(65_535);
    settings(client, 10);
    client.windowUpdate(1, 65_525);
    await settle(client, "second");
    expect(client.dataBytes(1)).toBe(65_535);
    client.windowUpdate(1, 100);
    await settle(client, "third");
    expect(client.dataBytes(1)).toBe(65_635);
    // The change counts for streams that are open, and for those to come.
    settings(client, 1000);
    client.get(3);
    await settle(client, "fourth");
    expect([client.dataBytes(1), client.dataBytes(3)]).toEqual([65_635 + 990, 1000]);
    settings(client, 200_000);
    await client.next(FRAME.DATA, 1, ({ flags }) => flags === FLAG.END_STREAM);
    await client.next(FRAME.DATA, 3, ({ flags }) => flags === FLAG.END_STREAM);
    expect([client.dataBytes(1), client.dataBytes(3)]).toEqual([LENGTH, LENGTH]);
  });

  test("goes as far as the connection's window, which all share in turns of a frame", async () => {
    await using served = await Http2Served.start(large);
    const client = await served.frames({ settings: [[4, 1_000_000]] });
    client.get(1).get(3).get(5);
    await settle(client, "all");
    const sent = (): number[] => [1, 3, 5].map((id) => client.dataBytes(id));
    expect(sent().reduce((sum, bytes) => sum + bytes)).toBe(65_535);
    const before = client.frames.length;
    client.windowUpdate(0, 16_384 * 6);
    await settle(client, "more");
    const order = client.frames.slice(before).filter(({ type }) => type === FRAME.DATA);
    expect(order.map(({ streamId }) => streamId)).toEqual([1, 3, 5, 1, 3, 5]);
    client.windowUpdate(0, 1_000_000);
    for (const id of [1, 3, 5]) await client.next(FRAME.DATA, id, ({ flags }) => flags === FLAG.END_STREAM);
    expect(sent()).toEqual([LENGTH, LENGTH, LENGTH]);
  });

  test("has a head and an end in a window of no bytes", async () => {
    await using served = await Http2Served.start(({ session }) => {
      session.writeHeader(ResponseHeader.build(200), false);
      session.finish();
    });
    const client = await served.frames({ settings: [[4, 0]] });
    const { flags } = await client.get(1).next(FRAME.HEADERS, 1);
    expect(flags & FLAG.END_STREAM).toBe(FLAG.END_STREAM);
  });
});

describe("a request body", () => {
  const open = (client: Http2FrameClient, id: number): unknown =>
    client.headers(id, requestFields("POST"), FLAG.END_HEADERS);

  test("that is taken opens both windows by as much", async () => {
    await using served = await Http2Served.start(undefined, {
      streamWindowBytes: 65_535,
      connectionWindowBytes: 65_535,
    });
    const client = await served.frames();
    open(client, 1);
    for (let sent = 0; sent < 320_000; sent += 16_000) {
      client.data(1, Buffer.alloc(16_000), sent + 16_000 === 320_000);
      // A client that waits for its window.
      if (sent % 48_000 === 32_000) await client.next(FRAME.WINDOW_UPDATE, 1, () => updated(client, 1) + 65_535 > sent);
    }
    expect(await client.status(1)).toBe(200);
    await settle(client, "end");
    // All but what is left to collect before the next update.
    expect(updated(client, 0)).toBeGreaterThan(320_000 - 32_768);
    expect(updated(client, 0)).toBeLessThanOrEqual(320_000);
  });

  test("that nobody takes is given back to the connection when its stream ends", async () => {
    await using served = await Http2Served.start(() => new Promise<void>(() => undefined), {
      streamWindowBytes: 65_535,
      connectionWindowBytes: 65_535,
    });
    const client = await served.frames();
    for (let id = 1; id < 20; id += 2) {
      open(client, id);
      client.data(id, Buffer.alloc(16_000)).data(id, Buffer.alloc(16_000)).data(id, Buffer.alloc(1000));
      await settle(client, `before ${id}`.slice(0, 8));
      client.rstStream(id);
      await settle(client, `after ${id}`.slice(0, 8));
      expect(updated(client, 0)).toBe(33_000 * ((id + 1) / 2));
    }
    expect(served.logs).toEqual([]);
  });
});

test("a client that asks for answers and takes none is told so: what waits for it is bounded", async () => {
  await using served = await Http2Served.start(undefined, { maxControlFrames: Number.POSITIVE_INFINITY });
  const client = await served.frames();
  await settle(client, "begun");
  client.stream.pause();
  const many = Buffer.concat(
    Array.from({ length: 5000 }, () => Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, ...Buffer.alloc(8)])),
  );
  for (let round = 0; round < 2000 && served.logs.length === 0; round++) {
    if (!client.stream.write(many)) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(served.logs).toMatchObject([{ reason: "it asks for answers, and takes none" }]);
  client.stream.resume();
  await client.closed;
  expect(
    client.frames.some(({ type, payload }) => type === FRAME.GOAWAY && payload.readUInt32BE(4) !== ENHANCE_YOUR_CALM),
  ).toBe(false);
}, 30_000);

/** By how much WINDOW_UPDATE has opened a window, but for the first of the connection's. */
function updated(client: Http2FrameClient, streamId: number): number {
  return client.frames
    .filter((frame) => frame.type === FRAME.WINDOW_UPDATE && frame.streamId === streamId)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
}
