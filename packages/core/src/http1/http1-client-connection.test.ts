import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { call, seeResponse, type Called } from "../../test/harness.ts";
import { configureLogs } from "../log/logger.ts";
import { turn } from "../testing/index.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => void vi.useRealTimers());

function freezeTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
}

async function advance(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await turn();
}

/** One clean exchange; the connection is released at its end. */
async function exchange(called: Called, response = OK): Promise<void> {
  const seen = called.request();
  await called.send(response);
  expect(seen.ended).toBe(true);
  called.connection.release();
  await called.pair.flush();
}

test("a stream that gives strings fails its request, and is closed", async () => {
  const called = call();
  const seen = called.request();
  called.pair.local.setEncoding("latin1");
  await called.send(OK);
  expect(seen.error).toMatchObject({
    type: "ReadError",
    source: "upstream",
    cause: { message: "the stream of a connection must give bytes; it gave string" },
  });
  expect(called.pair.local.destroyed).toBe(true);
});

describe("the request", () => {
  test("is written as given, with framing by the session", async () => {
    const called = call();
    called.request("GET", "none", { "x-Foo": "Bar" });
    await called.pair.flush();
    expect(called.got.text).toBe("GET / HTTP/1.1\r\nHost: a.test\r\nx-Foo: Bar\r\n\r\n");
  });

  test("head and small body leave in one write", async () => {
    const called = call();
    const { connection } = called;
    connection.prepare(false, { readMs: 0, writeMs: 0, idleMs: undefined });
    const seen = called.request("POST", "content-length", { "Content-Length": 3 });
    connection.writeBody(Buffer.from("abc"));
    connection.finishRequest();
    await called.pair.flush();
    expect(seen.error).toBeUndefined();
    expect(called.got.text).toMatch(/^POST \/ HTTP\/1\.1\r\n.*Content-Length: 3\r\n\r\nabc$/s);
  });

  test("of unknown length is chunked, with trailers; what comes together is one chunk", async () => {
    const called = call();
    called.request("POST", "unknown-length", { "Content-Length": 9 });
    called.connection.writeBody(Buffer.from("abc"));
    called.connection.flush();
    called.connection.writeBody(Buffer.from("0123456789"));
    called.connection.writeBody(Buffer.alloc(0));
    called.connection.writeBody(Buffer.from("abcdef"));
    called.connection.finishRequest(HeaderFields.from({ "X-Sum": "1", "Transfer-Encoding": "x" }));
    await called.pair.flush();
    expect(called.got.text).toBe(
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
  });

  test.for([{}, { "Content-Length": "x" }, { "Content-Length": "-1" }])(
    "with a body that %j cannot end is an error, and nothing is sent",
    async (fields) => {
      const called = call();
      expect(() => called.request("POST", "content-length", fields as Record<string, string>)).toThrow(
        expect.objectContaining({ type: "InvalidHTTPHeader", source: "internal" }),
      );
      await called.pair.flush();
      expect(called.got.text).toBe("");
    },
  );

  test("longer than its Content-Length is an error, and never looks complete", async () => {
    const called = call();
    called.request("POST", "content-length", { "Content-Length": 3 });
    called.connection.writeBody(Buffer.from("ab"));
    expect(() => called.connection.writeBody(Buffer.from("cd"))).toThrow(
      /1 bytes or more longer than its Content-Length/,
    );
    called.connection.flush();
    await called.pair.flush();
    expect(called.got.text).toMatch(/\r\n\r\nab$/);
  });

  test("shorter than its Content-Length is an error, and never looks complete", () => {
    const called = call();
    called.request("POST", "content-length", { "Content-Length": 3 });
    called.connection.writeBody(Buffer.from("ab"));
    expect(() => called.connection.finishRequest()).toThrow(/1 bytes before its Content-Length/);
  });

  test("in chunks leaves together on flush", () => {
    const called = call();
    called.request("POST", "unknown-length");
    const before = called.pair.local.writes.length;
    for (const letter of "abc") called.connection.writeBody(Buffer.alloc(5000, letter));
    expect(called.pair.local.writes.length).toBe(before);
    expect(called.connection.flush()).toBe(true);
    expect(called.pair.local.writes.length).toBe(before + 1);
    expect(called.pair.local.writes.at(-1)!.length).toBeGreaterThan(15_000);
  });

  test("goes up whole with a head of any size, of which nothing leaves before it is told to", async () => {
    // Heads just below, at and above what is held at most of other text.
    for (let bytes = 15_980; bytes <= 16_020; bytes++) {
      const called = call();
      const { connection } = called;
      connection.prepare(false, { readMs: 0, writeMs: 0, idleMs: undefined });
      const beside = "POST / HTTP/1.1\r\nHost: a.test\r\nX: \r\nTransfer-Encoding: chunked\r\n\r\n".length;
      const header = RequestHeader.build("POST", "/", { Host: "a.test", X: "x".repeat(bytes - beside) });
      connection.writeRequest(header, "unknown-length", seeResponse());
      expect(called.pair.local.writes).toEqual([]);
      connection.writeBody(Buffer.from("abc"));
      if (bytes % 2 === 0) connection.flush();
      connection.writeBody(Buffer.from("def"));
      connection.finishRequest();
      await turn();
      await called.pair.flush();
      const chunks = bytes % 2 === 0 ? "3\r\nabc\r\n3\r\ndef\r\n" : "6\r\nabcdef\r\n";
      expect(called.got.text.slice(bytes)).toBe(`${chunks}0\r\n\r\n`);
    }
  });

  test("to an origin that reads slowly makes flush say false, and is waited for", async () => {
    const called = call({}, {}, { highWaterMark: 1000, toRemote: { windowBytes: 1000 } });
    const seen = called.request("POST", "unknown-length");
    called.origin.pause();
    let writable = true;
    let written = 0;
    while (writable && written < 1_000_000) {
      called.connection.writeBody(Buffer.alloc(10_000, "x"));
      writable = called.connection.flush();
      written += 10_000;
    }
    expect(writable).toBe(false);
    expect(written).toBeLessThan(200_000);
    expect(seen.drains).toBe(0);
    called.origin.resume();
    await called.pair.flush();
    expect(seen.drains).toBe(1);
    called.connection.finishRequest();
    await called.pair.flush();
    expect(called.got.text.match(/x/g)).toHaveLength(written);
    expect(called.got.text).toMatch(/\r\n0\r\n\r\n$/);
  });
});

describe("the response", () => {
  test("comes as header, data, end, then the batch is over", async () => {
    const called = call();
    const seen = called.request();
    await called.send(OK);
    expect(seen.order).toEqual(["header", "data", "end"]);
    expect([seen.headerEnd, seen.body, seen.batches]).toEqual([false, "ok", 1]);
    expect(called.connection.receivedBytes).toBe(OK.length);
  });

  test("without a body says so with its header, and still ends", async () => {
    const called = call();
    const seen = called.request();
    await called.send(EMPTY);
    expect(seen.order).toEqual(["header", "end"]);
    expect(seen.headerEnd).toBe(true);
  });

  test("interim heads come first, each by itself", async () => {
    const called = call();
    const seen = called.request();
    await called.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
    expect(seen.informational).toEqual([100, 103]);
    await called.send(OK);
    expect(seen.order).toEqual(["informational", "informational", "header", "data", "end"]);
  });

  test("trailers come with the end", async () => {
    const called = call();
    const seen = called.request();
    await called.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nb: 2\r\n\r\n");
    expect(seen.trailers).toEqual([
      ["X-Sum", "1"],
      ["b", "2"],
    ]);
  });

  test.for(["Content-Length: 300000", "Transfer-Encoding: chunked", "A: until close"])(
    "pause slows the origin down: %s",
    async (field) => {
      const body = "x".repeat(300_000);
      const framed = field.startsWith("T") ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
      const called = call({}, {}, { highWaterMark: 1000, toLocal: { windowBytes: 1000 } });
      const seen = called.request();
      const { onResponseData } = seen;
      seen.onResponseData = (chunk) => {
        if (seen.body === "") called.connection.pause();
        onResponseData(chunk);
      };
      called.origin.write(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${framed}`, "latin1");
      if (field.startsWith("A")) called.origin.end();
      await called.pair.flush();
      expect(seen.body.length).toBeGreaterThan(0);
      expect(seen.body.length).toBeLessThan(5000);
      expect(called.origin.writableLength).toBeGreaterThan(290_000);
      called.connection.resume();
      await called.pair.flush();
      expect(seen.body).toBe(body);
      expect(seen.ended).toBe(true);
    },
  );

  test("nothing comes while paused, neither end nor error; all of it comes after resume", async () => {
    const called = call();
    const seen = called.request();
    seen.onResponseHeader = () => {
      seen.order.push("header");
      called.connection.pause();
    };
    await called.send("HTTP/1.1 200 OK\r\n\r\nabc");
    called.origin.end();
    await called.pair.flush();
    expect(seen.order).toEqual(["header"]);
    called.connection.resume();
    await called.pair.flush();
    expect(seen.order).toEqual(["header", "data", "end"]);
    expect(seen.body).toBe("abc");
  });

  test("destroy inside any event is the last of it", async () => {
    for (const stopAt of ["onInformational", "onResponseHeader", "onResponseData", "onResponseEnd"] as const) {
      const called = call();
      const seen = called.request();
      const original = seen[stopAt] as (...args: unknown[]) => void;
      seen[stopAt] = (...args: unknown[]) => {
        original(...args);
        called.connection.destroy();
      };
      await called.send(`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`);
      const all = ["informational", "header", "data", "end"];
      const name = stopAt.replace("onResponse", "").replace("on", "").toLowerCase();
      expect(seen.order, stopAt).toEqual(all.slice(0, all.indexOf(name) + 1));
      expect(called.pair.local.destroyed, stopAt).toBe(true);
    }
  });

  test("that is no HTTP/1 is an upstream error, and the connection closes", async () => {
    const called = call();
    const seen = called.request();
    await called.send("SSH-2.0-OpenSSH_9.6\r\n");
    expect(seen.error).toMatchObject({ type: "InvalidHTTPHeader", source: "upstream", retry: false });
    expect(called.pair.local.destroyed).toBe(true);
    expect(called.forgotten).toEqual([]);
  });
});

describe("an origin that leaves", () => {
  const RESPONSES = {
    "Content-Length": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
    chunked: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "chunked with trailers": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nA: b\r\n\r\n",
    "behind an interim head": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
  };
  const LEAVING = {
    "ends its direction": (called: Called) => void called.origin.end(),
    closes: (called: Called) => void called.origin.destroy(),
    resets: (called: Called) => void called.origin.resetAndDestroy(),
  };

  describe.each(Object.entries(RESPONSES))("%s", (_, response) => {
    test.each(Object.entries(LEAVING))("%s at every byte: never complete, never reused", async (how, leave) => {
      for (let bytes = 0; bytes < response.length; bytes++) {
        const called = call();
        const seen = called.request();
        await called.send(response.slice(0, bytes));
        leave(called);
        await called.pair.flush();
        const label = `after ${bytes} bytes`;
        expect(seen.ended, label).toBe(false);
        expect(seen.error, label).toMatchObject({
          type: how === "resets" ? "ReadError" : "ConnectionClosed",
          source: "upstream",
          // Only of a request to which not a byte came is it known that nobody answers it any more.
          retry: bytes === 0 ? "reusedOnly" : false,
        });
        expect("abcd".startsWith(seen.body), label).toBe(true);
        called.connection.release();
        expect(called.stored, label).toEqual([]);
        expect(called.pair.local.destroyed, label).toBe(true);
        expect(
          seen.order.filter((event) => event === "error"),
          label,
        ).toHaveLength(1);
      }
    });
  });

  test("a body until the connection ends is complete by an end", async () => {
    const head = "HTTP/1.1 200 OK\r\n\r\n";
    for (const body of ["", "a", "abcd"]) {
      const called = call();
      const seen = called.request();
      await called.send(head + body);
      called.origin.end();
      await called.pair.flush();
      expect([seen.ended, seen.body, seen.error]).toEqual([true, body, undefined]);
      called.connection.release();
      expect(called.stored).toEqual([]);
      expect(called.pair.local.destroyed).toBe(true);
    }
  });

  test("a body until the connection ends is not complete by a reset, at any byte", async () => {
    const response = "HTTP/1.1 200 OK\r\n\r\nabcd";
    for (let bytes = 0; bytes <= response.length; bytes++) {
      const called = call();
      const seen = called.request();
      if (bytes > 0) await called.send(response.slice(0, bytes));
      called.origin.resetAndDestroy();
      await called.pair.flush();
      expect(seen.ended, `after ${bytes} bytes`).toBe(false);
      expect(seen.error, `after ${bytes} bytes`).toMatchObject({ type: "ReadError", cause: { code: "ECONNRESET" } });
    }
  });

  test("a body until the connection ends is not complete by our own side's close", async () => {
    const called = call();
    const seen = called.request();
    await called.send("HTTP/1.1 200 OK\r\n\r\nabcd");
    called.pair.local.destroy();
    await turn();
    expect(seen.ended).toBe(false);
    expect(seen.error?.type).toBe("ConnectionClosed");
  });

  test("while the response waits in a paused session: what came is delivered, then the end is told", async () => {
    const called = call();
    const seen = called.request();
    const { onResponseData } = seen;
    seen.onResponseData = (chunk) => {
      onResponseData(chunk);
      called.connection.pause();
    };
    await called.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
    called.origin.end();
    await called.pair.flush();
    expect(seen.order).toEqual(["header", "data"]);
    called.connection.resume();
    expect(seen.body).toBe("ab");
    called.connection.resume();
    await called.pair.flush();
    expect(seen.error?.type).toBe("ConnectionClosed");
    expect(seen.ended).toBe(false);
  });

  test("before the request is written: told all the same", async () => {
    const called = call();
    called.origin.end();
    await called.pair.flush();
    const seen = called.request();
    await called.pair.flush();
    expect(seen.error).toMatchObject({ type: "ConnectionClosed", retry: "reusedOnly" });
  });

  test("while the request body is being sent", async () => {
    const called = call();
    const seen = called.request("POST", "unknown-length");
    called.connection.writeBody(Buffer.from("abc"));
    await called.pair.flush();
    called.origin.resetAndDestroy();
    await called.pair.flush();
    expect(seen.error?.type).toBe("ReadError");
    expect(() => called.connection.writeBody(Buffer.from("more"))).not.toThrow();
    expect(() => called.connection.finishRequest()).not.toThrow();
    await called.pair.flush();
    expect(seen.order).toEqual(["error"]);
  });
});

describe("an early response", () => {
  test("is delivered while the request body is still being sent; the connection is not used again", async () => {
    const called = call();
    const seen = called.request("POST", "content-length", { "Content-Length": 10 });
    called.connection.writeBody(Buffer.from("abc"));
    await called.send(OK);
    expect(seen.ended).toBe(true);
    called.connection.release();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("does not hinder reuse if the request is sent to its end", async () => {
    const called = call();
    called.request("POST", "content-length", { "Content-Length": 3 });
    await called.send(OK);
    called.connection.writeBody(Buffer.from("abc"));
    called.connection.finishRequest();
    called.connection.release();
    expect(called.stored).toHaveLength(1);
  });
});

describe("reuse", () => {
  test("one exchange after another on one connection", async () => {
    const called = call();
    for (let n = 1; n <= 3; n++) {
      await exchange(called);
      expect(called.stored).toHaveLength(n);
      expect(called.connection.reused).toBe(n > 1);
      expect(called.connection.receivedBytes).toBe(OK.length);
    }
    expect(called.forgotten).toEqual([]);
  });

  test("a release inside onResponseEnd works too", async () => {
    const called = call();
    const seen = called.request();
    seen.onResponseEnd = () => called.connection.release();
    await called.send(OK);
    expect(called.stored).toHaveLength(1);
    await exchange(called);
    expect(called.stored).toHaveLength(2);
  });

  test("nothing of one exchange is left in the next", async () => {
    const called = call();
    const first = called.request("HEAD");
    await called.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nKeep-Alive: timeout=5\r\n\r\n");
    expect(first.ended).toBe(true);
    called.connection.release();
    const second = called.request("GET");
    await called.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n");
    called.connection.release();
    const third = called.request("GET");
    await called.send(OK);
    called.connection.release();
    expect([second.body, second.trailers, third.body, third.trailers]).toEqual(["a", [["A", "b"]], "ok", undefined]);
    expect(called.stored.map(({ idleMs }) => idleMs)).toEqual([4000, undefined, undefined]);
  });

  test("not before the response has ended", async () => {
    const called = call();
    called.request();
    await called.send(OK.slice(0, -1));
    called.connection.release();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("not before a response has begun", () => {
    const called = call();
    called.request();
    called.connection.release();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("not after an interim head alone", async () => {
    const called = call();
    called.request();
    await called.send("HTTP/1.1 100 Continue\r\n\r\n");
    called.connection.release();
    expect(called.stored).toEqual([]);
  });

  test("not with bytes behind the response, whether they came with it or after it", async () => {
    for (const together of [true, false]) {
      const called = call();
      called.request();
      await called.send(together ? `${OK}HTTP/1.1 200 OK\r\n` : OK);
      if (!together) await called.send("HTTP/1.1 200 OK\r\n");
      called.connection.release();
      expect(called.stored).toEqual([]);
      expect(called.pair.local.destroyed).toBe(true);
    }
  });

  test("not after the origin ended its direction", async () => {
    const called = call();
    called.request();
    await called.send(OK);
    called.origin.end();
    await called.pair.flush();
    called.connection.release();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("not after destroy", async () => {
    const called = call();
    called.request();
    await called.send(OK);
    called.connection.destroy();
    expect(called.stored).toEqual([]);
    expect(called.pair.local.destroyed).toBe(true);
  });

  test.for([
    ["timeout=5", undefined, 4000],
    ["timeout=5, max=1000", undefined, 4000],
    ["max=1000,timeout=5", undefined, 4000],
    [" max = 1000 , timeout = 5 ", undefined, 4000],
    ["timeout=5", 3000, 3000],
    ["timeout=5", 60_000, 4000],
    ["timeout=1", undefined, 0],
    ["timeout=0", undefined, 0],
    ["max=5", undefined, undefined],
    ["max=5", 100, 100],
    ["timeout=x", 100, 100],
    ["xtimeout=5", 100, 100],
    ["a=b", undefined, undefined],
    ["", undefined, undefined],
  ] as const)("Keep-Alive: %s with idleMs %s keeps it for %s ms", async ([value, idleMs, expected]) => {
    const called = call({ idleMs });
    await exchange(called, EMPTY.replace("\r\n\r\n", `\r\nKeep-Alive: ${value}\r\n\r\n`));
    expect(called.stored).toEqual([{ idleMs: expected }]);
  });
});

describe("while idle", () => {
  test("any byte closes it: nobody asked for it", async () => {
    const called = call();
    await exchange(called);
    await called.send("x");
    expect(called.forgotten[0]).toBe("unexpected-data");
    expect(called.pair.local.destroyed).toBe(true);
    expect(called.connection.idleState()).toBe("closed");
    expect(lines.join("")).toContain("origin.test:80");
  });

  test("even bytes that look like a response", async () => {
    const called = call();
    await exchange(called);
    await called.send(OK);
    expect(called.forgotten[0]).toBe("unexpected-data");
  });

  test.for(["end", "reset"])("an %s of the origin is noticed, and is no news for the log", async (how) => {
    const called = call();
    await exchange(called);
    if (how === "end") called.origin.end();
    else called.origin.resetAndDestroy();
    await called.pair.flush();
    expect(called.forgotten).toContain("closed");
    expect(called.connection.idleState()).toBe("closed");
    expect(called.pair.local.destroyed).toBe(true);
    expect(lines).toEqual([]);
  });

  test("bytes on a connection that was never used are noticed too", async () => {
    const called = call();
    await called.send("220 smtp.test ESMTP\r\n");
    expect(called.forgotten).toContain("unexpected-data");
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("closeIdle closes", async () => {
    const called = call();
    await exchange(called);
    called.connection.closeIdle("evicted");
    await called.pair.flush();
    expect(called.got.closed || called.got.ended).toBe(true);
    expect(called.connection.idleState()).toBe("closed");
  });
});

describe("time", () => {
  beforeEach(freezeTime);

  test("no head within readMs", async () => {
    const called = call({ readMs: 1000 });
    const seen = called.request();
    await advance(999);
    expect(seen.error).toBeUndefined();
    await advance(2);
    expect(seen.error).toMatchObject({ type: "ReadTimedout", source: "upstream", retry: false });
    expect(seen.error!.message).toContain("response head");
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("readMs is a wait for the next bytes, not for all of them", async () => {
    const called = call({ readMs: 1000 });
    const seen = called.request();
    for (const byte of OK) {
      await advance(900);
      await called.send(byte);
    }
    expect([seen.ended, seen.body, seen.error]).toEqual([true, "ok", undefined]);
    await advance(10_000);
    expect(seen.error).toBeUndefined();
  });

  test("no more of the body within readMs", async () => {
    const called = call({ readMs: 1000 });
    const seen = called.request();
    await called.send(OK.slice(0, -1));
    await advance(1001);
    expect(seen.error?.type).toBe("ReadTimedout");
    expect(seen.error!.message).toContain("response body");
    expect(seen.ended).toBe(false);
  });

  test("does not run while the request is still being sent", async () => {
    const called = call({ readMs: 1000 });
    const seen = called.request("POST", "unknown-length");
    await advance(10_000);
    called.connection.writeBody(Buffer.from("a"));
    await advance(10_000);
    expect(seen.error).toBeUndefined();
    called.connection.finishRequest();
    await advance(1001);
    expect(seen.error?.type).toBe("ReadTimedout");
  });

  test("does not run while the session is paused", async () => {
    const called = call({ readMs: 1000 });
    const seen = called.request();
    await called.send(OK.slice(0, -1));
    called.connection.pause();
    await advance(10_000);
    expect(seen.error).toBeUndefined();
    called.connection.resume();
    await advance(1001);
    expect(seen.error?.type).toBe("ReadTimedout");
  });

  test("does not run while idle, nor into the next exchange", async () => {
    const called = call({ readMs: 1000 });
    await exchange(called);
    await advance(10_000);
    expect(called.pair.local.destroyed).toBe(false);
    const seen = called.request();
    await advance(999);
    expect(seen.error).toBeUndefined();
    await advance(2);
    expect(seen.error?.type).toBe("ReadTimedout");
  });

  test("an origin that takes nothing for writeMs", async () => {
    const called = call({ writeMs: 1000 }, {}, { toRemote: { windowBytes: 1000 } });
    called.origin.pause();
    const seen = called.request("POST", "unknown-length");
    called.connection.writeBody(Buffer.alloc(200_000));
    expect(called.connection.flush()).toBe(false);
    await advance(999);
    expect(seen.error).toBeUndefined();
    await advance(2);
    expect(seen.error).toMatchObject({ type: "WriteTimedout", source: "upstream", retry: false });
    expect(called.pair.local.destroyed).toBe(true);
  });

  test("an origin that takes it in time, and then lets us wait for the next bytes of the client", async () => {
    const called = call({ writeMs: 1000 }, {}, { toRemote: { windowBytes: 1000 } });
    called.origin.pause();
    const seen = called.request("POST", "unknown-length");
    called.connection.writeBody(Buffer.alloc(200_000));
    called.connection.flush();
    await advance(900);
    called.origin.resume();
    await called.pair.flush();
    await advance(10_000);
    expect([seen.drains, seen.error]).toEqual([1, undefined]);
  });

  test("0 waits for ever", async () => {
    const called = call({ readMs: 0, writeMs: 0 });
    const seen = called.request();
    await advance(1e9);
    await called.send(OK);
    expect(seen.ended).toBe(true);
  });

  test("no timer is left behind by a closed connection", async () => {
    const called = call({ readMs: 1000, writeMs: 1000 });
    called.request();
    called.connection.destroy();
    await called.pair.flush();
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("the digest shows the addresses and is the same for every exchange", async () => {
  const addresses = { remoteAddress: "::1", remotePort: 80, localAddress: "127.0.0.1", localPort: 5 };
  const called = call({}, {}, { addresses });
  const { digest } = called.connection;
  await exchange(called);
  expect(digest.remoteAddress).toBe("[::1]:80");
  expect(digest.localAddress).toBe("127.0.0.1:5");
  expect(digest.tls).toBeUndefined();
  expect(called.connection.digest).toBe(digest);
});

test("the response head is the caller's to alter", async () => {
  const called = call();
  const seen = called.request();
  await called.send(OK);
  expect(seen.header).toBeInstanceOf(ResponseHeader);
  seen.header!.set("content-length", 5);
  called.connection.release();
  expect(called.stored).toHaveLength(1);
});
