import { ProxyError } from "@sluice/error";
import { HeaderFields, RequestHeader } from "@sluice/http";
import { afterEach, describe, expect, test, vi } from "vitest";
import { allOf, DIGEST, head, subrequested, taken } from "../../test/subrequests.ts";
import { SubrequestHandle } from "./subrequest-handle.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const LENGTH_5 = { "Content-Length": "5" };

afterEach(() => void vi.useRealTimers());

describe("the request", () => {
  test("has the addresses of its parent, as they were", () => {
    const digest = { ...DIGEST };
    const session = new SubrequestHandle().begin(RequestHeader.build("GET", "/", { Host: "a" }), digest, "none");
    digest.remoteAddress = undefined;
    expect(session.digest).toEqual(DIGEST);
  });

  test("has an absolute target in origin form, and its authority in Host", () => {
    const request = RequestHeader.build("GET", "http://b.test/x?y", { Host: "a.test" });
    const { request: read } = new SubrequestHandle().begin(request, DIGEST, "none");
    expect([read.target, read.get("host")]).toEqual(["/x?y", "b.test"]);
  });

  test("is begun once", () => {
    const { handle } = subrequested();
    expect(() => handle.begin(RequestHeader.build("GET", "/"), DIGEST, "none")).toThrow("begins one session only");
  });

  test("that was given up before it began has failed", () => {
    const handle = new SubrequestHandle();
    handle.cancel();
    const session = handle.begin(RequestHeader.build("GET", "/", { Host: "a" }), DIGEST, "none");
    expect(session.error).toMatchObject({ type: "WriteError", source: "downstream" });
  });
});

describe("the response head", () => {
  test("passes as it is, with nothing added", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, { Foo: "Bar" }), true);
    const event = await handle.next();
    if (event?.type !== "header") throw new Error("no head");
    expect([event.bodyless, event.header.status, [...event.header]]).toEqual([true, 200, [["Foo", "Bar"]]]);
  });

  test("is the reader's own: what it changes, the session does not see", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), true);
    const event = await handle.next();
    if (event?.type === "header") event.header.set("Foo", "Bar");
    expect(session.response!.has("foo")).toBe(false);
  });

  test("interim ones pass, and leave everything open", async () => {
    const { handle, session } = subrequested({}, "none", "HEAD");
    session.writeInformational(head(100));
    session.writeInformational(head(103));
    expect(session.response).toBeUndefined();
    session.writeHeader(head(200, LENGTH_5), false);
    session.writeInformational(head(103));
    session.finish();
    expect(await allOf(handle)).toEqual(["100", "103", "200", "end"]);
  });

  test.each([101, 200])("%i is none of an interim head", (status) => {
    expect(() => subrequested().session.writeInformational(head(status))).toThrow("cannot be that of an interim head");
  });

  test("a second final one is refused, and an interim one cannot be final", async () => {
    const { handle, session } = subrequested();
    expect(() => session.writeHeader(head(103), false)).toThrow("cannot be that of a final head");
    session.writeHeader(head(200), false);
    expect(() => session.writeHeader(head(502), true)).toThrow("a second response head (status 502)");
    session.finish();
    expect(await allOf(handle)).toEqual(["200", "end"]);
  });

  test("one with a length that is none is refused, and changes nothing", async () => {
    const { handle, session } = subrequested();
    expect(() => session.writeHeader(head(200, { "Content-Length": "x" }), false)).toThrow('Content-Length "x"');
    session.writeHeader(head(500), true);
    session.finish();
    expect(await allOf(handle)).toEqual(["500", "end"]);
  });
});

