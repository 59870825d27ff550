import { HeaderFields, ResponseHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { pairs, respond, wholeBody, type SeenRequest } from "../../test/harness.ts";
import { collect, exchange, GET, Http2Served, open, POST } from "../../test/http2-harness.ts";
import type { ServerSession } from "../http/server-session.ts";
import { FLAG, FRAME, requestFields, type Http2FrameClient } from "../testing/index.ts";
import { CANCEL, CONNECT_ERROR, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from "./error-codes.ts";

const never = new Promise<void>(() => undefined);

function head(status = 200, fields: Record<string, string> = {}): ResponseHeader {
  return ResponseHeader.build(status, { Date: "now", ...fields });
}

/** Until something was the case. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

describe("a request", () => {
  test("is as HTTP/1 would have it: Host from :authority first, cookies together, old names spelt as ever", async () => {
    await using served = await Http2Served.start();
    const fields = ["cookie", "a=1", "x-b", "caf\xe9", "cookie", "b=2", "content-type", "text/plain", "x-b", "2"];
    const got = await exchange(served.client(), [...POST, ...fields], "abc");
    expect(got).toMatchObject({ status: 200, body: "abc", code: NO_ERROR });
    const { request } = served.requests[0]!.session;
    expect([request.method, request.target, request.version, request.scheme]).toEqual(["POST", "/", "2", "http"]);
    expect(pairs(request)).toEqual([
      ["Host", "a.test"],
      ["cookie", "a=1; b=2"],
      ["x-b", "caf\xe9"],
      ["Content-Type", "text/plain"],
      ["x-b", "2"],
    ]);
  });

  test("without a body has none, and one of unknown length has trailers", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.get(1);
    client
      .headers(3, requestFields("POST"), FLAG.END_HEADERS)
      .data(3, "ab")
      .data(3, "c")
      .headers(3, [["x-t", "1"]]);
    await client.next(FRAME.DATA, 3);
    const [first, second] = served.requests as [SeenRequest, SeenRequest];
    expect([first.session.requestBodyEmpty, second.session.requestBodyEmpty]).toEqual([true, false]);
    expect(second).toMatchObject({ body: "abc", ended: true, trailers: [["x-t", "1"]] });
    expect(second.session).toMatchObject({ requestBodyBytes: 3, requestBodyDone: true, error: undefined });
  });

  test("with Content-Length: 0 has no body, whenever its stream ends", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.headers(1, [...requestFields("POST"), ["content-length", "0"]], FLAG.END_HEADERS);
    expect(await client.status(1)).toBe(200);
    expect(served.requests[0]!.session).toMatchObject({ requestBodyEmpty: true, requestBodyDone: true });
    client.data(1, "", true);
  });

  test.each<[what: string, send: (client: Http2FrameClient) => void, trailers: [string, string][] | undefined]>([
    ["an empty DATA", (client) => client.data(1, "", true), undefined],
    [
      "trailers alone",
      (client) => client.headers(1, [["x-sum", "1"]], FLAG.END_HEADERS | FLAG.END_STREAM),
      [["x-sum", "1"]],
    ],
    ["DATA and an empty one", (client) => client.data(1, "hello").data(1, "", true), undefined],
  ])("whose end is %s tells it to whoever comes later, or had paused", async (_, send, trailers) => {
    const come = Promise.withResolvers<void>();
    const told: unknown[] = [];
    await using served = await Http2Served.start(async (seen) => {
      const { session } = seen;
      await come.promise;
      const ended = new Promise<void>((resolve) => {
        seen.onRequestEnd = (fields) => {
          told.push(fields === undefined ? undefined : pairs(fields));
          resolve();
        };
      });
      session.events = seen;
      session.pauseBody();
      await new Promise((resolve) => setImmediate(resolve));
      expect([told, session.requestBodyDone]).toEqual([[], false]);
      session.resumeBody();
      await ended;
      respond(session, 200, "ok");
    });
    const client = await served.frames();
    client.headers(1, requestFields("POST"), FLAG.END_HEADERS);
    send(client);
    await served.request();
    client.ping();
    await client.next(FRAME.PING);
    come.resolve();
    expect(await client.status(1)).toBe(200);
    expect(told).toEqual([trailers]);
  });

  test("whose body is shorter than its Content-Length is reset", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.headers(1, [...requestFields("POST"), ["content-length", "5"]], FLAG.END_HEADERS).data(1, "abc", true);
    expect(await client.reset(1)).toBe(PROTOCOL_ERROR);
    await until(() => served.requests[0]!.error !== undefined);
    expect(served.requests[0]!.error?.message).toBe(
      "Downstream ConnectionClosed context: we reset the HTTP/2 stream (PROTOCOL_ERROR): a body of 3 bytes, of 5 that its Content-Length says",
    );
  });

  test("whose body is longer than its Content-Length is reset, and others go on", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.headers(1, [...requestFields("POST"), ["content-length", "2"]], FLAG.END_HEADERS).data(1, "abc", true);
    expect(await client.reset(1)).toBe(PROTOCOL_ERROR);
    expect(served.requests[0]!.session.error?.message).toContain("a body of more than the 2 bytes");
    expect(await client.get(3).status(3)).toBe(200);
  });

  test("body waits for whoever reads it: the client's window stays closed", async () => {
    const gate = Promise.withResolvers<void>();
    await using served = await Http2Served.start(
      async (seen) => {
        seen.session.events = seen;
        seen.session.pauseBody();
        await gate.promise;
        seen.session.resumeBody();
        await wholeBody(seen);
        respond(seen.session, 200, String(seen.body.length));
      },
      { streamWindowBytes: 20_000, connectionWindowBytes: 65_535 },
    );
    const client = await served.frames();
    client.headers(1, requestFields("POST"), FLAG.END_HEADERS).data(1, "a".repeat(16_000));
    const seen = await served.request();
    client.ping();
    await client.next(FRAME.PING);
    expect([
      seen.body.length,
      client.frames.some(({ type, streamId }) => type === FRAME.WINDOW_UPDATE && streamId === 1),
    ]).toEqual([0, false]);
    gate.resolve();
    await client.next(FRAME.WINDOW_UPDATE, 1);
    client.data(1, "b".repeat(8000), true);
    await client.next(FRAME.DATA, 1);
    expect(seen.body).toBe("a".repeat(16_000) + "b".repeat(8000));
  });

  test.each([CANCEL, NO_ERROR, INTERNAL_ERROR])("that its client resets with %i fails at once", async (code) => {
    await using served = await Http2Served.start(() => never);
    const client = await served.frames();
    client.get(1);
    const seen = await served.request();
    const gone = new Promise((resolve) => (seen.session.onGone = resolve));
    client.rstStream(1, code);
    await gone;
    expect(seen.session.error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
    expect(seen.session.failedBefore).toBe("head");
  });

  test("whose client closes the connection fails at once, as all others on it do", async () => {
    await using served = await Http2Served.start(() => never);
    const client = await served.frames();
    client.get(1).get(3);
    const seen = [await served.request(1), await served.request(2)];
    const gone = seen.map(({ session }) => new Promise((resolve) => (session.onGone = resolve)));
    client.stream.end();
    await Promise.all(gone);
    expect(seen.map(({ session }) => session.error?.context)).toEqual(
      Array.from({ length: 2 }, () => "the client closed before the response was complete"),
    );
    await served.idle();
  });

  test("whose connection breaks says how", async () => {
    await using served = await Http2Served.start(() => never);
    const client = await served.frames();
    client.get(1);
    const { session } = await served.request();
    const gone = new Promise((resolve) => (session.onGone = resolve));
    (client.stream as unknown as { resetAndDestroy(): void }).resetAndDestroy();
    await gone;
    expect(session.error?.message).toMatch(
      /ReadError context: the client's connection failed cause: (read|write) ECONNRESET/,
    );
  });
});

describe("a response", () => {
  const answerWith =
    (write: (session: ServerSession) => void) =>
    ({ session }: SeenRequest): void =>
      write(session);

  test("has lower-case names in the order given, Date, and nothing that speaks of one connection", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        const fields = ResponseHeader.build(200, [
          ["X-A", " 1 "],
          ["Connection", "close"],
          ["Keep-Alive", "timeout=5"],
          ["Transfer-Encoding", "chunked"],
          ["Upgrade", "h2c"],
          ["Proxy-Connection", "close"],
          ["HTTP2-Settings", "x"],
          ["TE", "trailers"],
          ["X-B", "caf\xe9"],
          ["X-A", "2"],
          ["Last-Modified", "1"],
          ["Last-Modified", "2"],
        ]);
        session.writeHeader(fields, true);
        session.finish();
      }),
    );
    const { status, fields } = await exchange(served.client(), GET);
    expect(status).toBe(200);
    expect(fields.filter(([name]) => name !== "date")).toEqual([
      ["x-a", "1"],
      ["x-b", "caf\xe9"],
      ["x-a", "2"],
      ["last-modified", "1"],
      ["last-modified", "2"],
    ]);
    expect(Date.parse(fields.find(([name]) => name === "date")![1])).not.toBeNaN();
  });

  test("can have a head as large as an origin's may be", async () => {
    const fields = Array.from({ length: 120 }, (_, n) => ["Set-Cookie", `${n}=${"%".repeat(620)}`] as [string, string]);
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(ResponseHeader.build(200, fields), true);
        session.finish();
      }),
    );
    const client = served.client({ maxHeaderListSize: 1_000_000 });
    for (let round = 0; round < 2; round++) {
      const got = await exchange(client, GET);
      expect([got.status, got.fields.length, got.code]).toEqual([200, 121, NO_ERROR]);
    }
  });

  test("with a length: head, body and end leave in two frames", async () => {
    await using served = await Http2Served.start();
    const client = await served.frames();
    client.headers(1, requestFields("POST"), FLAG.END_HEADERS).data(1, "hello", true);
    await client.next(FRAME.DATA, 1);
    const shown = client.frames.filter(({ streamId }) => streamId === 1);
    expect(shown.map(({ type, flags }) => [type, flags])).toEqual([
      [FRAME.HEADERS, FLAG.END_HEADERS],
      [FRAME.DATA, FLAG.END_STREAM],
    ]);
  });

  test("of unknown length that is there at once leaves in two frames as well", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(), false);
        session.writeBody(Buffer.from("hello"));
        session.finish();
      }),
    );
    const client = await served.frames();
    client.get(1);
    const data = await client.next(FRAME.DATA, 1);
    expect([data.flags, data.payload.toString()]).toEqual([FLAG.END_STREAM, "hello"]);
  });

  test("without a body is one frame", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(404), true);
        session.finish();
      }),
    );
    const client = await served.frames();
    client.get(1);
    const { flags } = await client.next(FRAME.HEADERS, 1);
    expect([flags, await client.status(1)]).toEqual([FLAG.END_HEADERS | FLAG.END_STREAM, 404]);
  });

  test.each([
    ["in one go", (): void => undefined],
    ["with a flush between", (session: ServerSession): void => session.flush()],
  ])("has trailers, written %s, but none that frame or route", async (_, between) => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(), false);
        between(session);
        session.writeBody(Buffer.from("ab"));
        between(session);
        session.writeBody(Buffer.from("c"));
        session.finish(
          HeaderFields.from([
            ["X-T", "1"],
            ["Content-Length", "9"],
            ["X-T", "2"],
            ["grpc-status", "0"],
          ]),
        );
      }),
    );
    const got = await exchange(served.client(), GET);
    expect(got).toMatchObject({ status: 200, body: "abc", code: NO_ERROR });
    expect(got.trailers).toEqual([
      ["x-t", "1"],
      ["x-t", "2"],
      ["grpc-status", "0"],
    ]);
  });

  test("that is nothing but trailers has them behind its head", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(), false);
        session.finish(HeaderFields.from({ "grpc-status": "5" }));
      }),
    );
    expect(await exchange(served.client(), GET)).toMatchObject({ body: "", trailers: [["grpc-status", "5"]], code: 0 });
  });

  test("with a length and a Trailer field has trailers, too", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(200, { "Content-Length": "1", Trailer: "x-t" }), false);
        session.writeBody(Buffer.from("a"));
        session.finish(HeaderFields.from({ "x-t": "1" }));
      }),
    );
    expect(await exchange(served.client(), GET)).toMatchObject({ body: "a", trailers: [["x-t", "1"]] });
  });

  test.each([
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 205],
    ["GET", 304],
  ])("to %s with status %i has no body", async (method, status) => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(status, { "Content-Length": "5" }), false);
        session.writeBody(Buffer.from("hello"));
        session.finish();
      }),
    );
    const got = await exchange(served.client(), [":method", method, ...GET.slice(2)]);
    expect([got.status, got.body, got.code]).toEqual([status, "", NO_ERROR]);
    const lengths = got.fields.filter(([name]) => name === "content-length").map(([, value]) => value);
    expect(lengths).toEqual(status === 204 ? [] : status === 205 ? ["0"] : ["5"]);
  });

  test("has interim heads before it", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeInformational(
          ResponseHeader.build(103, [
            ["Link", "</a>"],
            ["Link", "</b>"],
            ["Connection", "x"],
          ]),
        );
        expect(() => session.writeInformational(ResponseHeader.build(101))).toThrow(
          "status 101 cannot be that of an interim head",
        );
        respond(session, 200, "ok");
        session.writeInformational(ResponseHeader.build(103));
      }),
    );
    const got = await exchange(served.client(), GET);
    expect(got).toMatchObject({ status: 200, body: "ok" });
    expect(got.interim).toEqual([
      [
        [":status", "103"],
        ["link", "</a>"],
        ["link", "</b>"],
      ],
    ]);
  });

  test("comes behind an interim head for which the connection was too full", async () => {
    await using served = await Http2Served.start(async (seen) => {
      const { session } = seen;
      session.events = seen;
      const writable = new Promise<void>((resolve) => (seen.onDownstreamWritable = resolve));
      if (session.request.target === "/full") {
        session.writeHeader(ResponseHeader.build(200), false);
        while (session.writeBody(Buffer.alloc(60_000)));
        await writable;
        session.finish();
      } else {
        if (!session.writeInformational(ResponseHeader.build(103))) await writable;
        respond(session, 200, "ok");
      }
    });
    const client = await served.frames({ settings: [[4, 2 ** 31 - 1]] });
    await client.next(FRAME.SETTINGS);
    client.stream.pause();
    client.windowUpdate(0, 2 ** 30).get(1, "/full");
    await served.request();
    client.get(3);
    await served.request(2);
    client.stream.resume();
    expect((await client.next(FRAME.DATA, 3)).payload.toString()).toBe("ok");
  });

  test("that is cut is reset, with what there was before", async () => {
    await using served = await Http2Served.start(
      answerWith((session) => {
        session.writeHeader(head(), false);
        session.writeBody(Buffer.from("hel"));
        session.abort();
      }),
    );
    expect(await exchange(served.client(), GET)).toMatchObject({ status: 200, body: "hel", code: INTERNAL_ERROR });
  });

  test("that is shorter than its Content-Length is reset", async () => {
    let thrown: unknown;
    await using served = await Http2Served.start(({ session }) => {
      session.writeHeader(head(200, { "Content-Length": "5" }), false);
      session.writeBody(Buffer.from("hel"));
      try {
        session.finish();
      } catch (error) {
        thrown = error;
      }
    });
    expect(await exchange(served.client(), GET)).toMatchObject({ status: 200, body: "hel", code: INTERNAL_ERROR });
    expect(String(thrown)).toContain("the response body ended 2 bytes before its Content-Length");
  });

  test("that is longer than its Content-Length: none of the chunk goes", async () => {
    let thrown: unknown;
    await using served = await Http2Served.start(({ session }) => {
      session.writeHeader(head(200, { "Content-Length": "2" }), false);
      try {
        session.writeBody(Buffer.from("hel"));
      } catch (error) {
        thrown = error;
        session.abort();
      }
    });
    expect(await exchange(served.client(), GET)).toMatchObject({ body: "", code: INTERNAL_ERROR });
    expect(String(thrown)).toContain("1 bytes or more longer than its Content-Length");
  });

  test("that nobody writes is a reset, and so is one whose app fails, which is logged", async () => {
    await using served = await Http2Served.start(({ session }) => {
      if (session.request.target === "/fails") throw new Error("broken");
    });
    const client = served.client();
    expect(await exchange(client, GET)).toMatchObject({ status: 0, code: INTERNAL_ERROR });
    expect(await exchange(client, [...GET.slice(0, -1), "/fails"])).toMatchObject({ status: 0, code: INTERNAL_ERROR });
    expect(served.logs.map(({ msg }) => msg)).toEqual(["an app failed to handle a request"]);
  });

  test.each(["head", "trailers"])(
    "whose %s cannot be written is reset, and the next ones are as they should be",
    async (what) => {
      let responses = 0;
      await using served = await Http2Served.start(({ session }) => {
        const fields = head(200, { "x-a": "1", "x-b": "2" });
        const trailers = HeaderFields.from({ "x-c": "3" });
        // What is put here nobody looks at.
        if (responses++ === 1) (what === "head" ? fields : trailers).raw.push("x-none", undefined as unknown as string);
        session.writeHeader(fields, false);
        session.finish(trailers);
      });
      const client = served.client();
      expect((await exchange(client, GET)).code).toBe(NO_ERROR);
      expect((await exchange(client, GET)).code).toBe(INTERNAL_ERROR);
      for (let more = 0; more < 3; more++) {
        expect(await exchange(client, GET)).toMatchObject({
          fields: [
            ["date", "now"],
            ["x-a", "1"],
            ["x-b", "2"],
          ],
          trailers: [["x-c", "3"]],
        });
      }
      expect(served.logs).toMatchObject([{ msg: "an app failed to handle a request" }]);
    },
  );

  test("waits for a client whose window is closed, and says when it may go on", async () => {
    const said: boolean[] = [];
    await using served = await Http2Served.start(async (seen) => {
      const { session } = seen;
      session.events = seen;
      session.writeHeader(head(), false);
      for (let round = 0; round < 4; round++) said.push(session.writeBody(Buffer.alloc(40_000, 97)));
      await until(() => seen.drains > 0);
      session.finish();
    });
    const client = await served.frames();
    client.get(1);
    const seen = await served.request();
    await until(() => client.dataBytes(1) === 65_535);
    expect([said.at(-1), seen.drains]).toEqual([false, 0]);
    client.windowUpdate(1, 200_000).windowUpdate(0, 200_000);
    await client.next(FRAME.DATA, 1, ({ flags }) => flags === FLAG.END_STREAM);
    expect([client.dataBytes(1), seen.drains]).toEqual([160_000, 1]);
  });

  test("memory that was given can be used again at once; that of a very large chunk is held until it has left", async () => {
    const held: boolean[] = [];
    await using served = await Http2Served.start(async ({ session }) => {
      session.writeHeader(head(), false);
      for (const size of [5, 20_000, 65_536, 100_000]) {
        const chunk = Buffer.alloc(size, 97);
        session.writeBody(chunk);
        held.push(session.holdsBytes);
        if (!session.holdsBytes) chunk.fill(0);
      }
      await until(() => !session.holdsBytes);
      session.finish();
    });
    const got = await exchange(served.client(), GET);
    expect(held).toEqual([false, false, false, true]);
    expect(got.body).toBe("a".repeat(5 + 20_000 + 65_536 + 100_000));
  });

  test("many at once get their own bytes each, also beside those that are reset", async () => {
    await using served = await Http2Served.start(async ({ session }) => {
      const path = session.request.target;
      session.writeHeader(head(), false);
      for (let round = 0; round < 20 && session.error === undefined; round++) {
        session.writeBody(Buffer.alloc(30_000, path.charCodeAt(1)));
        await new Promise((resolve) => setImmediate(resolve));
      }
      session.finish();
    });
    const client = served.client({ initialWindowSize: 50_000 });
    const asked = Array.from("abcdefghijklmnop", async (letter, index) => {
      const stream = open(client, [...GET.slice(0, -1), `/${letter}`]);
      const got = collect(stream);
      if (index % 3 === 0) stream.once("data", () => stream.close(CANCEL));
      return { letter, got: await got };
    });
    for (const { letter, got } of await Promise.all(asked)) {
      expect(got.body.replaceAll(letter, "")).toBe("");
      expect([CANCEL, got.body.length]).toContain(got.code === CANCEL ? CANCEL : 600_000);
    }
  });

  test("before the upload ended: whole, then a reset with NO_ERROR that stops it", async () => {
    await using served = await Http2Served.start(({ session }) => respond(session, 413, "no"));
    const client = await served.frames();
    client.headers(1, requestFields("POST"), FLAG.END_HEADERS).data(1, "a".repeat(1000));
    expect(await client.status(1)).toBe(413);
    expect(await client.reset(1)).toBe(NO_ERROR);
    const order = client.frames.filter(({ streamId }) => streamId === 1).map(({ type, flags }) => [type, flags]);
    expect(order.at(-1)).toEqual([FRAME.RST_STREAM, 0]);
    expect(order).toContainEqual([FRAME.DATA, FLAG.END_STREAM]);
  });

  test("before the upload ended, with trailers: they come before the reset", async () => {
    await using served = await Http2Served.start(({ session }) => {
      session.writeHeader(head(), false);
      session.writeBody(Buffer.from("a"));
      session.flush();
      session.finish(HeaderFields.from({ "x-t": "1" }));
    });
    const stream = open(served.client(), POST, false);
    const got = await collect(stream);
    expect(got).toMatchObject({ status: 200, body: "a", trailers: [["x-t", "1"]], code: NO_ERROR });
  });

  test.each([
    [600, "status 600; HTTP/2 clients can be told 200 to 599"],
    [150, "status 150 cannot be that of a final head"],
    [101, "a 101 to a request that did not ask to change the protocol"],
  ])("with status %i is an error of whoever gives it", async (status, message) => {
    let thrown: unknown;
    await using served = await Http2Served.start(({ session }) => {
      try {
        session.writeHeader(head(status), true);
      } catch (error) {
        thrown = error;
      }
      respond(session, 500, "");
    });
    expect((await exchange(served.client(), GET)).status).toBe(500);
    expect(String(thrown)).toContain(message);
  });

  test("two heads are an error, and so are bytes before the first", async () => {
    const thrown: string[] = [];
    await using served = await Http2Served.start(({ session }) => {
      for (const wrong of [
        (): unknown => session.writeBody(Buffer.from("a")),
        (): unknown => session.finish(),
        (): unknown => respond(session, 200, ""),
        (): unknown => session.writeHeader(head(), true),
      ]) {
        try {
          wrong();
        } catch (error) {
          thrown.push((error as Error).message);
        }
      }
    });
    expect((await exchange(served.client(), GET)).status).toBe(200);
    expect(thrown).toEqual([
      "Internal InternalError context: body bytes before the response head",
      "Internal InternalError context: the response was finished before its head was written",
      "Internal InternalError context: a second response head (status 200) on one request",
    ]);
  });
});

describe("a tunnel", () => {
  const CONNECT = [":method", "CONNECT", ":authority", "b.test:443"];
  const WEBSOCKET = [
    ":method",
    "CONNECT",
    ":protocol",
    "websocket",
    ":scheme",
    "http",
    ":authority",
    "a.test",
    ":path",
    "/chat",
  ];

  async function echo(seen: SeenRequest): Promise<void> {
    const { session } = seen;
    const ended = new Promise<void>((resolve) => (seen.onRequestEnd = () => resolve()));
    seen.onRequestData = (chunk) => void session.writeBody(chunk);
    session.events = seen;
    const { upgrade } = session;
    session.writeHeader(
      upgrade === undefined ? head(200, { "Content-Length": "3" }) : head(101, { Upgrade: upgrade }),
      false,
    );
    await ended;
    session.finish();
  }

  test.each([
    ["CONNECT", CONNECT],
    ["extended CONNECT", WEBSOCKET],
  ])("by %s passes bytes both ways, and each side ends its direction", async (_, fields) => {
    await using served = await Http2Served.start(echo);
    const client = served.client();
    await new Promise((resolve) => client.once("remoteSettings", resolve));
    const stream = open(client, fields, false);
    const got = collect(stream);
    stream.write("one");
    await new Promise<void>((resolve) => stream.once("data", () => resolve()));
    stream.end("two");
    expect(await got).toMatchObject({ status: 200, body: "onetwo", code: NO_ERROR, trailers: undefined });
    expect((await got).fields.map(([name]) => name)).toEqual(["date"]);
    expect(served.requests[0]!.error).toBeUndefined();
  });

  test("by extended CONNECT is to the app a GET that asks to change the protocol, with a key", async () => {
    await using served = await Http2Served.start(echo);
    const client = served.client();
    await new Promise((resolve) => client.once("remoteSettings", resolve));
    open(client, WEBSOCKET, false).end();
    const { session } = await served.request();
    const { request } = session;
    expect([request.method, request.target, session.upgrade, session.isConnect]).toEqual([
      "GET",
      "/chat",
      "websocket",
      false,
    ]);
    expect(request.get("sec-websocket-key")).toMatch(/^[A-Za-z0-9+/]{22}==$/);
    expect([request.get("host"), request.get("upgrade"), session.requestBodyEmpty]).toEqual([
      "a.test",
      "websocket",
      true,
    ]);
  });

  test.each([
    [200, "status 200 to a request to change the protocol to websocket, which 101 agrees to"],
    [101, "the 101 of the upstream has a Sec-WebSocket-Accept of another handshake"],
  ])("that is not agreed to properly by %i is not opened", async (status, message) => {
    let thrown: unknown;
    await using served = await Http2Served.start(({ session }) => {
      try {
        session.writeHeader(head(status, { "Sec-WebSocket-Accept": "x" }), false);
      } catch (error) {
        thrown = error;
      }
      respond(session, 502, "");
    });
    const client = served.client();
    await new Promise((resolve) => client.once("remoteSettings", resolve));
    const stream = open(client, WEBSOCKET, false);
    expect((await collect(stream)).status).toBe(502);
    expect(String(thrown)).toContain(message);
  });

  test("that breaks on our side is reset with CONNECT_ERROR", async () => {
    await using served = await Http2Served.start(({ session }) => session.writeHeader(head(), false));
    const client = await served.frames();
    client.headers(
      1,
      [
        [":method", "CONNECT"],
        [":authority", "b.test:443"],
      ],
      FLAG.END_HEADERS,
    );
    expect([await client.status(1), await client.reset(1)]).toEqual([200, CONNECT_ERROR]);
  });

  test("is cut as one: a client that resets it is gone", async () => {
    await using served = await Http2Served.start(echo);
    const client = await served.frames();
    client.headers(
      1,
      [
        [":method", "CONNECT"],
        [":authority", "b.test:443"],
      ],
      FLAG.END_HEADERS,
    );
    await client.status(1);
    const seen = await served.request();
    const gone = new Promise((resolve) => (seen.session.onGone = resolve));
    client.rstStream(1);
    await gone;
    expect(seen.session.error?.type).toBe("ConnectionClosed");
  });
});
