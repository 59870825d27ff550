// What RFC 9113 asks a server to look at, section by section: frames that a client may not send, and what becomes of them.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answer, type Handler } from "../../test/harness.ts";
import { Http2Served } from "../../test/http2-harness.ts";
import { encodeHeaderBlock, FLAG, FRAME, frameBytes, requestFields, type Http2FrameClient } from "../testing/index.ts";
import {
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  http2CodeName,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from "./error-codes.ts";

type Client = Http2FrameClient;
type Fields = readonly (readonly [name: string, value: string])[];
/** A connection error, a stream error on stream 1, an answer on stream 1, or nothing: the connection serves on. */
type Outcome = ["connection", ...codes: number[]] | ["stream", ...codes: number[]] | ["status", number] | ["alive"];
type Case = [section: string, what: string, send: (client: Client) => unknown, outcome: Outcome];

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION } =
  FRAME;
const { END_HEADERS, END_STREAM, PADDED, ACK } = FLAG;
const ALL = END_HEADERS | END_STREAM;
const PRIORITY_FLAG = 32;
const MAX_WINDOW = 2 ** 31 - 1;

/** `/hold` is never answered, so that its stream stays open on our side. */
const handler: Handler = (seen) =>
  seen.session.request.target === "/hold" ? new Promise<void>(() => undefined) : answer(seen);

const GET = requestFields("GET");
const POST = requestFields("POST");
const block = (fields: Fields): Buffer => encodeHeaderBlock(fields);
const get = (more: Fields = []): Fields => [...GET, ...more];
const without = (name: string, fields: Fields = GET): Fields => fields.filter(([given]) => given !== name);
const instead = (name: string, value: string): Fields =>
  GET.map((field) => (field[0] === name ? [name, value] : field));
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const setting =
  (id: number, value: number) =>
  (client: Client): unknown =>
    client.settings([[id, value]]);
const request =
  (fields: Fields) =>
  (client: Client): unknown =>
    client.headers(1, fields);
/** A stream that is open: its request's body is to come. */
const open = (client: Client): Client => client.headers(1, POST, END_HEADERS);
/** A stream whose request is complete, and whose answer is not there. */
const halfClosed = (client: Client): Client => client.get(1, "/hold");
const isAnswered = async (client: Client, id: number): Promise<Client> => {
  await client.next(DATA, id, ({ flags }) => flags === END_STREAM).catch(() => undefined);
  return client;
};
/** A stream that was answered whole: closed on both sides. */
const closed = async (client: Client): Promise<Client> => {
  client.headers(1, POST, END_HEADERS).data(1, "abc", true);
  return await isAnswered(client, 1);
};
/** A stream that its client has reset. */
const wasReset = (client: Client): Client => halfClosed(client).rstStream(1);
const padded = (padding: number, content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([padding]), content, Buffer.alloc(Math.min(padding, 255))]);

