import { constants } from "node:http2";
import { HeaderFields } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pairs } from "../../test/harness.ts";
import {
  DATA,
  ENABLE_CONNECT_PROTOCOL,
  END_STREAM,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  RST_STREAM,
} from "../../test/http2-frames.ts";
import { after, ask, h2c, nodeH2Origin, type Asked, type Exchange } from "../../test/http2-upstream-harness.ts";
import { data, FrameOrigin, goaway, grant, head, ok, reset, type FrameConnection } from "../../test/http2-origin.ts";
import { configureLogs } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { connectSocket } from "../net/connect.ts";
import { HttpConnector } from "../upstreams/http-connector.ts";
import type { PeerOptions } from "../upstreams/http-peer.ts";

let connector: HttpConnector;

beforeEach(() => {
  configureLogs({ levels: "silent" });
  connector = new HttpConnector();
});
afterEach(() => connector.close());

const OK = { ":status": "200" };

/** Asks an origin that does this with the stream of the first request; resolves when the exchange is over. */
async function exchange(
  script: (connection: FrameConnection, stream: number) => unknown,
  asked: Asked = {},
  peer: PeerOptions = {},
): Promise<Exchange> {
  await using origin = await FrameOrigin.start(async (connection) => script(connection, await connection.request()));
  const session = await connector.connect(h2c(origin, peer));
  const seen = await ask(session, asked).over;
  expect(origin.failures).toEqual([]);
  if (seen.ended) session.release();
  return seen;
}

