import { ResponseHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { serve, type SeenRequest, type Served } from "../../test/harness.ts";
import { configureLogs } from "../log/logger.ts";
import { turn } from "../testing/index.ts";
import type { Http1ServerOptions } from "./server-options.ts";

const UPGRADE = "POST /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n";
const ASK = `${UPGRADE}\r\n`;
const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: upgrade\r\n\r\n";
const CONNECT = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\nDate: now\r\n\r\n";

beforeEach(() => configureLogs({ levels: "silent" }));
afterEach(() => void vi.useRealTimers());

const switching = (): ResponseHeader => ResponseHeader.build(101, { Upgrade: "echo/1" });
const established = (fields: object = {}): ResponseHeader =>
  Object.assign(ResponseHeader.build(200, { Date: "now", ...fields }), { reason: "Connection Established" });

interface Tunnelled {
  readonly served: Served;
  readonly seen: () => SeenRequest;
  /** What the app was told of the client, a word each. */
  readonly told: string[];
  /** The app is done with the exchange. */
  readonly over: () => void;
}

/** A connection whose app answers with `head` at once, or when `grant` is called. */
function tunnelled(head: ResponseHeader | undefined, options: Partial<Http1ServerOptions> = {}): Tunnelled {
  const told: string[] = [];
  const over = Promise.withResolvers<void>();
  const served = serve((seen) => {
    seen.onRequestData = (chunk) => told.push(chunk.toString("latin1"));
    seen.onRequestEnd = (trailers) => told.push(trailers === undefined ? "end" : `end ${[...trailers].join(" ")}`);
    seen.onDownstreamError = (error) => told.push(error.message);
    seen.session.events = seen;
    if (head !== undefined) seen.session.writeHeader(head, false);
    return over.promise;
  }, options);
  return { served, seen: () => served.requests[0]!, told, over: over.resolve };
}

describe("after a 101", () => {
  test("bytes pass both ways, and each side ends its direction alone", async () => {
    const { served, seen, told, over } = tunnelled(switching());
    await served.send(`${ASK}GET / HTTP/1.1\r\n\r\n`);
    expect(served.got.take()).toBe(CHANGED);
    seen().session.writeBody(Buffer.from("0\r\n\r\n"));
    await served.send("more");
    served.client.end();
    await served.pair.flush();
    expect(told).toEqual(["GET / HTTP/1.1\r\n\r\n", "more", "end"]);
    seen().session.writeBody(Buffer.from("last"));
    seen().session.finish();
    over();
    await served.pair.flush();
    expect(served.got.text).toBe("0\r\n\r\nlast");
    expect(served.got.error).toBeUndefined();
    expect(served.closedCount()).toBe(1);
    expect(served.requests).toHaveLength(1);
  });

  test.each([
    ["Content-Length: 6", "abc", "def", ["abc", "def", "end"]],
    ["Transfer-Encoding: chunked", "3\r\nabc\r\n", "3\r\ndef\r\n0\r\nA: b\r\n\r\n", ["abc", "def", "end A,b"]],
  ])(
    "a request body that is still coming keeps its framing: its end is told, and raw bytes follow (%s)",
    async (...row) => {
      const [field, first, rest, body] = row;
      const { served, seen, told } = tunnelled(switching());
      await served.send(`${UPGRADE}${field}\r\n\r\n${first}`);
      expect(served.got.take()).toBe(CHANGED);
      // What goes down is raw at once.
      seen().session.writeBody(Buffer.from("raw down"));
      await served.pair.flush();
      expect(served.got.take()).toBe("raw down");
      expect(seen().session.requestBodyDone).toBe(false);
      await served.send(`${rest}0\r\n\r\nraw up`);
      expect(told).toEqual([...body, "0\r\n\r\nraw up"]);
      served.client.end();
      await served.pair.flush();
      expect(told.at(-1)).toBe("end");
      expect(told).toHaveLength(body.length + 2);
    },
  );

  test("the end of both, that of the body and that of the client, may come together", async () => {
    const { served, told } = tunnelled(switching());
    await served.send(`${UPGRADE}Content-Length: 6\r\n\r\nabc`);
    served.client.write("def", "latin1");
    served.client.end();
    await served.pair.flush();
    expect(told).toEqual(["abc", "def", "end", "end"]);
  });

  test.each([
    ["", "raw", ["raw", "end"]],
    ["Content-Length: 3\r\n", "abcraw", ["abc", "end", "raw", "end"]],
  ])(
    "what a client said of the new protocol before it had heard of it, and its end, are told when it is there (%j)",
    async (field, rest, all) => {
      const { served, seen, told } = tunnelled(undefined, { halfClose: "waits" });
      served.client.write(`${UPGRADE}${field}\r\n${rest}`, "latin1");
      served.client.end();
      await served.pair.flush();
      seen().session.writeHeader(switching(), false);
      await served.pair.flush();
      expect(told).toEqual(all);
      seen().session.writeBody(Buffer.from("down"));
      seen().session.finish();
      await served.pair.flush();
      expect(served.got.text).toBe(`${CHANGED}down`);
    },
  );

  test("a client that ends within its request body has left", async () => {
    const { served, told } = tunnelled(switching());
    await served.send(`${UPGRADE}Content-Length: 6\r\n\r\nabc`);
    served.client.end();
    await served.pair.flush();
    expect(told).toEqual(["abc", expect.stringContaining("the client closed before its request was complete")]);
  });

  test("a malformed rest of the body is an error, and no raw bytes", async () => {
    const { served, told } = tunnelled(switching());
    await served.send(`${UPGRADE}Transfer-Encoding: chunked\r\n\r\n3\r\nabcXraw`);
    expect(told).toEqual([expect.stringContaining("a chunk is longer than its size")]);
  });

  test("a response that is cut is reset, so that it cannot look ended", async () => {
    const { served, seen } = tunnelled(switching());
    await served.send(ASK);
    seen().session.abort();
    await served.pair.flush();
    expect(served.got.error?.code).toBe("ECONNRESET");
  });
});

describe("CONNECT", () => {
  test("any 2xx opens a tunnel, without fields that frame", async () => {
    const { served, seen, told } = tunnelled(established({ "Content-Length": "2", "Transfer-Encoding": "chunked" }));
    await served.send(`${CONNECT}early`);
    expect(served.got.take()).toBe(ESTABLISHED);
    expect([seen().session.isConnect, seen().session.requestBodyEmpty, seen().session.upgrade]).toEqual([
      true,
      true,
      undefined,
    ]);
    seen().session.writeBody(Buffer.from("ok, and more"));
    await served.send("later");
    served.client.end();
    await served.pair.flush();
    expect(told).toEqual(["early", "later", "end"]);
    expect(served.got.text).toBe("ok, and more");
  });

  test.each([201, 204, 205, 299])("%i, too", async (status) => {
    const { served, seen, told } = tunnelled(ResponseHeader.build(status, { Date: "now" }));
    await served.send(`${CONNECT}up`);
    seen().session.writeBody(Buffer.from("down"));
    await served.pair.flush();
    expect(served.got.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\nDate: now\r\n\r\ndown$`));
    expect(told).toEqual(["up"]);
  });

  test("a client of HTTP/1.0 gets one as well", async () => {
    const { served } = tunnelled(established());
    await served.send("CONNECT a.test:443 HTTP/1.0\r\n\r\n");
    expect(served.got.text).toBe(ESTABLISHED);
  });

  test.each([301, 403, 407, 502])(
    "%i is an answer, after which the connection closes: what follows is no request",
    async (status) => {
      const served = serve(({ session }) => {
        session.writeHeader(ResponseHeader.build(status, { Date: "now", "Content-Length": 2 }), false);
        session.writeBody(Buffer.from("no"));
        session.finish();
      });
      await served.send(`${CONNECT}GET / HTTP/1.1\r\nHost: b\r\n\r\n`);
      expect(served.got.text).toMatch(/\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno$/);
      expect(served.got.ended).toBe(true);
      expect(served.requests).toHaveLength(1);
    },
  );

  test("a 101 is none of its answers", async () => {
    const errors: unknown[] = [];
    const served = serve(({ session }) => {
      try {
        session.writeHeader(switching(), false);
      } catch (error) {
        errors.push(error);
      }
    });
    await served.send(CONNECT.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n"));
    expect(errors).toMatchObject([{ type: "InternalError" }]);
    expect(served.got.text).toBe("");
  });

  test("early bytes wait for the tunnel, and are not read without bound", async () => {
    const gate = Promise.withResolvers<void>();
    const got: number[] = [];
    const served = serve(
      async (seen) => {
        seen.onRequestData = (chunk) => got.push(chunk.length);
        seen.session.events = seen;
        await gate.promise;
        seen.session.writeHeader(established(), false);
        return new Promise(() => undefined);
      },
      {},
      { toLocal: { windowBytes: 1000 }, highWaterMark: 1000 },
    );
    await served.send(CONNECT + "x".repeat(300_000));
    expect(got).toEqual([]);
    expect(served.client.writableLength).toBeGreaterThan(200_000);
    gate.resolve();
    await served.pair.flush();
    expect(got.reduce((sum, bytes) => sum + bytes, 0)).toBe(300_000);
  });
});

describe("a tunnel in which nothing is sent", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));

  async function advance(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
    await turn();
  }

  test.each([
    ["101", ASK, switching],
    ["CONNECT", CONNECT, established],
  ])("is cut after tunnelIdleMs, and whatever either side sends starts it anew (%s)", async (_how, ask, head) => {
    const { served, seen, told } = tunnelled(head(), { tunnelIdleMs: 1000 });
    await served.send(ask);
    await advance(900);
    await served.send("x");
    await advance(900);
    seen().session.writeBody(Buffer.from("y"));
    await advance(999);
    expect(told).toEqual(["x"]);
    await advance(1);
    expect(told.at(-1)).toContain("neither side of the tunnel sent anything for 1000 ms");
    expect(seen().session.error).toMatchObject({ type: "ReadTimedout", source: "downstream" });
  });

  test.each(["client", "we"])("is cut after tunnelHalfCloseMs once one side has ended (%s)", async (who) => {
    const { served, seen, told } = tunnelled(switching(), { tunnelIdleMs: 10_000, tunnelHalfCloseMs: 1000 });
    await served.send(ASK);
    await advance(5000);
    if (who === "client") served.client.end();
    else seen().session.finish();
    await served.pair.flush();
    // Who still sends may go on.
    for (let piece = 0; piece < 5; piece++) {
      await advance(999);
      if (who === "client") seen().session.writeBody(Buffer.from("x"));
      else await served.send("x");
    }
    await advance(999);
    expect(told.join("")).not.toContain("tunnel");
    await advance(1);
    expect(told.at(-1)).toContain("one side of the tunnel has ended, and the other sent nothing for 1000 ms");
  });

  test.each([
    [{ tunnelIdleMs: 1000, tunnelHalfCloseMs: 0 }, 1000],
    [{ tunnelIdleMs: 0, tunnelHalfCloseMs: 1000 }, 1000],
    [{ tunnelIdleMs: 500, tunnelHalfCloseMs: 1000 }, 500],
  ])("with %o, one that is half closed is cut after %i ms", async (options, ms) => {
    const { served, told } = tunnelled(switching(), options);
    await served.send(ASK);
    served.client.end();
    await served.pair.flush();
    await advance(ms - 1);
    expect(told).toEqual(["end"]);
    await advance(1);
    expect(told).toHaveLength(2);
  });

  test("no time runs after its end", async () => {
    const { served, seen, over } = tunnelled(switching(), { tunnelIdleMs: 1000 });
    await served.send(ASK);
    served.client.end();
    seen().session.finish();
    over();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
