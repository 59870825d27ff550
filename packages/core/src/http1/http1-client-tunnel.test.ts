import { HeaderFields } from "@sluice/http";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { call, pairs } from "../../test/harness.ts";
import { configureLogs } from "../log/logger.ts";

const ASK = { Upgrade: "echo/1" };
const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\n\r\n";

beforeEach(() => configureLogs({ levels: "silent" }));

describe("after a 101", () => {
  test("bytes are raw both ways, each side ends alone, and the connection serves nobody else", async () => {
    const called = call();
    const seen = called.request("GET", "none", ASK);
    await called.send(`${CHANGED}first`);
    called.got.take();
    expect([seen.header?.status, seen.headerEnd, seen.body]).toEqual([101, false, "first"]);
    called.connection.writeBody(Buffer.from("0\r\n\r\n"));
    called.connection.finishRequest();
    await called.pair.flush();
    expect([called.got.text, called.got.ended]).toEqual(["0\r\n\r\n", true]);
    await called.send("last");
    called.origin.end();
    await called.pair.flush();
    expect([seen.body, seen.ended]).toEqual(["firstlast", true]);
    called.connection.release();
    await called.pair.flush();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("that comes before the request body has ended: the body keeps its framing, and raw bytes follow", async () => {
    const called = call();
    const seen = called.request("POST", "unknown-length", ASK);
    await called.pair.flush();
    called.got.take();
    called.connection.writeBody(Buffer.from("abc"));
    await called.send(`${CHANGED}raw down`);
    expect([seen.header?.status, seen.body]).toEqual([101, "raw down"]);
    called.connection.writeBody(Buffer.from("def"));
    called.connection.finishRequest(HeaderFields.from({ "X-Sum": "1" }));
    called.connection.writeBody(Buffer.from("raw up"));
    await called.pair.flush();
    expect(called.got.text).toBe("6\r\nabcdef\r\n0\r\nX-Sum: 1\r\n\r\nraw up");
    expect(called.got.ended).toBe(false);
    called.connection.finishRequest();
    await called.pair.flush();
    expect(called.got.ended).toBe(true);
  });

  test("a body with a length is still held to it", async () => {
    const called = call();
    called.request("POST", "content-length", { ...ASK, "Content-Length": 5 });
    called.connection.writeBody(Buffer.from("abc"));
    await called.send(CHANGED);
    expect(() => called.connection.writeBody(Buffer.from("defg"))).toThrow(/2 bytes or more longer/);
    expect(() => called.connection.finishRequest()).toThrow(/ended 2 bytes before/);
    called.connection.writeBody(Buffer.from("de"));
    called.connection.finishRequest();
    called.connection.writeBody(Buffer.from("raw"));
    await called.pair.flush();
    expect(called.got.text).toMatch(/\r\n\r\nabcderaw$/);
  });

  test("that was not asked for is malformed", async () => {
    const called = call();
    const seen = called.request();
    await called.send(CHANGED);
    expect(seen.error?.message).toContain("a 101 that was not asked for");
  });

  test("what was cut is reset, also when its last bytes are still leaving", async () => {
    for (const ended of [false, true]) {
      const called = call({}, {}, { toRemote: { windowBytes: 10 }, highWaterMark: 10 });
      called.request("GET", "none", ASK);
      await called.send(CHANGED);
      called.origin.pause();
      called.connection.writeBody(Buffer.alloc(1000));
      if (ended) called.connection.finishRequest();
      await called.pair.flush();
      called.connection.destroy();
      called.origin.resume();
      await called.pair.flush();
      expect(called.got.error?.code, `ended: ${ended}`).toBe("ECONNRESET");
    }
  });

  test("what was written last arrives, however slowly the origin takes it", async () => {
    const called = call({}, {}, { toRemote: { windowBytes: 10 }, highWaterMark: 10 });
    const seen = called.request("GET", "none", ASK);
    await called.send(CHANGED);
    called.got.take();
    called.origin.pause();
    called.origin.end();
    called.connection.writeBody(Buffer.alloc(1000, "x"));
    called.connection.finishRequest();
    await called.pair.flush();
    expect(seen.ended).toBe(true);
    called.connection.release();
    await called.pair.flush();
    called.origin.resume();
    await called.pair.flush();
    expect(called.got.text).toBe("x".repeat(1000));
    expect([called.got.ended, called.got.error]).toEqual([true, undefined]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("an origin that takes nothing of it is cut after writeMs", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const called = call({ writeMs: 1000 }, {}, { toRemote: { windowBytes: 10 }, highWaterMark: 10 });
      called.request("GET", "none", ASK);
      await called.send(CHANGED);
      called.origin.pause();
      called.origin.end();
      called.connection.writeBody(Buffer.alloc(1000));
      called.connection.finishRequest();
      await called.pair.flush();
      called.connection.release();
      await vi.advanceTimersByTimeAsync(999);
      expect(called.pair.local.destroyed).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(called.pair.local.destroyed).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  test("an origin that has ended and then breaks the connection is an error, while the client may still send", async () => {
    const called = call();
    const seen = called.request("GET", "none", ASK);
    await called.send(CHANGED);
    called.origin.end();
    await called.pair.flush();
    expect(seen.ended).toBe(true);
    called.pair.local.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" }));
    await called.pair.flush();
    expect(seen.error).toMatchObject({ source: "upstream", cause: { code: "EPIPE" } });
  });
});

describe("CONNECT", () => {
  test.each([200, 204, 299])("%i opens a tunnel, whatever fields say of a body", async (status) => {
    const called = call();
    const seen = called.request("CONNECT");
    called.got.take();
    await called.send(
      `HTTP/1.1 ${status} Fine\r\nContent-Length: 2\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\nX: y\r\n\r\nok, more`,
    );
    expect(pairs(seen.header!)).toEqual([["X", "y"]]);
    expect([seen.headerEnd, seen.body]).toEqual([false, "ok, more"]);
    called.connection.writeBody(Buffer.from("up"));
    called.connection.finishRequest();
    await called.pair.flush();
    expect([called.got.text.endsWith("up"), called.got.ended]).toEqual([true, true]);
    called.origin.end();
    await called.pair.flush();
    expect(seen.ended).toBe(true);
    called.connection.release();
    expect(called.stored).toEqual([]);
  });

  test("any other answer is one as usual, and the connection may be used again", async () => {
    const called = call();
    const seen = called.request("CONNECT");
    await called.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    expect([seen.header?.status, seen.body, seen.ended]).toEqual([403, "no", true]);
    called.connection.release();
    expect(called.stored).toHaveLength(1);
  });
});