describe("a request", () => {
  test.each<[what: string, asked: Asked, raw: string[], body: string]>([
    [
      "of HTTP/1 becomes one of HTTP/2",
      {
        target: "/a?b=c",
        fields: [
          ["HOST", "a.test:81"],
          ["X-Thing", "Value"],
          ["cookie", "a=b"],
          ["Cookie", "c=d"],
        ],
      },
      [
        ":method",
        "GET",
        ":scheme",
        "http",
        ":authority",
        "a.test:81",
        ":path",
        "/a?b=c",
        "x-thing",
        "Value",
        "cookie",
        "a=b",
        "cookie",
        "c=d",
      ],
      "",
    ],
    [
      "loses what speaks of one connection",
      {
        fields: [
          ["Connection", "close"],
          ["Keep-Alive", "timeout=1"],
          ["Proxy-Connection", "x"],
          ["Transfer-Encoding", "chunked"],
          ["Upgrade", "h2c"],
          ["HTTP2-Settings", "AAA"],
          ["TE", "gzip"],
          ["Host", "a"],
        ],
      },
      [":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"],
      "",
    ],
    [
      "may say that it takes trailers",
      {
        fields: [
          ["TE", "Trailers"],
          ["Host", "a"],
        ],
      },
      [":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "te", "trailers"],
      "",
    ],
    [
      "to everything has * as its path",
      { method: "OPTIONS", target: "*" },
      [":method", "OPTIONS", ":scheme", "http", ":authority", "a.test", ":path", "*"],
      "",
    ],
    [
      "with a length keeps it",
      { method: "POST", body: "content-length", fields: { "Content-Length": 5 }, bytes: "hello" },
      [":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/", "content-length", "5"],
      "hello",
    ],
    [
      "with bytes that are no text passes them",
      { fields: [["X-Latin", "\u00e9\u00ff"]] },
      [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/", "x-latin", "\u00e9\u00ff"],
      "",
    ],
  ])("%s", async (_, asked, raw, body) => {
    let seen: string[] = [];
    let seenBody = "";
    await using origin = await nodeH2Origin((stream, _headers, given) => {
      seen = given;
      stream.on("data", (chunk: Buffer) => (seenBody += chunk.toString()));
      stream.on("end", () => {
        stream.respond({ ":status": 204 });
        stream.end();
      });
    });
    const session = await connector.connect(h2c(origin));
    const answered = await ask(session, asked).over;
    expect(answered.error).toBeUndefined();
    expect(seen).toEqual(raw);
    expect(seenBody).toBe(body);
    session.release();
  });

  test.each<[what: string, asked: Asked]>([
    ["without Host", { edit: (header) => void header.remove("host") }],
    ["with an empty Host", { edit: (header) => void header.set("host", "") }],
    ["with an absolute target", { target: "http://a.test/" }],
  ])("%s is an error that says so, and nothing is sent", async (_, asked) => {
    await using origin = await FrameOrigin.start();
    const session = await connector.connect(h2c(origin));
    const { error } = await ask(session, asked).over;
    expect(error).toMatchObject({ type: "InvalidHTTPHeader", source: "internal", retry: false });
    expect(error!.message).toMatch(/Host|target/);
    const next = connector.reuse(h2c(origin))!;
    void ask(next);
    const connection = await origin.connection();
    expect(await connection.request()).toBe(1);
    next.destroy();
  });

  test("is held until it is flushed, and may end before", async () => {
    await using origin = await FrameOrigin.start(async (connection) => connection.send(ok(await connection.request())));
    const session = await connector.connect(h2c(origin));
    const seen = ask(session, { method: "POST", body: "unknown-length", bytes: "" });
    await seen.over;
    const connection = await origin.connection();
    // END_STREAM came with the head: there is no DATA.
    expect(connection.heard.filter(({ type }) => type === DATA)).toEqual([]);
    expect(connection.heard.find(({ type }) => type === HEADERS)!.flags & 1).toBe(1);
    session.release();
  });

  test("can end by an empty DATA frame, as gRPC-web needs", async () => {
    await using origin = await FrameOrigin.start(async (connection) => connection.send(ok(await connection.request())));
    const session = await connector.connect(h2c(origin));
    await ask(session, { edit: (header) => (header.sendEndStream = false) }).over;
    const connection = await origin.connection();
    const sent = connection.heard.filter(({ type }) => type === HEADERS || type === DATA);
    expect(sent.map(({ type, flags, payload }) => [type, flags & 1, type === DATA ? payload.length : -1])).toEqual([
      [HEADERS, 0, -1],
      [DATA, 1, 0],
    ]);
    session.release();
  });

  test("has trailers, but for fields that have no meaning there", async () => {
    let trailers: unknown;
    await using origin = await nodeH2Origin((stream) => {
      stream.on("trailers", (given) => (trailers = { ...given }));
      stream.resume();
      stream.on("end", () => {
        stream.respond({ ":status": 200 });
        stream.end();
      });
    });
    const session = await connector.connect(h2c(origin));
    const given = HeaderFields.from([
      ["X-Sum", "1"],
      ["x-sum", "2"],
      ["Content-Length", "9"],
      ["Connection", "x"],
    ]);
    const seen = await ask(session, { method: "POST", bytes: "body", trailers: given }).over;
    expect(seen.error).toBeUndefined();
    expect(trailers).toMatchObject({ "x-sum": "1, 2" });
    expect(trailers).not.toHaveProperty("content-length");
    session.release();
  });

  test("stops when the origin's window is full, and goes on", async () => {
    await using origin = await FrameOrigin.start(async () => undefined, { [INITIAL_WINDOW_SIZE]: 10 });
    const session = await connector.connect(h2c(origin));
    const seen = ask(session, { method: "POST", body: "unknown-length" });
    expect(session.writeBody(Buffer.alloc(200_000, "x"))).toBe(false);
    expect(session.holdsBytes).toBe(true);
    const connection = await origin.connection();
    const stream = await connection.request();
    const drained = new Promise<void>((resolve) => (seen.onUpstreamWritable = resolve));
    connection.send(grant(stream, 1_000_000), grant(0, 1_000_000));
    await drained;
    expect(session.holdsBytes).toBe(false);
    session.finishRequest();
    const sent = async (): Promise<number> => {
      for (let bytes = 0; ;) {
        const { payload, flags } = await connection.next(DATA);
        bytes += payload.length;
        if ((flags & 1) === 1) return bytes;
      }
    };
    expect(await sent()).toBe(200_000);
    connection.send(ok(stream));
    expect((await seen.over).body).toBe("ok");
    session.release();
  });

  test("that the origin takes no more of fails after writeMs", async () => {
    await using origin = await FrameOrigin.start(async () => undefined, { [INITIAL_WINDOW_SIZE]: 10 });
    const session = await connector.connect(h2c(origin, { writeMs: 30 }));
    const seen = ask(session, { method: "POST", body: "unknown-length" });
    session.writeBody(Buffer.alloc(200_000));
    const { error } = await seen.over;
    expect(error).toMatchObject({ type: "WriteTimedout", source: "upstream", retry: false });
    const cancelled = await (await origin.connection()).next(RST_STREAM);
    expect(cancelled.payload.readUInt32BE()).toBe(constants.NGHTTP2_CANCEL);
  });

  test("whose rest nobody takes behind the response is given up after writeMs", async () => {
    await using origin = await FrameOrigin.start(
      async (connection) => connection.send(ok(await connection.request())),
      { [INITIAL_WINDOW_SIZE]: 10 },
    );
    const session = await connector.connect(h2c(origin, { writeMs: 30 }));
    const seen = await ask(session, { method: "POST", bytes: "x".repeat(100) }).over;
    expect([seen.ended, seen.body]).toEqual([true, "ok"]);
    session.release();
    const { payload } = await (await origin.connection()).next(RST_STREAM);
    expect(payload.readUInt32BE()).toBe(constants.NGHTTP2_CANCEL);
    // Nothing holds it any more.
    connector.close();
    await (await origin.connection()).whenClosed();
  });

  test("with less or more body than its Content-Length is an error of ours", async () => {
    await using origin = await FrameOrigin.start();
    const peer = h2c(origin);
    const session = await connector.connect(peer);
    const fields = { "Content-Length": 3 };
    ask(session, { method: "POST", body: "content-length", fields });
    expect(() => session.writeBody(Buffer.from("four"))).toThrow(/longer than its Content-Length/);
    session.destroy();
    const other = connector.reuse(peer)!;
    ask(other, { method: "POST", body: "content-length", fields });
    other.writeBody(Buffer.from("ab"));
    expect(() => other.finishRequest()).toThrow(/before its Content-Length/);
    other.destroy();
  });
});

describe("a response", () => {
  test("comes as head, data and end, with the fields as they came", async () => {
    const seen = await exchange((connection, stream) =>
      connection.send(
        head(stream, { ":status": "200", "x-b": "2", "set-cookie": "a", date: "\u00e9" }),
        data(stream, "hel"),
        data(stream, "lo", true),
      ),
    );
    expect(seen.order).toEqual(["header", "data", "end"]);
    expect(seen.header).toMatchObject({ status: 200, version: "2" });
    expect(pairs(seen.header!)).toEqual([
      ["x-b", "2"],
      ["set-cookie", "a"],
      ["date", "\u00e9"],
    ]);
    expect(seen.body).toBe("hello");
    expect(seen.headerEnd).toBe(false);
    expect(seen.session.receivedBytes).toBeGreaterThan(5);
  });

  test("has interim heads before it, and trailers behind it", async () => {
    const seen = await exchange((connection, stream) =>
      connection.send(
        head(stream, { ":status": "103", link: "</a>" }),
        head(stream, { ":status": "100" }),
        head(stream, OK),
        data(stream, "x"),
        head(stream, { "grpc-status": "0" }, true),
      ),
    );
    expect(seen.order).toEqual(["informational", "informational", "header", "data", "end"]);
    expect(seen.informational).toEqual([103, 100]);
    expect(seen.trailers).toEqual([["grpc-status", "0"]]);
  });

  test("may be a head alone, with a status or without fields", async () => {
    const seen = await exchange((connection, stream) => connection.send(head(stream, { ":status": "404" }, true)));
    expect([seen.order, seen.headerEnd, seen.header!.status]).toEqual([["header", "end"], true, 404]);
  });

  test.each([
    ["to HEAD", { method: "HEAD" }, { ":status": "200", "content-length": "11" }],
    ["204", {}, { ":status": "204" }],
    ["304", {}, { ":status": "304", "content-length": "11" }],
  ] as const)("%s has no body, also when the end comes by itself", async (_, asked, fields) => {
    const seen = await exchange(
      (connection, stream) => connection.send(head(stream, fields), data(stream, "", true)),
      asked,
    );
    expect([seen.order, seen.headerEnd, seen.error]).toEqual([["header", "end"], true, undefined]);
  });

  test("whose end the origin withholds is whole when Content-Length is reached", async () => {
    const seen = await exchange((connection, stream) =>
      connection.send(head(stream, { ":status": "200", "content-length": "2" }), data(stream, "ok")),
    );
    expect([seen.order, seen.body]).toEqual([["header", "data", "end"], "ok"]);
  });

  test("that is whole stays so when the origin then stops the upload by NO_ERROR (RFC 9113, section 8.1)", async () => {
    const seen = await exchange(
      (connection, stream) => connection.send(ok(stream, "early"), reset(stream, constants.NGHTTP2_NO_ERROR)),
      { method: "POST", body: "unknown-length" },
    );
    expect([seen.ended, seen.body, seen.error]).toEqual([true, "early", undefined]);
  });

  describe("whose end is a reset with NO_ERROR, when all bytes that Content-Length says are there,", () => {
    const FIVE = { ...OK, "content-length": "5" };

    test("is whole", async () => {
      const seen = await exchange((connection, stream) =>
        connection.send(head(stream, FIVE), data(stream, "hello"), reset(stream, constants.NGHTTP2_NO_ERROR)),
      );
      expect([seen.ended, seen.body, seen.error]).toEqual([true, "hello", undefined]);
    });

    test("is whole also if nobody reads it yet, or the connection ends with it", async () => {
      await using origin = await FrameOrigin.start(async (connection) => {
        const stream = await connection.request();
        connection.send(head(stream, FIVE), data(stream, "hello"), reset(stream, constants.NGHTTP2_NO_ERROR));
        connection.socket.end();
      });
      const session = await connector.connect(h2c(origin));
      const seen = ask(session, { method: "POST", body: "unknown-length" });
      after(seen, "onResponseHeader", () => session.pause());
      await (await origin.connection()).whenClosed();
      expect([seen.ended, seen.body]).toEqual([false, ""]);
      session.resume();
      await seen.over;
      expect([seen.ended, seen.body, seen.error]).toEqual([true, "hello", undefined]);
      session.release();
    });

    test("is whole if there can be none", async () => {
      const seen = await exchange(
        (connection, stream) => connection.send(head(stream, FIVE), reset(stream, constants.NGHTTP2_NO_ERROR)),
        { method: "HEAD" },
      );
      expect([seen.ended, seen.body, seen.error]).toEqual([true, "", undefined]);
    });

    test.each([
      ["another code", "hello", constants.NGHTTP2_CANCEL],
      ["a byte too few", "hell", constants.NGHTTP2_NO_ERROR],
    ])("but not by %s", async (_, body, code) => {
      const seen = await exchange((connection, stream) =>
        connection.send(head(stream, FIVE), data(stream, body), reset(stream, code)),
      );
      expect([seen.ended, seen.body]).toEqual([false, body]);
      expect(seen.error).toMatchObject({ type: "H2Error", detail: "response-body" });
    });
  });

  test("that is paused keeps all that came, and its end, for later", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(ok(stream, "later"), reset(stream, constants.NGHTTP2_NO_ERROR));
      connection.send(ok(await connection.request()));
    });
    const peer = h2c(origin);
    const session = await connector.connect(peer);
    const seen = ask(session, { method: "POST", body: "unknown-length" });
    after(seen, "onResponseHeader", () => session.pause());
    await seen.begun;
    // Another exchange on the same connection shows that all of the first has arrived.
    const other = connector.reuse(peer)!;
    await ask(other).over;
    expect(seen.order).toEqual(["header"]);
    session.resume();
    await seen.over;
    expect([seen.body, seen.error]).toEqual(["later", undefined]);
    session.release();
    other.release();
  });

  test.each([
    ["ends", (connection: FrameConnection) => connection.socket.end()],
    ["resets", (connection: FrameConnection) => connection.socket.resetAndDestroy()],
    ["says GOAWAY with an error on", (connection: FrameConnection) => connection.send(goaway(1, 2))],
  ] as const)(
    "that came whole is told to a slow reader also when the origin %s the connection behind it",
    async (_, leave) => {
      await using origin = await FrameOrigin.start(async (connection) =>
        connection.send(ok(await connection.request(), "whole")),
      );
      const session = await connector.connect(h2c(origin));
      const seen = ask(session);
      after(seen, "onResponseHeader", () => session.pause());
      await seen.begun;
      leave(origin.connections[0]!);
      await origin.connections[0]!.whenClosed();
      // The end has come here, too, when the pool has no connection any more.
      while (connector.reuse(h2c(origin)) !== undefined) await new Promise((resolve) => setImmediate(resolve));
      session.resume();
      const { body, ended, error } = await seen.over;
      expect([body, ended, error]).toEqual(["whole", true, undefined]);
      session.release();
    },
  );

  test("that is paused is stopped by its own window, and others are not", async () => {
    const window = 65_535;
    await using origin = await nodeH2Origin((stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(headers[":path"] === "/large" ? 3_000_000 : 300_000, "x"));
    });
    const peer = h2c(origin, { h2StreamWindowBytes: window, h2ConnectionWindowBytes: window });
    const stalled = await connector.connect(peer);
    const large = ask(stalled, { target: "/large" });
    let sawBytes = 0;
    after(large, "onResponseData", (chunk) => void (sawBytes += chunk.length));
    after(large, "onResponseHeader", () => stalled.pause());
    await large.begun;
    for (let round = 0; round < 3; round++) {
      const other = connector.reuse(peer)!;
      expect((await ask(other).over).body.length).toBe(300_000);
      other.release();
    }
    expect(sawBytes).toBe(0);
    stalled.resume();
    expect((await large.over).body.length).toBe(3_000_000);
    stalled.release();
    expect(origin.connections()).toBe(1);
  });

  test.each([
    ["an empty DATA", (stream: number) => data(stream, "", true)],
    ["trailers alone", (stream: number) => head(stream, { "x-sum": "1" }, true)],
  ])("that comes while paused, and ends with %s, is whole later", async (_, end) => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, OK), end(stream));
      connection.send(ok(await connection.request()));
    });
    const peer = h2c(origin);
    const session = await connector.connect(peer);
    const seen = ask(session);
    session.pause();
    const other = connector.reuse(peer)!;
    await ask(other).over;
    expect(seen.order).toEqual([]);
    session.resume();
    await seen.over;
    expect([seen.ended, seen.error, seen.body]).toEqual([true, undefined, ""]);
    session.release();
    other.release();
  });

  test("head that comes while paused waits", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, { ":status": "103" }), ok(stream, "x"));
      connection.send(ok(await connection.request()));
    });
    const peer = h2c(origin);
    const session = await connector.connect(peer);
    const seen = ask(session);
    const paused = Promise.withResolvers<void>();
    after(seen, "onInformational", () => {
      session.pause();
      paused.resolve();
    });
    await paused.promise;
    const other = connector.reuse(peer)!;
    await ask(other).over;
    other.release();
    expect(seen.order).toEqual(["informational"]);
    session.resume();
    await seen.over;
    expect(seen.order).toEqual(["informational", "header", "data", "end"]);
    session.release();
  });
});