const CASES: readonly Case[] = [
  // Frames
  ["4.1", "a frame of an unknown type", (c) => c.send(0x16, 0, 0, Buffer.alloc(8)), ["alive"]],
  ["4.1", "a frame of an unknown type on a stream", (c) => c.send(0xff, 0xff, 3, Buffer.alloc(8)), ["alive"]],
  ["4.1", "flags that mean nothing", (c) => c.send(PING, 0x16, 0, Buffer.alloc(8)), ["alive"]],
  ["4.1", "the reserved bit of a stream's number", (c) => c.sendBytes(reservedBit()), ["status", 200]],
  ["4.2", "DATA of the largest size", (c) => open(c).data(1, Buffer.alloc(16_384), true), ["status", 200]],
  ["4.2", "DATA above it", (c) => open(c).data(1, Buffer.alloc(16_385)), ["connection", FRAME_SIZE_ERROR]],
  ["4.2", "HEADERS above it", (c) => c.send(HEADERS, ALL, 1, Buffer.alloc(16_385)), ["connection", FRAME_SIZE_ERROR]],
  [
    "4.2",
    "an unknown frame above it",
    (c) => c.send(0x16, 0, 0, Buffer.alloc(16_385)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  [
    "4.3",
    "a field block that cannot be decoded",
    (c) => c.send(HEADERS, ALL, 1, Buffer.from([0x80])),
    ["connection", COMPRESSION_ERROR],
  ],
  [
    "4.3",
    "a field block that is cut off",
    (c) => c.send(HEADERS, ALL, 1, Buffer.from([0x00, 0x05, 0x61])),
    ["connection", COMPRESSION_ERROR],
  ],
  [
    "4.3",
    "a table that is larger than allowed",
    (c) => c.send(HEADERS, ALL, 1, Buffer.concat([Buffer.from([0x3f, 0xff, 0xff, 0x03]), block(GET)])),
    ["connection", COMPRESSION_ERROR],
  ],
  [
    "4.3",
    "PRIORITY within a field block",
    (c) => c.headers(1, GET, END_STREAM).send(PRIORITY, 0, 1, Buffer.alloc(5)),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "4.3",
    "HEADERS of another stream within a field block",
    (c) => c.headers(1, GET, END_STREAM).get(3),
    ["connection", PROTOCOL_ERROR],
  ],
  ["4.3", "DATA within a field block", (c) => c.headers(1, POST, 0).data(1, "a"), ["connection", PROTOCOL_ERROR]],
  [
    "4.3",
    "an unknown frame within a field block",
    (c) => c.headers(1, GET, END_STREAM).send(0x16, 0, 0),
    ["connection", PROTOCOL_ERROR],
  ],
  ["4.3", "PING within a field block", (c) => c.headers(1, GET, END_STREAM).ping(), ["connection", PROTOCOL_ERROR]],
  // States of streams
  ["5.1", "DATA on an idle stream", (c) => c.data(1, "a"), ["connection", PROTOCOL_ERROR]],
  ["5.1", "DATA on an idle stream of ours", (c) => c.data(2, "a"), ["connection", PROTOCOL_ERROR]],
  ["5.1", "RST_STREAM on an idle stream", (c) => c.rstStream(1), ["connection", PROTOCOL_ERROR]],
  ["5.1", "WINDOW_UPDATE on an idle stream", (c) => c.windowUpdate(1, 100), ["connection", PROTOCOL_ERROR]],
  [
    "5.1",
    "CONTINUATION on an idle stream",
    (c) => c.send(CONTINUATION, END_HEADERS, 1, block(GET)),
    ["connection", PROTOCOL_ERROR],
  ],
  ["5.1", "PRIORITY on an idle stream", (c) => c.send(PRIORITY, 0, 1, Buffer.alloc(5)), ["alive"]],
  ["5.1", "DATA behind END_STREAM", (c) => halfClosed(c).data(1, "a"), ["stream", STREAM_CLOSED]],
  ["5.1", "HEADERS behind END_STREAM", (c) => halfClosed(c).get(1), ["stream", STREAM_CLOSED]],
  [
    "5.1",
    "CONTINUATION behind END_STREAM",
    (c) => halfClosed(c).send(CONTINUATION, END_HEADERS, 1, block(GET)),
    ["connection", PROTOCOL_ERROR],
  ],
  ["5.1", "WINDOW_UPDATE behind END_STREAM", (c) => halfClosed(c).windowUpdate(1, 1), ["alive"]],
  ["5.1", "PRIORITY behind END_STREAM", (c) => halfClosed(c).send(PRIORITY, 0, 1, Buffer.alloc(5)), ["alive"]],
  ["5.1", "DATA on a closed stream", async (c) => (await closed(c)).data(1, "a"), ["stream", STREAM_CLOSED]],
  ["5.1", "HEADERS on a closed stream", async (c) => (await closed(c)).get(1), ["connection", STREAM_CLOSED]],
  ["5.1", "WINDOW_UPDATE on a closed stream", async (c) => (await closed(c)).windowUpdate(1, 1), ["alive"]],
  ["5.1", "RST_STREAM on a closed stream", async (c) => (await closed(c)).rstStream(1), ["alive"]],
  [
    "5.1",
    "PRIORITY on a closed stream",
    async (c) => (await closed(c)).send(PRIORITY, 0, 1, Buffer.alloc(5)),
    ["alive"],
  ],
  ["5.1", "DATA behind RST_STREAM", (c) => wasReset(c).data(1, "a"), ["stream", STREAM_CLOSED]],
  ["5.1", "HEADERS behind RST_STREAM", (c) => wasReset(c).get(1), ["connection", STREAM_CLOSED]],
  ["5.1", "RST_STREAM twice", (c) => wasReset(c).rstStream(1), ["alive"]],
  ["5.1", "WINDOW_UPDATE behind RST_STREAM", (c) => wasReset(c).windowUpdate(1, 1), ["alive"]],
  [
    "5.1",
    "frames on a stream that we have reset",
    async (c) => {
      c.headers(3, [[":method", "GET"]], END_HEADERS);
      await c.reset(3);
      c.data(3, "a")
        .headers(3, [["x", "y"]], ALL)
        .windowUpdate(3, 5);
    },
    ["alive"],
  ],
  ["5.1.1", "HEADERS on stream 0", (c) => c.get(0), ["connection", PROTOCOL_ERROR]],
  ["5.1.1", "HEADERS on an even stream", (c) => c.get(2), ["connection", PROTOCOL_ERROR]],
  [
    "5.1.1",
    "a stream below the last one",
    async (c) => (await isAnswered(c.headers(5, POST, END_HEADERS).data(5, "a", true), 5)).get(3),
    ["connection", PROTOCOL_ERROR],
  ],
  ["5.1.1", "streams with gaps between", (c) => c.get(1).get(9), ["status", 200]],
  // Padding and single frames
  ["6.1", "DATA on stream 0", (c) => c.data(0, "a"), ["connection", PROTOCOL_ERROR]],
  [
    "6.1",
    "padded DATA",
    (c) => open(c).send(DATA, END_STREAM | PADDED, 1, padded(10, Buffer.from("abc"))),
    ["status", 200],
  ],
  [
    "6.1",
    "DATA of padding alone",
    (c) => open(c).send(DATA, END_STREAM | PADDED, 1, padded(255, Buffer.alloc(0))),
    ["status", 200],
  ],
  [
    "6.1",
    "DATA with more padding than payload",
    (c) => open(c).send(DATA, PADDED, 1, Buffer.from([3, 0, 0])),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.1",
    "DATA with as much padding as payload",
    (c) => open(c).send(DATA, PADDED, 1, Buffer.from([3, 0, 0, 0, 0]).subarray(0, 3)),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.1",
    "padded DATA without the padding's length",
    (c) => open(c).send(DATA, PADDED, 1),
    ["connection", FRAME_SIZE_ERROR, PROTOCOL_ERROR],
  ],
  ["6.2", "padded HEADERS", (c) => c.send(HEADERS, ALL | PADDED, 1, padded(9, block(GET))), ["status", 200]],
  [
    "6.2",
    "HEADERS with PRIORITY",
    (c) => c.send(HEADERS, ALL | PRIORITY_FLAG, 1, Buffer.concat([Buffer.from([0, 0, 0, 0, 9]), block(GET)])),
    ["status", 200],
  ],
  [
    "6.2",
    "HEADERS with padding and PRIORITY",
    (c) =>
      c.send(
        HEADERS,
        ALL | PRIORITY_FLAG | PADDED,
        1,
        padded(4, Buffer.concat([Buffer.from([0, 0, 0, 0, 9]), block(GET)])),
      ),
    ["status", 200],
  ],
  [
    "6.2",
    "HEADERS with more padding than payload",
    (c) => c.send(HEADERS, ALL | PADDED, 1, Buffer.from([9, 0x82])),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.2",
    "padded HEADERS without the padding's length",
    (c) => c.send(HEADERS, ALL | PADDED, 1),
    ["connection", FRAME_SIZE_ERROR, PROTOCOL_ERROR],
  ],
  [
    "6.2",
    "HEADERS too short for its PRIORITY",
    (c) => c.send(HEADERS, ALL | PRIORITY_FLAG, 1, Buffer.alloc(4)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  ["6.2", "HEADERS with a field block of no bytes", (c) => c.send(HEADERS, ALL, 1), ["stream", PROTOCOL_ERROR]],
  ["6.3", "PRIORITY on stream 0", (c) => c.send(PRIORITY, 0, 0, Buffer.alloc(5)), ["connection", PROTOCOL_ERROR]],
  [
    "6.3",
    "PRIORITY of another size",
    (c) => halfClosed(c).send(PRIORITY, 0, 1, Buffer.alloc(4)),
    ["stream", FRAME_SIZE_ERROR],
  ],
  ["6.4", "RST_STREAM on stream 0", (c) => c.rstStream(0), ["connection", PROTOCOL_ERROR]],
  [
    "6.4",
    "RST_STREAM of another size",
    (c) => halfClosed(c).send(RST_STREAM, 0, 1, Buffer.alloc(3)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  ["6.4", "RST_STREAM with a code that nobody knows", (c) => halfClosed(c).rstStream(1, 0xfefefe), ["alive"]],
  ["6.5", "SETTINGS on a stream", (c) => c.send(SETTINGS, 0, 1), ["connection", PROTOCOL_ERROR]],
  [
    "6.5",
    "SETTINGS of a size that is no multiple of six",
    (c) => c.send(SETTINGS, 0, 0, Buffer.alloc(5)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  [
    "6.5",
    "an acknowledgement with a payload",
    (c) => c.send(SETTINGS, ACK, 0, Buffer.alloc(6)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  ["6.5", "an acknowledgement of nothing", (c) => c.send(SETTINGS, ACK, 0), ["alive"]],
  ["6.5.2", "ENABLE_PUSH of 2", setting(2, 2), ["connection", PROTOCOL_ERROR]],
  ["6.5.2", "INITIAL_WINDOW_SIZE beyond the largest", setting(4, 2 ** 31), ["connection", FLOW_CONTROL_ERROR]],
  ["6.5.2", "MAX_FRAME_SIZE below the least", setting(5, 16_383), ["connection", PROTOCOL_ERROR]],
  ["6.5.2", "MAX_FRAME_SIZE beyond the largest", setting(5, 2 ** 24), ["connection", PROTOCOL_ERROR]],
  ["6.5.2", "an unknown setting", setting(0xff, 1), ["alive"]],
  [
    "6.5.2",
    "the same setting twice, the last counts",
    (c) =>
      c
        .settings([
          [4, 1],
          [4, 65_535],
        ])
        .get(1),
    ["status", 200],
  ],
  ["6.5.2", "a table of no bytes", (c) => c.settings([[1, 0]]).get(1), ["alive"]],
  [
    "6.6",
    "PUSH_PROMISE",
    (c) => c.send(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([uint32(2), block(GET)])),
    ["connection", PROTOCOL_ERROR],
  ],
  ["6.7", "PING on a stream", (c) => c.send(PING, 0, 1, Buffer.alloc(8)), ["connection", PROTOCOL_ERROR]],
  ["6.7", "PING of another size", (c) => c.send(PING, 0, 0, Buffer.alloc(6)), ["connection", FRAME_SIZE_ERROR]],
  ["6.7", "an answer to no PING", (c) => c.send(PING, ACK, 0, Buffer.alloc(8)), ["alive"]],
  ["6.8", "GOAWAY on a stream", (c) => c.send(GOAWAY, 0, 1, Buffer.alloc(8)), ["connection", PROTOCOL_ERROR]],
  ["6.8", "GOAWAY of another size", (c) => c.send(GOAWAY, 0, 0, Buffer.alloc(7)), ["connection", FRAME_SIZE_ERROR]],
  [
    "6.8",
    "a GOAWAY that takes back an earlier one",
    (c) =>
      halfClosed(c)
        .send(GOAWAY, 0, 0, Buffer.alloc(8))
        .send(GOAWAY, 0, 0, Buffer.from([0, 0, 0, 4, 0, 0, 0, 0])),
    ["connection", PROTOCOL_ERROR],
  ],
  ["6.9", "WINDOW_UPDATE by 0 on the connection", (c) => c.windowUpdate(0, 0), ["connection", PROTOCOL_ERROR]],
  ["6.9", "WINDOW_UPDATE by 0 on a stream", (c) => halfClosed(c).windowUpdate(1, 0), ["stream", PROTOCOL_ERROR]],
  [
    "6.9",
    "WINDOW_UPDATE of another size",
    (c) => c.send(WINDOW_UPDATE, 0, 0, Buffer.alloc(3)),
    ["connection", FRAME_SIZE_ERROR],
  ],
  [
    "6.9.1",
    "a connection window beyond the largest",
    (c) => c.windowUpdate(0, MAX_WINDOW),
    ["connection", FLOW_CONTROL_ERROR],
  ],
  [
    "6.9.1",
    "a stream window beyond the largest",
    (c) => halfClosed(c).windowUpdate(1, MAX_WINDOW),
    ["stream", FLOW_CONTROL_ERROR],
  ],
  [
    "6.9.1",
    "the largest windows",
    (c) => c.windowUpdate(0, MAX_WINDOW - 65_535).settings([[4, MAX_WINDOW]]),
    ["alive"],
  ],
  [
    "6.9.1",
    "more DATA than the stream's window",
    (c) => {
      c.headers(1, requestFields("POST", "/hold"), END_HEADERS);
      for (let sent = 0; sent < 40_000; sent += 16_000) c.data(1, Buffer.alloc(16_000));
    },
    ["stream", FLOW_CONTROL_ERROR],
  ],
  [
    "6.9.1",
    "more DATA than the connection's window",
    (c) => {
      for (let id = 1; id <= 9; id += 2)
        c.headers(id, requestFields("POST", "/hold"), END_HEADERS).data(id, Buffer.alloc(16_000));
    },
    ["connection", FLOW_CONTROL_ERROR],
  ],
  [
    "6.9.1",
    "padding counts against the window",
    (c) => {
      c.headers(1, requestFields("POST", "/hold"), END_HEADERS);
      for (let sent = 0; sent < 40_000; sent += 16_000) c.send(DATA, PADDED, 1, padded(250, Buffer.alloc(15_749)));
    },
    ["stream", FLOW_CONTROL_ERROR],
  ],
  [
    "6.9.2",
    "a change that makes an open stream's window too large",
    (c) =>
      halfClosed(c)
        .windowUpdate(1, MAX_WINDOW - 65_535)
        .settings([[4, 65_536]]),
    ["connection", FLOW_CONTROL_ERROR],
  ],
  [
    "6.10",
    "CONTINUATION behind a whole block",
    (c) => halfClosed(c).send(CONTINUATION, END_HEADERS, 1, block(GET)),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.10",
    "CONTINUATION on stream 0",
    (c) => c.headers(1, GET, END_STREAM).send(CONTINUATION, END_HEADERS, 0),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.10",
    "CONTINUATION of another stream",
    (c) => c.headers(1, GET, END_STREAM).send(CONTINUATION, END_HEADERS, 3),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.10",
    "CONTINUATION without anything before",
    (c) => c.send(CONTINUATION, END_HEADERS, 1),
    ["connection", PROTOCOL_ERROR],
  ],
  [
    "6.10",
    "a block in many pieces",
    (c) => {
      const bytes = block(GET);
      c.send(HEADERS, END_STREAM, 1, bytes.subarray(0, 3));
      for (let at = 3; at < bytes.length; at += 10)
        c.send(CONTINUATION, at + 10 >= bytes.length ? END_HEADERS : 0, 1, bytes.subarray(at, at + 10));
    },
    ["status", 200],
  ],
  [
    "10.5.1",
    "a block of more than we say",
    (c) => {
      c.send(HEADERS, END_STREAM, 1, block(GET));
      for (let sent = 0; sent < 200_000; sent += 16_000) c.send(CONTINUATION, 0, 1, Buffer.alloc(16_000, 0x82));
    },
    ["connection", ENHANCE_YOUR_CALM],
  ],
  // Messages
  [
    "8.1",
    "trailers",
    (c) =>
      open(c)
        .data(1, "a")
        .headers(1, [["x-t", "1"]]),
    ["status", 200],
  ],
  ["8.1", "trailers alone", (c) => open(c).headers(1, [["x-t", "1"]]), ["status", 200]],
  [
    "8.1",
    "HEADERS in the middle without END_STREAM",
    (c) => open(c).headers(1, [["x-t", "1"]], END_HEADERS),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.1",
    "a pseudo-header field in trailers",
    (c) =>
      open(c)
        .data(1, "a")
        .headers(1, [[":path", "/"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  ["8.1", "a request within a request", (c) => open(c).headers(1, POST), ["stream", PROTOCOL_ERROR]],
  [
    "8.1.1",
    "a body shorter than its Content-Length",
    (c) => c.headers(1, [...POST, ["content-length", "5"]], END_HEADERS).data(1, "abc", true),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.1.1",
    "a body longer than its Content-Length",
    (c) => c.headers(1, [...POST, ["content-length", "2"]], END_HEADERS).data(1, "abc"),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.1.1",
    "a body in pieces longer than its Content-Length",
    (c) =>
      c
        .headers(1, [...POST, ["content-length", "2"]], END_HEADERS)
        .data(1, "ab")
        .data(1, "c", true),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.1.1",
    "trailers before all of the Content-Length",
    (c) =>
      c
        .headers(1, [...POST, ["content-length", "2"]], END_HEADERS)
        .data(1, "a")
        .headers(1, [["x-t", "1"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.1.1",
    "padding is no content",
    (c) =>
      c
        .headers(1, [...POST, ["content-length", "2"]], END_HEADERS)
        .send(DATA, END_STREAM | PADDED, 1, padded(9, Buffer.from("ab"))),
    ["status", 200],
  ],
  ["8.1.1", "a Content-Length without content", request(get([["content-length", "1"]])), ["stream", PROTOCOL_ERROR]],
  ["8.1.1", "a Content-Length that is none", request(get([["content-length", "1x"]])), ["stream", PROTOCOL_ERROR]],
  ["8.1.1", "a negative Content-Length", request(get([["content-length", "-1"]])), ["stream", PROTOCOL_ERROR]],
  ["8.1.1", "a Content-Length of 0 without content", request(get([["content-length", "0"]])), ["status", 200]],
  ["8.2", "a name in capitals", request(get([["X-Test", "a"]])), ["stream", PROTOCOL_ERROR]],
  [
    "8.2",
    "a name in capitals in trailers",
    (c) =>
      open(c)
        .data(1, "a")
        .headers(1, [["X-T", "1"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  ...["x y", "x\0y", "x\x7fy", "x\u00e9y", "x:y", "x(y", ""].map((name): Case => [
    "8.2.1",
    `the field name ${JSON.stringify(name)}`,
    request(get([[name, "a"]])),
    ["stream", PROTOCOL_ERROR],
  ]),
  ...["a\0", "a\rb", "a\nb", " a", "a ", "\ta", "a\t", "a\x01b", "a\x7f"].map((value): Case => [
    "8.2.1",
    `the field value ${JSON.stringify(value)}`,
    request(get([["x-test", value]])),
    ["stream", PROTOCOL_ERROR],
  ]),
  ["8.2.1", "a field value of no bytes", request(get([["x-test", ""]])), ["status", 200]],
  [
    "8.2.1",
    "bytes above 0x7F, space and tab within a field value",
    request(get([["x-test", "caf\u00e9 a\tb"]])),
    ["status", 200],
  ],
  [
    "8.2.1",
    "a line break in a trailer",
    (c) =>
      open(c)
        .data(1, "a")
        .headers(1, [["x-t", "a\r\nb: c"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  ...(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] as const).map((name): Case => [
    "8.2.2",
    `the field ${name}`,
    request(get([[name, "x"]])),
    ["stream", PROTOCOL_ERROR],
  ]),
  ["8.2.2", "te other than trailers", request(get([["te", "gzip"]])), ["stream", PROTOCOL_ERROR]],
  ["8.2.2", "te: trailers, and more", request(get([["te", "trailers, deflate"]])), ["stream", PROTOCOL_ERROR]],
  ["8.2.2", "te: trailers", request(get([["te", "trailers"]])), ["status", 200]],
  [
    "8.2.2",
    "connection in trailers",
    (c) =>
      open(c)
        .data(1, "a")
        .headers(1, [["connection", "close"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.2.3",
    "cookies in several fields",
    request(
      get([
        ["cookie", "a=1"],
        ["cookie", "b=2"],
      ]),
    ),
    ["status", 200],
  ],
  ["8.3", "an unknown pseudo-header field", request([...GET, [":test", "a"]]), ["stream", PROTOCOL_ERROR]],
  ["8.3", "a pseudo-header field of responses", request([...GET, [":status", "200"]]), ["stream", PROTOCOL_ERROR]],
  [
    "8.3",
    "a pseudo-header field behind others",
    request([...GET.slice(0, 2), ["x", "y"], ...GET.slice(2)]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.3",
    "a pseudo-header field with capitals",
    request([...without(":path"), [":Path", "/"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  ["8.3", "a colon alone as name", request(get([[":", "a"]])), ["stream", PROTOCOL_ERROR]],
  ...GET.map(([name, value]): Case => [
    "8.3",
    `${name} twice`,
    request([...GET, [name, value]]),
    ["stream", PROTOCOL_ERROR],
  ]),
  ...[":method", ":scheme", ":path", ":authority"].map((name): Case => [
    "8.3.1",
    `no ${name}`,
    request(without(name)),
    ["stream", PROTOCOL_ERROR],
  ]),
  ...[":method", ":scheme", ":path", ":authority"].map((name): Case => [
    "8.3.1",
    `an empty ${name}`,
    request(instead(name, "")),
    ["stream", PROTOCOL_ERROR],
  ]),
  ["8.3.1", "a :method that is no token", request(instead(":method", "G ET")), ["stream", PROTOCOL_ERROR]],
  ["8.3.1", "a :scheme that is none", request(instead(":scheme", "1http")), ["stream", PROTOCOL_ERROR]],
  ["8.3.1", "a :path that does not begin with a slash", request(instead(":path", "a")), ["stream", PROTOCOL_ERROR]],
  ["8.3.1", "space in :path", request(instead(":path", "/a b")), ["stream", PROTOCOL_ERROR]],
  ["8.3.1", "* with GET", request(instead(":path", "*")), ["stream", PROTOCOL_ERROR]],
  [
    "8.3.1",
    "* with OPTIONS",
    request([[":method", "OPTIONS"], ...without(":method", instead(":path", "*"))]),
    ["status", 200],
  ],
  ["8.3.1", "a user in :authority", request(instead(":authority", "user@test")), ["stream", PROTOCOL_ERROR]],
  ["8.3.1", "Host instead of :authority", request([...without(":authority"), ["host", "test"]]), ["status", 200]],
  [
    "8.3.1",
    "Host twice",
    request(
      get([
        ["host", "test"],
        ["host", "test"],
      ]),
    ),
    ["stream", PROTOCOL_ERROR],
  ],
  ["8.3.1", "Host other than :authority", request(get([["host", "other"]])), ["status", 400]],
  ["8.5", "CONNECT without :authority", request([[":method", "CONNECT"]]), ["stream", PROTOCOL_ERROR]],
  [
    "8.5",
    "CONNECT with :scheme",
    request([
      [":method", "CONNECT"],
      [":scheme", "http"],
      [":authority", "a:1"],
    ]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "8.5",
    "CONNECT with :path",
    request([
      [":method", "CONNECT"],
      [":path", "/"],
      [":authority", "a:1"],
    ]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "RFC 8441, 4",
    ":protocol without CONNECT",
    request([...GET, [":protocol", "websocket"]]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "RFC 8441, 4",
    "extended CONNECT without :path",
    request([
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "http"],
      [":authority", "a"],
    ]),
    ["stream", PROTOCOL_ERROR],
  ],
  [
    "RFC 8441, 4",
    "extended CONNECT without :scheme",
    request([
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":path", "/"],
      [":authority", "a"],
    ]),
    ["stream", PROTOCOL_ERROR],
  ],
  ["RFC 8441, 3", "ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), ["connection", PROTOCOL_ERROR]],
  [
    "RFC 8441, 3",
    "ENABLE_CONNECT_PROTOCOL taken back",
    (c) => c.settings([[8, 1]]).settings([[8, 0]]),
    ["connection", PROTOCOL_ERROR],
  ],
  ["RFC 9218, 2.1", "NO_RFC7540_PRIORITIES of 2", setting(9, 2), ["connection", PROTOCOL_ERROR]],
];

/** GET on stream 1, with the first bit of its number set. */
function reservedBit(): Buffer {
  const bytes = frameBytes(HEADERS, ALL, 1, block(GET));
  bytes[5]! |= 0x80;
  return bytes;
}

let served: Http2Served;

beforeAll(async () => {
  served = await Http2Served.start(handler, {
    streamWindowBytes: 32_768,
    connectionWindowBytes: 65_535,
    maxHeadBytes: 20_000,
  });
});

afterAll(async () => await served[Symbol.asyncDispose]());

/** A client whose SETTINGS, and ours, are in force. */
async function settled(): Promise<Client> {
  const client = await served.frames();
  await client.next(SETTINGS, 0, ({ flags }) => flags === ACK);
  client.ping(Buffer.from("settled!"));
  await client.next(PING, 0, ({ payload }) => payload.toString() === "settled!");
  return client;
}

async function observe(client: Client, [kind]: Outcome): Promise<string> {
  if (kind === "connection") {
    const { code } = await client.goaway();
    await client.closed;
    return `connection error ${http2CodeName(code)}`;
  }
  if (kind === "stream") return `stream error ${http2CodeName(await client.reset(1))}`;
  if (kind === "status") return `status ${await client.status(1)}`;
  return "alive";
}

describe.each(CASES)("RFC 9113, section %s: %s", (_section, _what, send, outcome) => {
  const [kind, ...expected] = outcome;
  const texts =
    kind === "connection" || kind === "stream"
      ? expected.map((code) => `${kind} error ${http2CodeName(code)}`)
      : [kind === "status" ? `status ${expected[0]}` : "alive"];

  test(`is answered by ${texts.join(" or ")}`, async () => {
    const client = await settled();
    await send(client);
    expect(texts).toContain(await observe(client, outcome));
    if (kind === "connection") return;
    // Whatever became of the stream, the connection goes on.
    client.get(101);
    expect(await client.status(101)).toBe(200);
    expect(client.frames.filter(({ type }) => type === GOAWAY)).toEqual([]);
    if (kind !== "stream") {
      const resets = client.frames.filter(({ type, streamId }) => type === RST_STREAM && streamId === 1);
      expect(resets).toEqual([]);
    }
  });
});

describe("RFC 9113, section 3.4", () => {
  test.each<[what: string, bytes: Buffer | string]>([
    ["something else behind the preface", `${PREFACE}${"x".repeat(50)}`],
    [
      "a frame that is not SETTINGS first",
      Buffer.concat([Buffer.from(PREFACE), frameBytes(PING, 0, 0, Buffer.alloc(8))]),
    ],
    ["HEADERS first", Buffer.concat([Buffer.from(PREFACE), frameBytes(HEADERS, ALL, 1, block(GET))])],
  ])("%s ends the connection", async (_, bytes) => {
    const client = await served.frames({ preface: false });
    client.sendBytes(bytes);
    expect([PROTOCOL_ERROR, FRAME_SIZE_ERROR]).toContain((await client.goaway()).code);
    await client.closed;
  });

  test("our first frame is SETTINGS, and the client's are acknowledged", async () => {
    const client = await settled();
    expect(client.frames[0]).toMatchObject({ type: SETTINGS, flags: 0 });
    expect(client.frames.filter(({ type, flags }) => type === SETTINGS && flags === ACK)).toHaveLength(1);
  });
});

test("RFC 9113, section 6.5.3: a table that one SETTINGS frame makes smaller and then large again is emptied", async () => {
  const client = await settled();
  client.get(1);
  await client.status(1);
  client
    .settings([
      [1, 0],
      [1, 4096],
    ])
    .get(3);
  const { payload } = await client.next(HEADERS, 3);
  // RFC 7541, section 4.2: the smallest that it was, and what it is now.
  expect(payload.toString("hex", 0, 4)).toBe("203fe11f");
});

test("RFC 9113, section 6.8: GOAWAY tells the last stream that was looked at, and what was wrong", async () => {
  const client = await settled();
  client.get(1, "/hold").get(3, "/hold").windowUpdate(0, 0);
  const frame = await client.next(GOAWAY);
  expect([frame.payload.readUInt32BE(0), frame.payload.readUInt32BE(4)]).toEqual([3, PROTOCOL_ERROR]);
  expect(frame.payload.subarray(8).toString()).toBe("WINDOW_UPDATE by 0");
});

test("a head beyond the limits as it is sent ends the connection, in one frame as in several", async () => {
  await using large = await Http2Served.start(answer, { maxFrameBytes: 2 ** 24 - 1 });
  const client = await large.frames();
  // Indexed fields: a byte each.
  client.send(HEADERS, ALL, 1, Buffer.alloc(500_000, 0x82));
  expect((await client.goaway()).code).toBe(ENHANCE_YOUR_CALM);
});

test("section 5.1: who may have many streams open may be late on as many", async () => {
  const gate = Promise.withResolvers<void>();
  const limits = { maxConcurrentStreams: 400, maxResets: 1000 };
  await using many = await Http2Served.start(async ({ session }) => {
    await gate.promise;
    session.abort();
  }, limits);
  const client = await many.frames();
  for (let id = 1; id < 800; id += 2) client.headers(id, POST, END_HEADERS);
  await many.request(400);
  gate.resolve();
  await client.reset(799);
  // Trailers that had left before.
  for (let id = 1; id < 800; id += 2) client.headers(id, [["x-a", "b"]]);
  client.ping(Buffer.from("all read"));
  await client.next(PING, 0, ({ payload }) => payload.toString() === "all read");
  expect(client.frames.filter(({ type }) => type === GOAWAY)).toEqual([]);
});
