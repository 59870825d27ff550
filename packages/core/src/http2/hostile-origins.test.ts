// What RFC 9113 asks a client to look at, and floods: origins that send what they may not, or too much of what they may.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  frame,
  GOAWAY,
  HEADERS,
  numbers,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  settingsFrame,
  WINDOW_UPDATE,
} from "../../test/http2-frames.ts";
import { after, ask, h2c, type Asked, type Exchange } from "../../test/http2-upstream-harness.ts";
import { data, FrameOrigin, goaway, grant, head, ok, reset, type FrameConnection } from "../../test/http2-origin.ts";
import { configureLogs } from "../log/logger.ts";
import { HttpConnector } from "../upstreams/http-connector.ts";
import {
  CANCEL,
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  http2CodeName,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from "./error-codes.ts";

/** Sends something as the answer to the request on `stream`. */
type Send = (connection: FrameConnection, stream: number) => unknown;
type Case = [section: string, what: string, send: Send, code: number, said: string, asked?: Asked];

interface LogLine {
  readonly msg: string;
  readonly peer?: string;
  readonly code?: string;
  readonly what?: string;
}

const OK = { ":status": "200" };
const MAX_WINDOW = 2 ** 31 - 1;
const HEAD: Asked = { method: "HEAD" };

let connector: HttpConnector;
let logged: LogLine[];

beforeEach(() => {
  logged = [];
  configureLogs({ levels: "warn", destination: { write: (line) => logged.push(JSON.parse(line) as LogLine) } });
  connector = new HttpConnector();
});
afterEach(() => connector.close());

const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => one));
const setting = (id: number, value: number): Buffer => settingsFrame({ [id]: value });
/** A head that is not complete. */
const begun = (stream: number, fields: Readonly<Record<string, string>> = OK): Buffer =>
  frame(HEADERS, 0, stream, fieldBlock(Object.entries(fields)));