describe("an exchange that fails", () => {
  const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } = constants;
  const { NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_PROTOCOL_ERROR } = constants;

  test.each([
    ["REFUSED_STREAM", NGHTTP2_REFUSED_STREAM, "H2Error", true],
    ["HTTP_1_1_REQUIRED", NGHTTP2_HTTP_1_1_REQUIRED, "H2Downgrade", false],
    ["ENHANCE_YOUR_CALM", NGHTTP2_ENHANCE_YOUR_CALM, "H2Error", false],
    ["INTERNAL_ERROR", NGHTTP2_INTERNAL_ERROR, "H2Error", false],
    ["CANCEL", NGHTTP2_CANCEL, "H2Error", false],
    ["NO_ERROR", NGHTTP2_NO_ERROR, "H2Error", false],
    ["PROTOCOL_ERROR", NGHTTP2_PROTOCOL_ERROR, "InvalidH2", false],
  ] as const)("by a reset with %s before the head", async (name, code, type, retry) => {
    const { error, order } = await exchange((connection, stream) => connection.send(reset(stream, code)));
    expect(order).toEqual(["error"]);
    expect(error).toMatchObject({ type, retry, source: "upstream", detail: undefined });
    expect(error!.message).toContain(name);
    expect(error!.message).toContain("before its response head");
  });

  test.each([
    ["CANCEL", NGHTTP2_CANCEL],
    ["NO_ERROR", NGHTTP2_NO_ERROR],
    ["REFUSED_STREAM", NGHTTP2_REFUSED_STREAM],
  ] as const)("by a reset with %s in the body does not look complete", async (name, code) => {
    const seen = await exchange((connection, stream) =>
      connection.send(head(stream, OK), data(stream, "hel"), reset(stream, code)),
    );
    expect(seen.ended).toBe(false);
    expect(seen.error).toMatchObject({ type: "H2Error", retry: false, detail: "response-body" });
    expect(seen.error!.message).toContain(name);
  });

  test("by a reset with NO_ERROR in the body while it is paused does not look complete", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, OK), data(stream, "hel"), reset(stream, NGHTTP2_NO_ERROR));
      connection.send(ok(await connection.request()));
    });
    const peer = h2c(origin);
    const session = await connector.connect(peer);
    const seen = ask(session);
    after(seen, "onResponseHeader", () => session.pause());
    await seen.begun;
    const other = connector.reuse(peer)!;
    await ask(other).over;
    session.resume();
    await seen.over;
    expect(seen.ended).toBe(false);
    expect(seen.error).toMatchObject({ type: "H2Error", detail: "response-body" });
    other.release();
  });

  test.each([
    ["less", "9", "short"],
    ["more", "2", "long"],
  ])("by %s body than Content-Length", async (_, length, body) => {
    const seen = await exchange((connection, stream) =>
      connection.send(head(stream, { ...OK, "content-length": length }), data(stream, body, true)),
    );
    expect(seen.ended).toBe(false);
    expect(seen.error).toMatchObject({ type: "InvalidH2", detail: "response-body" });
  });

  test.each<[what: string, fields: Record<string, string>, said: string]>([
    ["without :status", { "x-a": "b" }, "without :status"],
    ["with :status behind a field", { "x-a": "b", ":status": "200" }, ":status behind other fields"],
    ["with a pseudo-header of requests", { ":status": "200", ":path": "/" }, '":path" in a response'],
    ["with a status that is none", { ":status": "2x0" }, ':status "2x0"'],
    ["with a status of two digits", { ":status": "99" }, ':status "99"'],
    ["with a status below 100", { ":status": "099" }, ':status "099"'],
    ["with Connection", { ":status": "200", connection: "close" }, "the field connection"],
    ["with Transfer-Encoding", { ":status": "200", "transfer-encoding": "chunked" }, "the field transfer-encoding"],
    ["with Upgrade", { ":status": "200", upgrade: "h3" }, "the field upgrade"],
    ["with a name in upper case", { ":status": "200", "X-A": "b" }, 'in upper case: "X-A"'],
    ["with a name that is no token", { ":status": "200", "x a": "b" }, 'no token: "x a"'],
    ["with a line feed in a value", { ":status": "200", "x-a": "b\nc: d" }, "x-a with a control character"],
    ["with space before a value", { ":status": "200", "x-a": " b" }, "x-a with space around it"],
    ["101, which HTTP/2 has not", { ":status": "101" }, "status 101"],
    ["of an interim response that is the end", { ":status": "103" }, "interim response that ends"],
    ["with two lengths in one", { ":status": "200", "content-length": "1, 2" }, 'Content-Length "1, 2"'],
    ["with a length and without a body", { ":status": "200", "content-length": "1" }, "no body, of 1 bytes"],
    ["204 with a length", { ":status": "204", "content-length": "1" }, "Content-Length with status 204"],
  ])("by a head %s", async (_, fields, said) => {
    const { error, order } = await exchange((connection, stream) => connection.send(head(stream, fields, true)));
    expect(order).toEqual(["error"]);
    expect(error).toMatchObject({ type: "InvalidH2", source: "upstream", retry: false });
    expect(error!.message).toContain("broke the rules of HTTP/2");
    expect(error!.message).toContain(said);
  });

  test("by a head that is larger than the limits", async () => {
    connector = new HttpConnector({ headLimits: { maxHeadBytes: 1000, maxFields: 10 } });
    const large = await exchange((connection, stream) => connection.send(head(stream, { ...OK, a: "x".repeat(1000) })));
    expect(large.error).toMatchObject({ type: "InvalidHTTPHeader", detail: "too-large" });
    const fields = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`x-${index}`, ""]));
    const many = await exchange((connection, stream) => connection.send(head(stream, { ...OK, ...fields })));
    expect(many.error).toMatchObject({ type: "InvalidHTTPHeader", detail: "too-large" });
    const more = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`x-${index}`, ""]));
    const tooMany = await exchange((connection, stream) => connection.send(head(stream, { ...OK, ...more })));
    expect(tooMany.error!.message).toContain("more than 10 fields");
  });

  test("by more interim heads than are of use", async () => {
    const { error, informational } = await exchange((connection, stream) =>
      connection.send(...Array.from({ length: 101 }, () => head(stream, { ":status": "100" }))),
    );
    expect(informational).toHaveLength(100);
    expect(error).toMatchObject({ type: "InvalidHTTPHeader" });
  });

  test.each([
    ["ends", (connection: FrameConnection) => connection.socket.end(), "ConnectionClosed"],
    ["resets", (connection: FrameConnection) => connection.socket.resetAndDestroy(), "ReadError"],
  ] as const)("when the origin %s the connection before the head", async (_, leave, type) => {
    const { error } = await exchange(leave);
    expect(error).toMatchObject({ type, retry: "reusedOnly", source: "upstream" });
    expect(error!.message).toContain("before its response head");
  });

  test.each([
    ["ends", (connection: FrameConnection) => connection.socket.end(), "ConnectionClosed"],
    ["resets", (connection: FrameConnection) => connection.socket.resetAndDestroy(), "ReadError"],
  ] as const)("when the origin %s the connection in the body", async (_, leave, type) => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, OK), data(stream, "hel"));
    });
    const session = await connector.connect(h2c(origin));
    const seen = ask(session);
    after(seen, "onResponseData", () => void leave(origin.connections[0]!));
    await seen.over;
    expect(seen.error).toMatchObject({ type, retry: false, detail: "response-body" });
  });

  test("by GOAWAY says whether the origin took the request", async () => {
    const untaken = await exchange((connection) => connection.send(goaway(0)));
    expect(untaken.error).toMatchObject({ type: "H2Error", retry: true });
    expect(untaken.error!.message).toContain("GOAWAY (NO_ERROR) before it took this request");
    const calm = await exchange((connection) => connection.send(goaway(0, NGHTTP2_ENHANCE_YOUR_CALM)));
    expect(calm.error).toMatchObject({ type: "H2Error", retry: true });
    const taken = await exchange((connection, stream) => connection.send(goaway(stream, NGHTTP2_INTERNAL_ERROR)));
    expect(taken.error).toMatchObject({ type: "H2Error", retry: "reusedOnly" });
    expect(taken.error!.message).toContain("GOAWAY (INTERNAL_ERROR)");
  });

  test("by GOAWAY that says why has that in the error, as text and not too much of it", async () => {
    const why = async (debug: string): Promise<string> => {
      const { error } = await exchange((connection) => connection.send(goaway(0, NGHTTP2_ENHANCE_YOUR_CALM, debug)));
      return error!.message;
    };
    expect(await why("too_many_pings")).toContain('GOAWAY (ENHANCE_YOUR_CALM: "too_many_pings") before');
    expect(await why(`a\r\nb${"c".repeat(1000)}`)).toContain(`"a\\r\\nb${"c".repeat(56)}…") before`);
  });

  test("by GOAWAY before its head could leave, may be sent elsewhere, and is not sent here", async () => {
    await using origin = await FrameOrigin.start(async () => undefined, { [INITIAL_WINDOW_SIZE]: 2 ** 31 - 1 });
    const peer = h2c(origin);
    const upload = await connector.connect(peer);
    const large = ask(upload, { method: "POST", body: "unknown-length", bytes: "" });
    const other = ask(connector.reuse(peer)!, { method: "POST", body: "unknown-length" });
    const connection = await origin.connection();
    await connection.find(({ streamId }) => streamId === 3);
    // It takes nothing any more, and the system's buffers are filled.
    connection.socket.pause();
    connection.send(grant(0, 2 ** 31 - 1 - 65_535), ok(1));
    await large.over;
    upload.release();
    while (other.session.writeBody(Buffer.alloc(1_000_000))) continue;
    const waiting = ask(connector.reuse(peer)!);
    connection.send(goaway(3));
    const { error } = await waiting.over;
    expect(error).toMatchObject({ type: "ConnectionClosed", retry: true, source: "upstream" });
    expect(error!.message).toContain("before the request was sent");
    connection.socket.resume();
    other.session.finishRequest();
    connection.send(ok(3, "done"));
    expect((await other.over).body).toBe("done");
    other.session.release();
    await connection.whenClosed();
    expect(connection.heard.filter(({ type }) => type === HEADERS).map(({ streamId }) => streamId)).toEqual([1, 3]);
  });

  test("by the end of the connection, in the turn in which its head was to leave, may be sent elsewhere", async () => {
    await using origin = await FrameOrigin.start();
    const streams: ByteStream[] = [];
    const connectStream: PeerOptions["connectStream"] = async ({ address }, signal) => {
      streams.push(await connectSocket(address, {}, signal));
      return streams.at(-1)!;
    };
    const session = await connector.connect(h2c(origin, { connectStream }));
    const seen = ask(session, { method: "POST", bytes: "hello" });
    // As when the origin's end comes in this turn.
    streams[0]!.destroy();
    const { error } = await seen.over;
    expect(error).toMatchObject({ type: "ConnectionClosed", retry: true, source: "upstream" });
    expect(error!.message).toContain("before the request was sent");
    const connection = await origin.connection();
    await connection.whenClosed();
    expect(connection.heard.filter(({ type }) => type === HEADERS)).toEqual([]);
  });

  test("by a rule that is broken before its head could leave, may be sent elsewhere at once", async () => {
    await using origin = await FrameOrigin.start(async () => undefined, { [INITIAL_WINDOW_SIZE]: 2 ** 31 - 1 });
    const peer = h2c(origin);
    const upload = ask(await connector.connect(peer), { method: "POST", body: "unknown-length" });
    const connection = await origin.connection();
    await connection.request();
    connection.socket.pause();
    // It opens the window, and the system's buffers are filled.
    connection.send(grant(0, 2 ** 31 - 1 - 65_535), head(1, { ":status": "103" }));
    await new Promise<void>((resolve) => after(upload, "onInformational", () => resolve()));
    while (upload.session.writeBody(Buffer.alloc(1_000_000))) continue;
    const waiting = ask(connector.reuse(peer)!);
    connection.send(grant(0, 0));
    expect((await upload.over).error).toMatchObject({ type: "InvalidH2", retry: false });
    expect((await waiting.over).error).toMatchObject({ type: "ConnectionClosed", retry: true, source: "upstream" });
    connection.socket.destroy();
  });

  test("when the origin sends what is no HTTP/2", async () => {
    const { error } = await exchange((connection) => connection.send(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")));
    expect(error).toMatchObject({ type: "InvalidH2", retry: false });
    expect(error!.message).toContain("broke the rules of HTTP/2");
  });

  test("when nothing comes for readMs, and the stream is cancelled", async () => {
    await using origin = await FrameOrigin.start();
    const session = await connector.connect(h2c(origin, { readMs: 30 }));
    const { error } = await ask(session).over;
    expect(error).toMatchObject({ type: "ReadTimedout", retry: false });
    const cancelled = await (await origin.connection()).next(RST_STREAM);
    expect(cancelled.payload.readUInt32BE()).toBe(NGHTTP2_CANCEL);
  });

  test("readMs counts from the last bytes, and not while the client is the one who waits", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const stream = await connection.request();
      connection.send(head(stream, OK), data(stream, "a"));
      await new Promise((resolve) => setTimeout(resolve, 60));
      connection.send(data(stream, "b", true));
    });
    const session = await connector.connect(h2c(origin, { readMs: 40 }));
    const seen = ask(session);
    after(seen, "onResponseData", () => {
      session.pause();
      setTimeout(() => session.resume(), 50);
    });
    await seen.over;
    expect([seen.body, seen.error]).toEqual(["ab", undefined]);
    session.release();
  });
});

