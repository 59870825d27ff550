import type { ResponseHeader } from "@sluice/http";
import { HttpPeer } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { FrameOrigin, head as headFrame } from "../../../core/test/http2-origin.ts";
import { gate, get, type TestApp } from "../support/proxy.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startOrigin, startProxy }) => {
  const BYTES = 300_000;

  /** Ways to fail at the end of a body, when all of its bytes have come. */
  const FAILING: Record<string, TestApp<object>> = {
    "responseBodyFilter throws": {
      responseBodyFilter(_session, _piece, end) {
        if (end) throw new Error("the sum is wrong");
      },
    },
    "responseBodyFilter throws after a delay of the filter before it": {
      upstreamResponseBodyFilter: (_session, _piece, end) => (end ? { delayMs: 1 } : undefined),
      responseBodyFilter(_session, _piece, end) {
        if (end) throw new Error("the sum is wrong");
      },
    },
    "a module rejects": {
      initDownstreamModules(modules) {
        class Sum {
          async responseBody(_piece: Uint8Array | undefined, end: boolean): Promise<void> {
            if (end) throw new Error("the sum is wrong");
          }
        }
        modules.add({ type: Sum, init: () => new Sum() });
      },
    },
  };

  describe.for(Object.entries(FAILING))("%s at the end of a response with Content-Length", ([, app]) => {
    test.for([1, 5, BYTES])("of %i bytes: the client does not get the last of them", async (bytes) => {
      const rest = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`, Buffer.alloc(bytes - 1, "x"));
        await rest.opened;
        connection.send("x");
      });
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(get());
      const head = await client.upTo("\r\n\r\n");
      if (leg.downstream === 1) await client.bytes(bytes - 1);
      else if (bytes > 2) await client.bytes(1);
      rest.open();
      const { error, session } = await proxy.whenFinished();
      await client.whenEnded();
      expect([error?.source, session.outcome.how]).toEqual(["internal", "cut"]);
      expect(session.responseBodyBytes).toBe(bytes);
      const received = client.receivedBytes - head.length;
      if (leg.downstream === 1) expect(received).toBe(bytes - 1);
      // What waits for its turn is lost with its stream, which tells that there was more: HTTP/2 counts no bytes.
      else expect(received).toBeLessThanOrEqual(bytes);
      if (leg.downstream === 2) expect(client.socket.cut).toBe(true);
    });
  });

  // HTTP/2 tells the end of an empty body by itself.
  test.for(leg.downstream === 1 ? Object.entries(FAILING) : [])(
    "%s at the end of a response without any bytes: the client gets no whole one",
    async ([, app]) => {
      await using origin = await answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(get());
      expect((await proxy.whenFinished()).error?.source).toBe("internal");
      await proxy.service.stop(AbortSignal.abort());
      await client.whenEnded();
      expect(client.peek()).not.toContain("200 OK");
    },
  );

  /** Who may say the length of a body of which the upstream has not said any. */
  const LENGTHS: Record<string, TestApp<object>> = {
    upstreamResponseFilter: { upstreamResponseFilter: (_session, head) => void head.set("Content-Length", 5) },
    "responseFilter, later": {
      async responseFilter(_session, head) {
        await new Promise((resolve) => setImmediate(resolve));
        head.set("Content-Length", 5);
      },
    },
    "a module": {
      initDownstreamModules(modules) {
        class Length {
          responseHeader(head: ResponseHeader): void {
            head.set("Content-Length", 5);
          }
        }
        modules.add({ type: Length, init: () => new Length() });
      },
    },
  };

  test.for(Object.entries(LENGTHS))(
    "%s says a length: the client does not get the last byte of a body that is cut",
    async ([, app]) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      });
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(get());
      await client.upTo("\r\n\r\nhell");
      (await origin.connection()).close();
      const { error, session } = await proxy.whenFinished();
      await client.whenEnded();
      expect([error?.source, session.outcome.how]).toEqual(["upstream", "cut"]);
      if (leg.downstream === 1) expect(client.peek()).toBe("");
      else expect(client.socket.cut).toBe(true);
    },
  );

  // Only by HTTP/2 there may be trailers behind a body with Content-Length.
  const TRAILER_FILTERS: [string, TestApp<object>][] = [
    [
      "upstreamResponseTrailerFilter",
      {
        upstreamResponseTrailerFilter() {
          throw new Error("the sum is wrong");
        },
      },
    ],
    ["responseTrailerFilter", { responseTrailerFilter: () => Promise.reject(new Error("the sum is wrong")) }],
  ];

  const toHttp2 = leg.downstream === 1 && leg.upstream === 2;
  test.for(toHttp2 ? TRAILER_FILTERS : [])(
    "%s fails: the client does not get the last byte of a body with Content-Length",
    async ([, app]) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        connection.send("0\r\nX-Sum: 1\r\n\r\n");
      });
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(get());
      const { error, session } = await proxy.whenFinished();
      await client.whenEnded();
      expect([error?.source, session.outcome.how]).toEqual(["internal", "cut"]);
      expect(client.peek()).not.toContain("hello");
    },
  );

  test.for(toHttp2 ? TRAILER_FILTERS : [])(
    "%s fails, long behind a head that says there are no bytes: the client does not get that",
    async ([, app]) => {
      const passed = gate();
      await using origin = await FrameOrigin.start(async (connection) => {
        const stream = await connection.request();
        connection.send(headFrame(stream, { ":status": "200", "content-length": "0" }));
        await passed.opened;
        connection.send(headFrame(stream, { "x-sum": "1" }, true));
      });
      await using proxy = await startProxy({
        origin: new HttpPeer(origin.address, { minHttpVersion: 2 }),
        // In the turn behind it, the head would have left.
        responseFilter: () => void setImmediate(() => setImmediate(passed.open)),
        ...app,
      });
      const client = await proxy.send(get());
      expect((await proxy.whenFinished()).error?.source).toBe("internal");
      await proxy.service.stop(AbortSignal.abort());
      await client.whenEnded();
      expect(client.peek()).not.toContain("200 OK");
    },
  );

  test.for([
    ["Content-Length: 5\r\n\r\nhello", leg.upstream === 2],
    ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false],
  ] as const)(
    "a filter of trailers alone has the end held only of a body with a length that may have trailers: %s",
    async ([rest, isHeld]) => {
      await using origin = await startOrigin(async (connection) => {
        await connection.message();
        connection.send(`HTTP/1.1 200 OK\r\n${rest}`);
      });
      await using proxy = await startProxy({ origin, responseTrailerFilter: () => undefined });
      const client = await proxy.send(get());
      expect((await client.message()).body.toString()).toBe("hello");
      const { session } = await proxy.whenFinished();
      expect(session.downstream.holdsEnd).toBe(isHeld);
    },
  );

  const OPEN_UPLOAD = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
  const UPLOAD = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";

  const REFUSED: [string, string, boolean, TestApp<object>][] = [
    [
      "whose length a hook has told, and that is cut behind its last byte",
      OPEN_UPLOAD,
      true,
      { upstreamRequestFilter: (_session, head) => void head.set("Content-Length", 5) },
    ],
    [
      "whose end a filter refuses",
      UPLOAD,
      false,
      {
        requestBodyFilter(_session, _piece, end) {
          if (end) throw new Error("the sum is wrong");
        },
      },
    ],
    [
      "whose end a module refuses, later",
      UPLOAD,
      false,
      {
        initDownstreamModules(modules) {
          class Sum {
            async requestBody(_piece: Uint8Array | undefined, end: boolean): Promise<void> {
              await new Promise((resolve) => setImmediate(resolve));
              if (end) throw new Error("the sum is wrong");
            }
          }
          modules.add({ type: Sum, init: () => new Sum() });
        },
      },
    ],
  ];

  // By HTTP/2 the end of a body is told apart from its bytes.
  describe.for(leg.upstream === 1 ? REFUSED : [])("an upload %s", ([, upload, isCut, app]) => {
    test("is not whole for the origin", async () => {
      const reached = Promise.withResolvers<void>();
      const rest = Promise.withResolvers<string>();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\nhell");
        reached.resolve();
        await connection.whenEnded();
        rest.resolve(connection.peek());
      });
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(isCut ? upload : upload.slice(0, -1));
      await reached.promise;
      if (isCut) client.close();
      else client.send(upload.at(-1)!);
      expect((await proxy.whenFinished()).error).toBeDefined();
      expect(await rest.promise).toBe("");
    });
  });

  // Only by HTTP/2 a client may have sent all that its Content-Length says, and still owe the end.
  const fromHttp2 = leg.downstream === 2 && leg.upstream === 1;
  describe.for(fromHttp2 ? ["an upload"] : [])("%s of which the end is awaited", () => {
    const ALL_BUT_END = `POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`;

    test("has gone up whole where modules see responses only", async () => {
      class Responses {
        responseBody(): void {}
      }
      const reached = gate();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\nhello");
        reached.open();
        await connection.whenEnded();
      });
      await using proxy = await startProxy({
        origin,
        initDownstreamModules: (modules) => void modules.add({ type: Responses, init: () => new Responses() }),
      });
      const client = await proxy.send(ALL_BUT_END);
      await reached.opened;
      client.close();
      expect((await proxy.whenFinished()).error?.source).toBe("downstream");
    });

    class Trailers {
      requestTrailers(): void {
        throw new Error("the sum is wrong");
      }
    }

    test.for<[string, TestApp<object>]>([
      [
        "a module",
        { initDownstreamModules: (modules) => void modules.add({ type: Trailers, init: () => new Trailers() }) },
      ],
      ["requestTrailerFilter", { requestTrailerFilter: () => Promise.reject(new Error("the sum is wrong")) }],
    ])("is not whole for the origin where %s refuses the trailers", async ([, app]) => {
      const reached = gate();
      const rest = Promise.withResolvers<string>();
      await using origin = await startOrigin(async (connection) => {
        await connection.upTo("\r\n\r\nhell");
        reached.open();
        await connection.whenEnded();
        rest.resolve(connection.peek());
      });
      await using proxy = await startProxy({ origin, ...app });
      const client = await proxy.send(ALL_BUT_END);
      await reached.opened;
      client.send("0\r\nX-Sum: 1\r\n\r\n");
      expect((await proxy.whenFinished()).error).toBeDefined();
      expect(await rest.promise).toBe("");
    });
  });

  test("an upload that a filter lets pass arrives whole, its last byte too", async () => {
    await using origin = await startOrigin(async (connection) => {
      for (;;) {
        const { body } = await connection.message();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", body);
      }
    });
    await using proxy = await startProxy({ origin, requestBodyFilter: () => undefined });
    const client = await proxy.connect();
    for (const length of [5, 5]) {
      client.send(UPLOAD.replace("5", String(length)));
      expect((await client.message()).body.toString()).toBe("hello");
    }
  });

  test("a body with Content-Length that a filter lets pass arrives whole, its last byte too", async () => {
    await using origin = await startOrigin(async (connection) => {
      for (;;) {
        await connection.message();
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`, Buffer.alloc(BYTES - 1, "x"), "y");
      }
    });
    await using proxy = await startProxy({ origin, responseBodyFilter: () => undefined });
    const client = await proxy.connect();
    for (let time = 0; time < 3; time++) {
      client.send(get());
      const { body } = await client.message();
      expect([body.length, body.at(-1)]).toEqual([BYTES, 0x79]);
    }
  });
});