describe("the response body", () => {
  test("of known length", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, LENGTH_5), false);
    session.writeBody(bytes("he"));
    session.writeBody(bytes("llo"));
    session.finish();
    expect([session.responseBodyBytes, session.responseDone]).toEqual([5, true]);
    expect(await allOf(handle)).toEqual(["200", '"he"', '"llo"', "end"]);
  });

  test.each([{}, { "Transfer-Encoding": "chunked" }])("without length goes on until the end (%j)", async (fields) => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, fields), false);
    session.writeBody(bytes("hello"));
    session.finish();
    expect(await allOf(handle)).toEqual(["200", '"hello"', "end"]);
  });

  test.each([
    ["GET", 204, {}],
    ["GET", 205, {}],
    ["GET", 304, LENGTH_5],
    ["HEAD", 200, { "Content-Length": "10" }],
  ])("%s with %i has none: what is given is dropped and not counted", async (method, status, fields) => {
    const { handle, session } = subrequested({}, "none", method);
    session.writeHeader(head(status, fields), false);
    expect(session.writeBody(bytes("hello"))).toBe(true);
    session.finish();
    expect(session.responseBodyBytes).toBe(0);
    expect(await allOf(handle)).toEqual([String(status), "end"]);
  });

  test("that is longer than its length fails; what is too much is never sent", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, { "Content-Length": "3" }), false);
    expect(() => session.writeBody(bytes("abcdef"))).toThrow("3 bytes or more longer than its Content-Length");
    expect(session.responseBodyBytes).toBe(0);
    session.abort();
    expect(await allOf(handle)).toEqual(["200", "cut: ConnectionClosed"]);
  });

  test("that was said to be none is none", () => {
    const { session } = subrequested();
    session.writeHeader(head(200), true);
    expect(() => session.writeBody(bytes("a"))).toThrow("longer than its Content-Length");
  });

  test("that is shorter than its length is cut, with no end", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, LENGTH_5), false);
    session.writeBody(bytes("he"));
    expect(() => session.finish()).toThrow("ended 3 bytes before its Content-Length");
    expect(session.responseDone).toBe(false);
    expect(await allOf(handle)).toEqual(["200", '"he"', "cut: PrematureBodyEnd"]);
  });

  test("of which every byte came is complete, also if nobody said so", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, LENGTH_5), false);
    session.writeBody(bytes("hello"));
    session.close();
    expect(await allOf(handle)).toEqual(["200", '"hello"', "end"]);
  });

  test("before the head is a defect, and nothing of it is there", () => {
    const { handle, session } = subrequested();
    expect(() => session.writeBody(bytes("a"))).toThrow("body bytes before the response head");
    expect(() => session.finish()).toThrow("finished before its head was written");
    expect(handle.waiting).toBe(0);
  });

  test("an empty piece is none", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    expect(session.writeBody(new Uint8Array(0))).toBe(true);
    session.finish();
    expect(await allOf(handle)).toEqual(["200", "end"]);
  });

  test("what comes after the end has no effect", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    session.finish();
    session.finish(HeaderFields.from({ sum: "1" }));
    expect(session.writeBody(bytes("late"))).toBe(true);
    session.abort();
    session.close();
    expect([session.responseBodyBytes, await allOf(handle)]).toEqual([0, ["200", "end"]]);
  });
});

describe("trailers", () => {
  const trailers = HeaderFields.from({ sum: "1" });

  test("come after the body, before the end", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    session.writeBody(bytes("hello"));
    session.finish(trailers);
    expect(await allOf(handle)).toEqual(["200", '"hello"', "trailers", "end"]);
  });

  test("do not make up for missing bytes", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200, LENGTH_5), false);
    expect(() => session.finish(trailers)).toThrow("ended 5 bytes before");
    expect(await allOf(handle)).toEqual(["200", "cut: PrematureBodyEnd"]);
  });

  test("come and the end, too, when nobody has taken anything yet", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    for (const text of ["a", "b", "c", "d"]) session.writeBody(bytes(text));
    session.finish(trailers);
    expect(await allOf(handle)).toEqual(["200", '"a"', '"b"', '"c"', '"d"', "trailers", "end"]);
  });
});

describe("a change of protocol", () => {
  test("may be asked for as by a client, and never to what carries HTTP", () => {
    const wanted = (upgrade: string): string | undefined =>
      subrequested({ Connection: "upgrade", Upgrade: upgrade }).session.upgrade;
    expect(["ws", "h2c", "h2c, ws"].map(wanted)).toEqual(["ws", undefined, "ws"]);
  });

  test("passes the head and raw bytes, and no other head follows", async () => {
    const { handle, session } = subrequested({ Connection: "upgrade", Upgrade: "ws" });
    expect(session.upgrade).toBe("ws");
    session.writeHeader(head(101, { Upgrade: "ws" }), false);
    session.writeBody(bytes("raw"));
    expect(() => session.writeHeader(head(502), true)).toThrow("a second response head");
    session.finish();
    expect(await allOf(handle)).toEqual(["101", '"raw"', "end"]);
  });
});