test("an exchange that is given up is cancelled, and no event follows", async () => {
  await using origin = await FrameOrigin.start(async (connection) => {
    const stream = await connection.request();
    connection.send(head(stream, OK), data(stream, "hel"));
    connection.send(ok(await connection.request(), "next"));
  });
  const peer = h2c(origin);
  const session = await connector.connect(peer);
  const seen = ask(session);
  await seen.begun;
  session.destroy();
  const order = [...seen.order];
  const next = connector.reuse(peer)!;
  expect((await ask(next).over).body).toBe("next");
  expect(seen.order).toEqual(order);
  const cancelled = await origin.connections[0]!.find(({ type }) => type === RST_STREAM);
  expect([cancelled.streamId, cancelled.payload.readUInt32BE()]).toEqual([1, constants.NGHTTP2_CANCEL]);
  next.release();
});

test("a head that is larger than the upstream takes is an error that says whose limit it is", async () => {
  await using origin = await FrameOrigin.start(async () => undefined, { [6]: 100 });
  const { error } = await ask(await connector.connect(h2c(origin)), { fields: { "X-Large": "a".repeat(100) } }).over;
  expect(error).toMatchObject({ type: "InvalidHTTPHeader", source: "internal", detail: "too-large" });
  expect(error!.context).toContain("of 100 that the upstream takes by HTTP/2 (SETTINGS_MAX_HEADER_LIST_SIZE)");
});