/** The connection ends: GOAWAY with the code, an error that names the cause, a line in the log. */
const CONNECTION_CASES: readonly Case[] = [
  [
    "4.2",
    "a frame above our largest",
    (c) => c.send(frame(PING, 0, 0, Buffer.alloc(65_537))),
    FRAME_SIZE_ERROR,
    "65537",
  ],
  [
    "4.3",
    "a head that cannot be decoded",
    (c, s) => c.send(frame(HEADERS, END_HEADERS, s, Buffer.from([0x80]))),
    COMPRESSION_ERROR,
    "index 0",
  ],
  [
    "4.3",
    "a head with a table above our limit",
    (c, s) => c.send(frame(HEADERS, END_HEADERS, s, Buffer.from("3fe2ff03", "hex"))),
    COMPRESSION_ERROR,
    "where we allow 4096",
  ],
  ["5.1", "HEADERS behind its own reset", (c, s) => c.send(reset(s, CANCEL), head(s, OK)), STREAM_CLOSED, ""],
  [
    "5.1",
    "HEADERS on a stream that we did not open",
    (c, s) => c.send(head(s + 2, OK)),
    PROTOCOL_ERROR,
    "never opened",
  ],
  ["5.1", "HEADERS on an even stream", (c) => c.send(head(2, OK)), PROTOCOL_ERROR, "never opened"],
  ["5.1", "DATA on a stream that we did not open", (c, s) => c.send(data(s + 2, "x")), PROTOCOL_ERROR, "never opened"],
  [
    "5.1",
    "RST_STREAM on a stream that we did not open",
    (c, s) => c.send(reset(s + 2, CANCEL)),
    PROTOCOL_ERROR,
    "never opened",
  ],
  [
    "5.1",
    "WINDOW_UPDATE on a stream that we did not open",
    (c, s) => c.send(grant(s + 2, 1)),
    PROTOCOL_ERROR,
    "never opened",
  ],
  ["5.1", "HEADERS on stream 0", (c) => c.send(head(0, OK)), PROTOCOL_ERROR, "HEADERS on stream 0"],
  ["5.1", "DATA on stream 0", (c) => c.send(data(0, "x")), PROTOCOL_ERROR, "DATA on stream 0"],
  [
    "6.1",
    "DATA with more padding than payload",
    (c, s) => c.send(head(s, OK), frame(DATA, 8, s, Buffer.from([9, 1]))),
    PROTOCOL_ERROR,
    "padding",
  ],
  [
    "6.2",
    "HEADERS with more padding than payload",
    (c, s) => c.send(frame(HEADERS, END_HEADERS | 8, s, Buffer.from([9, 1]))),
    PROTOCOL_ERROR,
    "padding",
  ],
  [
    "6.2",
    "another frame within a head",
    (c, s) => c.send(begun(s), frame(PING, 0, 0, Buffer.alloc(8))),
    PROTOCOL_ERROR,
    "within a field block",
  ],
  [
    "6.4",
    "RST_STREAM of three bytes",
    (c, s) => c.send(frame(RST_STREAM, 0, s, Buffer.alloc(3))),
    FRAME_SIZE_ERROR,
    "RST_STREAM of 3 bytes",
  ],
  ["6.5", "SETTINGS on a stream", (c, s) => c.send(frame(SETTINGS, 0, s)), PROTOCOL_ERROR, "SETTINGS on a stream"],
  [
    "6.5",
    "SETTINGS of five bytes",
    (c) => c.send(frame(SETTINGS, 0, 0, Buffer.alloc(5))),
    FRAME_SIZE_ERROR,
    "SETTINGS of 5 bytes",
  ],
  [
    "6.5",
    "an acknowledgement with content",
    (c) => c.send(frame(SETTINGS, ACK, 0, Buffer.alloc(6))),
    FRAME_SIZE_ERROR,
    "acknowledgement",
  ],
  ["6.5.2", "ENABLE_PUSH by a server", (c) => c.send(setting(2, 1)), PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH of 1"],
  [
    "6.5.2",
    "a window beyond the largest",
    (c) => c.send(setting(4, 2 ** 31)),
    FLOW_CONTROL_ERROR,
    "SETTINGS_INITIAL_WINDOW_SIZE",
  ],
  [
    "6.5.2",
    "a frame size below the least",
    (c) => c.send(setting(5, 16_383)),
    PROTOCOL_ERROR,
    "SETTINGS_MAX_FRAME_SIZE of 16383",
  ],
  [
    "8441 3",
    "ENABLE_CONNECT_PROTOCOL of 2",
    (c) => c.send(setting(8, 2)),
    PROTOCOL_ERROR,
    "ENABLE_CONNECT_PROTOCOL of 2",
  ],
  [
    "8441 3",
    "ENABLE_CONNECT_PROTOCOL taken back",
    (c) => c.send(setting(8, 1), setting(8, 0)),
    PROTOCOL_ERROR,
    "ENABLE_CONNECT_PROTOCOL of 0",
  ],
  [
    "6.7",
    "PING of seven bytes",
    (c) => c.send(frame(PING, 0, 0, Buffer.alloc(7))),
    FRAME_SIZE_ERROR,
    "PING of 7 bytes",
  ],
  ["6.7", "PING on a stream", (c, s) => c.send(frame(PING, 0, s, Buffer.alloc(8))), PROTOCOL_ERROR, "PING on a stream"],
  [
    "6.8",
    "GOAWAY of seven bytes",
    (c) => c.send(frame(GOAWAY, 0, 0, Buffer.alloc(7))),
    FRAME_SIZE_ERROR,
    "GOAWAY of 7 bytes",
  ],
  [
    "6.8",
    "GOAWAY that takes back an earlier one",
    (c, s) => c.send(goaway(s), goaway(s + 2)),
    PROTOCOL_ERROR,
    "takes back",
  ],
  ["6.9", "WINDOW_UPDATE by 0 for the connection", (c) => c.send(grant(0, 0)), PROTOCOL_ERROR, "WINDOW_UPDATE by 0"],
  [
    "6.9",
    "WINDOW_UPDATE of five bytes",
    (c) => c.send(frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(5))),
    FRAME_SIZE_ERROR,
    "WINDOW_UPDATE of 5 bytes",
  ],
  [
    "6.9.1",
    "a window for the connection beyond the largest",
    (c) => c.send(grant(0, MAX_WINDOW)),
    FLOW_CONTROL_ERROR,
    "beyond the largest window",
  ],
  [
    "6.9.2",
    "settings by which a stream's window is too large",
    (c, s) => c.send(grant(s, MAX_WINDOW - 65_535), setting(4, 65_536)),
    FLOW_CONTROL_ERROR,
    "beyond the largest window",
  ],
  [
    "6.10",
    "CONTINUATION without HEADERS",
    (c, s) => c.send(frame(CONTINUATION, END_HEADERS, s)),
    PROTOCOL_ERROR,
    "CONTINUATION without HEADERS",
  ],
  [
    "8.4",
    "PUSH_PROMISE",
    (c, s) => c.send(frame(PUSH_PROMISE, END_HEADERS, s, Buffer.concat([numbers(2), fieldBlock([])]))),
    PROTOCOL_ERROR,
    "PUSH_PROMISE",
  ],
  // Floods.
  [
    "10.5",
    "PING without end",
    (c) => c.send(many(5000, frame(PING, 0, 0, Buffer.alloc(8)))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "answers to PING that nobody sent",
    (c) => c.send(many(5000, frame(PING, ACK, 0, Buffer.alloc(8)))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "SETTINGS without end",
    (c) => c.send(many(5000, setting(4, 65_535))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "PRIORITY without end",
    (c, s) => c.send(many(5000, frame(PRIORITY, 0, s, Buffer.alloc(5)))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "frames of an unknown type without end",
    (c) => c.send(many(5000, frame(0x16, 0, 0, Buffer.alloc(9)))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "WINDOW_UPDATE without end",
    (c, s) => c.send(many(5000, grant(s, 1))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "empty DATA without end",
    (c, s) => c.send(head(s, OK), many(5000, data(s, ""))),
    ENHANCE_YOUR_CALM,
    "frames without content",
  ],
  [
    "10.5",
    "RST_STREAM without end",
    (c, s) => c.send(head(s, OK), many(5000, reset(s, CANCEL))),
    ENHANCE_YOUR_CALM,
    "",
  ],
  ["10.5", "GOAWAY without end", (c, s) => c.send(many(5000, goaway(s))), ENHANCE_YOUR_CALM, "frames without content"],
  [
    "10.5",
    "empty CONTINUATION without end",
    (c, s) => c.send(begun(s), many(5000, frame(CONTINUATION, 0, s))),
    ENHANCE_YOUR_CALM,
    "CONTINUATION frames",
  ],
  [
    "10.5",
    "a head without end",
    (c, s) => c.send(begun(s), many(100, frame(CONTINUATION, 0, s, Buffer.alloc(16_384, "x")))),
    ENHANCE_YOUR_CALM,
    "a head of more than",
  ],
];

/** The stream ends by RST_STREAM with the code, and its exchange with an error that names the cause; the connection goes on. */
const STREAM_CASES: readonly Case[] = [
  ["5.1", "DATA before the head", (c, s) => c.send(data(s, "x")), PROTOCOL_ERROR, "DATA before the head"],
  ["6.9", "WINDOW_UPDATE by 0", (c, s) => c.send(grant(s, 0)), PROTOCOL_ERROR, "WINDOW_UPDATE by 0"],
  [
    "6.9.1",
    "a window beyond the largest",
    (c, s) => c.send(grant(s, MAX_WINDOW)),
    FLOW_CONTROL_ERROR,
    "beyond the largest window",
  ],
  [
    "8.1",
    "trailers that end nothing",
    (c, s) => c.send(head(s, OK), head(s, { a: "b" })),
    PROTOCOL_ERROR,
    "trailers that do not end",
  ],
  [
    "8.1",
    "a pseudo-header field in trailers",
    (c, s) => c.send(head(s, OK), head(s, OK, true)),
    PROTOCOL_ERROR,
    ":status in trailers",
  ],
  [
    "8.1",
    "an interim response behind the final one",
    (c, s) => c.send(head(s, OK), head(s, { ":status": "103" })),
    PROTOCOL_ERROR,
    ":status in trailers",
  ],
  [
    "8.2.2",
    "Connection in trailers",
    (c, s) => c.send(head(s, OK), head(s, { connection: "x" }, true)),
    PROTOCOL_ERROR,
    "the field connection",
  ],
  [
    "8.1.1",
    "a body in the response to HEAD",
    (c, s) => c.send(head(s, { ...OK, "content-length": "1" }), data(s, "x", true)),
    PROTOCOL_ERROR,
    "a body",
    HEAD,
  ],
  [
    "8.1.1",
    "a body with 204",
    (c, s) => c.send(head(s, { ":status": "204" }), data(s, "x", true)),
    PROTOCOL_ERROR,
    "a body",
  ],
  [
    "8.1.1",
    "a body with 304",
    (c, s) => c.send(head(s, { ":status": "304", "content-length": "1" }), data(s, "x", true)),
    PROTOCOL_ERROR,
    "a body",
  ],
  [
    "8.1.1",
    "more body than Content-Length",
    (c, s) => c.send(head(s, { ...OK, "content-length": "1" }), data(s, "xy", true)),
    PROTOCOL_ERROR,
    "more than the 1 bytes",
  ],
  [
    "8.1.1",
    "less body than Content-Length",
    (c, s) => c.send(head(s, { ...OK, "content-length": "3" }), data(s, "xy", true)),
    PROTOCOL_ERROR,
    "of 3 that its Content-Length",
  ],
  [
    "8.1.1",
    "a length in an interim response",
    (c, s) => c.send(head(s, { ":status": "103", "content-length": "0" })),
    PROTOCOL_ERROR,
    "interim response",
  ],
  [
    "8.1.1",
    "two lengths",
    (c, s) =>
      c.send(
        frame(
          HEADERS,
          END_HEADERS,
          s,
          fieldBlock([
            [":status", "200"],
            ["content-length", "1"],
            ["content-length", "1"],
          ]),
        ),
      ),
    PROTOCOL_ERROR,
    "Content-Length twice",
  ],
  [
    "8.5",
    "HEADERS in a tunnel",
    (c, s) => c.send(head(s, OK), head(s, { a: "b" }, true)),
    PROTOCOL_ERROR,
    "HEADERS in a tunnel",
    { method: "CONNECT", target: "a.test:443" },
  ],
];

/** The first connection to an origin is answered by `send`, later ones, and later requests on it, as they should be. */
async function origin(send: Send): Promise<FrameOrigin> {
  return await FrameOrigin.start(async (connection, index) => {
    for (let asked = 0; ; asked++) {
      const stream = await connection.request().catch(() => 0);
      if (stream === 0) return;
      if (index === 0 && asked === 0) await send(connection, stream);
      else connection.send(ok(stream, "fine"));
    }
  });
}

async function over(exchange: Exchange): Promise<Exchange> {
  const seen = await exchange.over;
  if (seen.ended) exchange.session.release();
  return seen;
}

describe("an origin that breaks a rule ends its connection", () => {
  test.each(CONNECTION_CASES)("section %s: %s", async (_section, _what, send, code, said, asked) => {
    await using hostile = await origin(send);
    await using good = await FrameOrigin.start(async (connection) => {
      connection.send(ok(await connection.request(), "unharmed"));
    });
    const peer = h2c(hostile, { readMs: 5000 });
    const session = await connector.connect(peer);
    const beside = await connector.connect(h2c(good));
    const { ended, error } = await over(ask(session, asked));
    expect(ended).toBe(false);
    expect(error!.source).toBe("upstream");
    if (said !== "" && code !== ENHANCE_YOUR_CALM) expect(error).toMatchObject({ type: "InvalidH2", retry: false });
    if (said !== "") expect(error!.message).toContain(said);
    // It is told why, and the line in the log names it.
    const connection = hostile.connections[0]!;
    const { payload } = await connection.find(({ type }) => type === GOAWAY);
    expect(http2CodeName(payload.readUInt32BE(4))).toBe(http2CodeName(code));
    expect(payload.toString("latin1", 8)).toContain(said);
    await connection.whenClosed();
    expect(logged).toContainEqual(
      expect.objectContaining({
        peer: hostile.address,
        code: http2CodeName(code),
        what: expect.stringContaining(said) as string,
      }),
    );
    // Others are not disturbed, nor are later requests to the same origin.
    expect((await over(ask(beside))).body).toBe("unharmed");
    const next = await over(ask(await connector.connect(peer)));
    expect([next.body, hostile.connections.length]).toEqual(["fine", 2]);
    expect(hostile.failures).toEqual([]);
  });
});

describe("an origin that breaks a rule on one stream ends that alone", () => {
  test.each(STREAM_CASES)("section %s: %s", async (_section, _what, send, code, said, asked) => {
    const release = Promise.withResolvers<void>();
    await using hostile = await FrameOrigin.start(async (connection) => {
      const streams = [await connection.request(), await connection.request()];
      await send(connection, streams[0]!);
      await release.promise;
      connection.send(ok(streams[1]!, "unharmed"));
    });
    const peer = h2c(hostile, { h2StreamWindowBytes: 65_535, readMs: 5000 });
    const exchange = ask(await connector.connect(peer), asked);
    const beside = ask(connector.reuse(peer)!);
    const { ended, error } = await over(exchange);
    expect(ended).toBe(false);
    expect(error).toMatchObject({ type: "InvalidH2", source: "upstream", retry: false });
    expect(error!.message).toContain(said);
    const connection = hostile.connections[0]!;
    const { streamId, payload } = await connection.find(({ type }) => type === RST_STREAM);
    expect([streamId, http2CodeName(payload.readUInt32BE())]).toEqual([1, http2CodeName(code)]);
    release.resolve();
    expect((await over(beside)).body).toBe("unharmed");
    expect(hostile.failures).toEqual([]);
  });
});

test("section 6.9.1: more DATA than the window of a stream that nobody reads ends that stream", async () => {
  await using hostile = await origin((connection, stream) =>
    connection.send(head(stream, OK), many(5, data(stream, Buffer.alloc(16_000)))),
  );
  const peer = h2c(hostile, { h2StreamWindowBytes: 65_535 });
  const exchange = ask(await connector.connect(peer));
  after(exchange, "onResponseHeader", () => exchange.session.pause());
  const { error } = await over(exchange);
  expect(error).toMatchObject({ type: "InvalidH2", retry: false, detail: "response-body" });
  expect(error!.message).toContain("more DATA than the stream's window allows");
  const { payload } = await hostile.connections[0]!.find(({ type }) => type === RST_STREAM);
  expect(http2CodeName(payload.readUInt32BE())).toBe(http2CodeName(FLOW_CONTROL_ERROR));
  expect((await over(ask(await connector.connect(peer)))).body).toBe("fine");
});

test("section 6.9.1: more DATA than the connection's window allows ends the connection", async () => {
  // Larger than the window, the frame cannot have been waited for.
  await using hostile = await origin((connection, stream) =>
    connection.send(head(stream, OK), data(stream, Buffer.alloc(65_536))),
  );
  const peer = h2c(hostile, { h2StreamWindowBytes: 100_000, h2ConnectionWindowBytes: 65_535 });
  const { error } = await over(ask(await connector.connect(peer)));
  expect(error).toMatchObject({ type: "InvalidH2", retry: false, detail: "response-body" });
  expect(error!.message).toContain("more DATA than the connection's window allows");
  expect((await over(ask(await connector.connect(peer)))).body).toBe("fine");
});

test("a head that its table makes large costs no memory, and ends its exchange alone", async () => {
  await using hostile = await origin((connection, stream) => {
    const large = Buffer.concat([Buffer.from("4001617f9d1e", "hex"), Buffer.alloc(4000, "x")]);
    // 16,000 times the same field of 4000 bytes.
    connection.send(
      frame(
        HEADERS,
        END_HEADERS,
        stream,
        Buffer.concat([fieldBlock([[":status", "200"]]), large, Buffer.alloc(16_000, 0xbe)]),
      ),
    );
  });
  const peer = h2c(hostile);
  const before = process.memoryUsage().rss;
  const { error } = await over(ask(await connector.connect(peer)));
  expect(error).toMatchObject({ type: "InvalidHTTPHeader", detail: "too-large", retry: false });
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
  expect((await over(ask(connector.reuse(peer)!))).body).toBe("fine");
});

test("an origin that goes on sending on a stream that was given up ends its connection when that stream's window is used up", async () => {
  await using hostile = await FrameOrigin.start(async (connection) => {
    const stream = await connection.request();
    connection.send(head(stream, OK));
    await connection.next(RST_STREAM);
    connection.send(many(4, data(stream, Buffer.alloc(16_000))));
    // That was on its way; this is not.
    await connection.request();
    connection.send(many(4, data(stream, Buffer.alloc(16_000))));
  });
  const peer = h2c(hostile, { h2StreamWindowBytes: 65_535 });
  const exchange = ask(await connector.connect(peer));
  await exchange.begun;
  exchange.session.destroy();
  const { error } = await over(ask(connector.reuse(peer)!));
  expect(error).toMatchObject({ type: "InvalidH2", retry: false });
  expect(error!.message).toContain("streams that are closed");
  expect(hostile.failures).toEqual([]);
});

test("an origin that asks for answers and takes none ends its connection before they fill the memory", async () => {
  await using hostile = await FrameOrigin.start(async (connection) => {
    const stream = await connection.request();
    connection.socket.pause();
    connection.send(head(stream, OK));
    // Content allows frames without content: as many as it likes, were it not for the answers.
    const round = Buffer.concat([data(stream, "x"), many(4, frame(PING, 0, 0, Buffer.alloc(8)))]);
    while (!connection.socket.destroyed && connection.socket.writable) {
      if (connection.socket.write(many(1000, round))) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise((resolve) => connection.socket.once("drain", resolve).once("close", resolve));
    }
  });
  const { error } = await over(ask(await connector.connect(h2c(hostile))));
  expect(error).toMatchObject({ type: "H2Error", source: "upstream", retry: false });
  expect(error!.message).toContain("takes none");
});

test("an origin that answers many streams late that were given up is no enemy", async () => {
  await using slow = await FrameOrigin.start(async (connection) => {
    const streams: number[] = [];
    while (streams.length < 400) streams.push(await connection.request());
    for (const _ of streams) await connection.next(RST_STREAM);
    connection.send(...streams.map((stream) => ok(stream)));
    connection.send(ok(await connection.request(), "fine"));
  });
  const peer = h2c(slow, { maxH2Streams: 1000 });
  const all = [ask(await connector.connect(peer))];
  while (all.length < 400) all.push(ask(connector.reuse(peer)!));
  // The heads leave first.
  await (await slow.connection()).find(({ streamId }) => streamId === 799);
  for (const { session } of all) session.destroy();
  expect((await over(ask(connector.reuse(peer)!))).body).toBe("fine");
  expect(slow.connections).toHaveLength(1);
});

test("an origin that lowers its limit to nothing gets no new streams, and those that are open go on", async () => {
  const lowered = Promise.withResolvers<void>();
  await using low = await FrameOrigin.start(async (connection, index) => {
    const stream = await connection.request();
    if (index === 0) {
      connection.send(setting(3, 0), frame(PING, 0, 0, Buffer.alloc(8)));
      await connection.find(({ type, flags }) => type === PING && flags === ACK);
      lowered.resolve();
    }
    connection.send(ok(stream, `connection ${index}`));
  });
  const peer = h2c(low);
  const first = ask(await connector.connect(peer));
  await lowered.promise;
  expect(connector.reuse(peer)).toBeUndefined();
  expect((await over(ask(await connector.connect(peer)))).body).toBe("connection 1");
  expect((await over(first)).body).toBe("connection 0");
});

// A closed stream's frames have their own rule; here it is shown that END_STREAM twice is an error of that stream alone.
test("DATA behind the end does not take back a response that was whole", async () => {
  await using late = await origin((connection, stream) =>
    connection.send(ok(stream, "whole"), frame(DATA, END_STREAM, stream, Buffer.from("more"))),
  );
  const peer = h2c(late);
  const { body, error } = await over(ask(await connector.connect(peer)));
  expect([body, error]).toEqual(["whole", undefined]);
  const { payload } = await late.connections[0]!.find(({ type }) => type === RST_STREAM);
  expect(http2CodeName(payload.readUInt32BE())).toBe(http2CodeName(STREAM_CLOSED));
  expect((await over(ask(connector.reuse(peer)!))).body).toBe("fine");
});