describe("a reader that is behind", () => {
  test("is waited for, and loses nothing", async () => {
    const { handle, session, seen } = subrequested();
    session.events = seen;
    session.writeHeader(head(200), false);
    expect(["a", "b", "c", "d", "e"].map((text) => session.writeBody(bytes(text)))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(seen.drains).toBe(0);
    // Each that is taken is gone, and none comes twice.
    const words: string[] = [];
    while (handle.waiting > 0) words.push(...(await taken(handle)));
    expect([words, seen.drains]).toEqual([["200", '"a"', '"b"', '"c"', '"d"', '"e"'], 1]);
    session.finish();
    expect(await allOf(handle)).toEqual(["end"]);
  });

  test("for longer than writeMs fails the request, after what came before", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    const { handle, session, seen } = subrequested({}, "none", "GET", { writeMs: 100 });
    session.events = seen;
    session.writeHeader(head(200), false);
    for (const text of ["a", "b", "c"]) session.writeBody(bytes(text));
    vi.advanceTimersByTime(80);
    await handle.next();
    vi.advanceTimersByTime(80);
    expect(seen.error).toBeUndefined();
    vi.advanceTimersByTime(30);
    expect(seen.error).toMatchObject({ type: "WriteTimedout", source: "downstream" });
    expect(await allOf(handle)).toEqual(['"a"', '"b"', '"c"', "cut: WriteTimedout"]);
  });

  test("has a minute, unless told otherwise", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    for (const [options, failsAfterMs] of [
      [{}, 60_000],
      [{ writeMs: 0 }, Number.POSITIVE_INFINITY],
    ] as const) {
      const { session } = subrequested({}, "none", "GET", options);
      session.writeHeader(head(200), false);
      session.writeBody(Buffer.alloc(65_536));
      vi.advanceTimersByTime(59_000);
      expect(session.error).toBeUndefined();
      vi.advanceTimersByTime(3_600_000);
      expect(session.error !== undefined).toBe(failsAfterMs < 3_600_000);
    }
  });

  test("has as long as it likes with limits disabled, whatever the app sets", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    const { handle, session } = subrequested();
    handle.disableLimits();
    session.limits.writeMs = 100;
    session.writeHeader(head(200), false);
    session.writeBody(Buffer.alloc(65_536));
    vi.advanceTimersByTime(3_600_000);
    expect(session.error).toBeUndefined();
  });

  test("whoever is up to date has no limit", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    const { session } = subrequested({}, "none", "GET", { writeMs: 100 });
    session.writeHeader(head(200), false);
    session.writeBody(bytes("a little"));
    vi.advanceTimersByTime(3_600_000);
    expect(session.error).toBeUndefined();
  });

  test("the memory of what is given stays as it is, unless it is thrown away", () => {
    const { handle, session } = subrequested();
    expect(session.holdsBytes).toBe(true);
    void handle.drain();
    expect(session.holdsBytes).toBe(false);
  });
});

describe("a reader that leaves", () => {
  test("is a WriteError, told to whoever waits", async () => {
    const { handle, session, seen } = subrequested({}, "none");
    let gone: ProxyError | undefined;
    session.onGone = (error) => (gone = error);
    session.events = seen;
    session.writeHeader(head(200), false);
    handle.cancel();
    expect(session.error).toMatchObject({ type: "WriteError", source: "downstream" });
    expect([gone, seen.error]).toEqual([session.error, session.error]);
    // What is written now goes nowhere, and is no error.
    expect(session.writeBody(bytes("a"))).toBe(true);
    expect(session.responseBodyBytes).toBe(0);
    session.finish();
    expect(await taken(handle)).toEqual(["200"]);
    await expect(handle.next()).rejects.toMatchObject({ type: "WriteError" });
  });

  test("may say why", () => {
    const { handle, session } = subrequested({}, "none");
    const reason = ProxyError.downstream("ConnectionClosed", "the client closed");
    handle.cancel(reason);
    handle.cancel();
    expect(session.error).toBe(reason);
  });

  test("after the end changes nothing", () => {
    const { handle, session } = subrequested({}, "none");
    session.writeHeader(head(200), true);
    session.finish();
    handle.cancel();
    expect(session.error).toBeUndefined();
  });

  test("after the end of one direction of a tunnel ends the other", () => {
    const { handle, session, seen } = subrequested({ Connection: "upgrade", Upgrade: "ws" });
    session.events = seen;
    session.writeHeader(head(101, { Upgrade: "ws" }), false);
    session.finish();
    handle.cancel();
    expect(seen.error).toMatchObject({ type: "ConnectionClosed" });
  });
});

describe("failures", () => {
  test("the first is told; a response that was begun is cut and says why", async () => {
    const { handle, session } = subrequested();
    const first = ProxyError.upstream("ReadTimedout", "no byte for 5 ms");
    session.writeHeader(head(200), false);
    session.reportFailure(first);
    session.reportFailure(ProxyError.internal("InternalError"));
    session.abort();
    session.close();
    expect(await handle.proxyError).toBe(first);
    await handle.next();
    await expect(handle.next()).rejects.toMatchObject({ type: "ReadTimedout", source: "upstream", cause: first });
  });

  test("one after the end leaves the response whole", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), true);
    session.finish();
    const late = ProxyError.internal("InternalError", "in logging");
    session.reportFailure(late);
    session.abort();
    expect(await allOf(handle)).toEqual(["200", "end"]);
    expect(await handle.proxyError).toBe(late);
  });

  test("none is told when there was none", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), true);
    session.finish();
    session.close();
    expect(await handle.proxyError).toBeUndefined();
  });

  test("what was begun and left is cut", async () => {
    const { handle, session } = subrequested();
    session.writeHeader(head(200), false);
    session.writeBody(bytes("a"));
    session.close();
    expect(await allOf(handle)).toEqual(["200", '"a"', "cut: ConnectionClosed"]);
  });

  test("without any answer there is nothing to read, and the error if one is known", async () => {
    const silent = subrequested();
    silent.session.close();
    expect(await allOf(silent.handle)).toEqual([]);
    const failed = subrequested();
    failed.session.reportFailure(ProxyError.upstream("ConnectRefused"));
    failed.session.close();
    expect(await allOf(failed.handle)).toEqual(["cut: ConnectRefused"]);
  });
});