test("a head that is too large to send is not the upstream's fault, and disturbs no other request", async () => {
  const go = Promise.withResolvers<void>();
  await using origin = await nodeH2Origin((stream) => {
    void go.promise.then(() => stream.respond({ ":status": 204 }, { endStream: true }));
  });
  const peer = h2c(origin);
  const other = await connector.connect(peer);
  const beside = ask(other);
  const session = connector.reuse(peer)!;
  const { error } = await ask(session, { fields: { "X-Large": "a".repeat(70_000) } }).over;
  expect(error).toMatchObject({ type: "InvalidHTTPHeader", source: "internal", detail: "too-large", retry: false });
  expect(error!.context).toMatch(/^a request head of 70\d{3} bytes, of 65536 that are sent by HTTP\/2$/);
  const next = connector.reuse(peer)!;
  const behind = ask(next);
  go.resolve();
  for (const seen of [await beside.over, await behind.over])
    expect([seen.ended, seen.error]).toEqual([true, undefined]);
  expect(origin.connections()).toBe(1);
  other.release();
  next.release();
});

describe("a request that is given up before its end was told shows to be cut", () => {
  test.each<[what: string, asked: Asked, bytes: string, answered: boolean]>([
    [
      "with a length, of which every byte was sent",
      { method: "POST", body: "content-length", fields: { "Content-Length": 5 } },
      "hello",
      false,
    ],
    ["of unknown length", { method: "POST", body: "unknown-length" }, "hel", false],
    ["a tunnel", { method: "CONNECT", target: "a.test:443" }, "hel", true],
    ["a WebSocket", { fields: { Upgrade: "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" } }, "hel", true],
  ])("%s", async (_, asked, bytes, answered) => {
    await using origin = await FrameOrigin.start(
      async (connection) => {
        const stream = await connection.request();
        if (answered) connection.send(head(stream, OK));
      },
      { [ENABLE_CONNECT_PROTOCOL]: 1 },
    );
    const session = await connector.connect(h2c(origin));
    const seen = ask(session, asked);
    if (answered) await seen.begun;
    session.writeBody(Buffer.from(bytes));
    session.flush();
    const connection = await origin.connection();
    await connection.find(({ type }) => type === DATA);
    session.destroy();
    const { payload } = await connection.find(({ type }) => type === RST_STREAM);
    expect(payload.readUInt32BE()).toBe(constants.NGHTTP2_CANCEL);
    const ends = connection.heard.filter(({ type, flags }) => type <= HEADERS && (flags & END_STREAM) !== 0);
    expect(ends).toEqual([]);
  });
});

test("a WebSocket's handshake with a body is an ordinary request: its bytes would be the tunnel's", async () => {
  await using origin = await FrameOrigin.start(
    async (connection) => {
      const { payload, streamId } = await connection.next(HEADERS);
      connection.send(ok(streamId, payload.includes("CONNECT") ? "tunnel" : "request"));
    },
    { [ENABLE_CONNECT_PROTOCOL]: 1 },
  );
  const session = await connector.connect(h2c(origin));
  const fields = { Upgrade: "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Content-Length": 5 };
  const seen = await ask(session, { body: "content-length", fields, bytes: "hello" }).over;
  expect([seen.body, seen.error]).toEqual(["request", undefined]);
  session.release();
});
