import { HeaderFields } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { subrequested, type Subrequested } from "../../test/subrequests.ts";
import { configureLogs } from "../log/logger.ts";
import { head } from "../../test/subrequests.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const CHUNKED = { "Transfer-Encoding": "chunked" };
const LENGTH_10 = { "Content-Length": "10" };
const UPGRADE = { Connection: "upgrade", Upgrade: "ws" };

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => void vi.useRealTimers());

/** Reads from now on. */
function reading(subrequest: Subrequested): Subrequested {
  subrequest.session.events = subrequest.seen;
  return subrequest;
}

describe("a body of known length", () => {
  test("is complete with its last byte, and the handle's end tells nothing new", () => {
    const { handle, session, seen } = reading(subrequested({ "Content-Length": "3" }));
    handle.writeBody(bytes("ab"));
    expect([session.requestBodyDone, seen.ended]).toEqual([false, false]);
    handle.writeBody(bytes("c"));
    expect([seen.body, session.requestBodyBytes, session.requestBodyDone, seen.ended]).toEqual(["abc", 3, true, true]);
    handle.finishBody();
    expect(seen.error).toBeUndefined();
  });

  test("waits for whoever reads it", () => {
    const subrequest = subrequested({ "Content-Length": "3" });
    subrequest.handle.writeBody(bytes("abc"));
    expect([subrequest.seen.body, subrequest.session.requestBodyDone]).toEqual(["", false]);
    reading(subrequest);
    expect([subrequest.seen.body, subrequest.seen.ended, subrequest.seen.batches]).toEqual(["abc", true, 1]);
  });

  test("that is ended too early is a PrematureBodyEnd, without an end", () => {
    const { handle, session, seen } = reading(subrequested({ "Content-Length": "3" }));
    handle.writeBody(bytes("ab"));
    handle.finishBody();
    expect(session.error).toMatchObject({ type: "PrematureBodyEnd", source: "downstream" });
    expect(seen.error).toBe(session.error);
    expect([seen.ended, session.requestBodyDone]).toEqual([false, false]);
  });

  test.each(["abcdef", "abc"])("that is too long (%s) is cut to its length, with a line in the log", (first) => {
    const { handle, seen } = reading(subrequested({ "Content-Length": "3" }));
    handle.writeBody(bytes(first));
    handle.writeBody(bytes("more"));
    handle.writeBody(bytes("and more"));
    expect([seen.body, seen.ended, seen.error]).toEqual(["abc", true, undefined]);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 40, request: "GET /path" });
  });

  test("of a subrequest that is given up is a ConnectionClosed", () => {
    const { handle, seen } = reading(subrequested({ "Content-Length": "3" }));
    handle.writeBody(bytes("ab"));
    handle.cancel();
    expect(seen.error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
    expect([seen.body, seen.ended]).toEqual(["ab", false]);
  });
});

describe("a body of known length whose end is held", () => {
  function held(): Subrequested {
    const subrequest = subrequested({ "Content-Length": "3" });
    subrequest.handle.holdEnd();
    return reading(subrequest);
  }

  test("is complete when the handle says so, with trailers", () => {
    const { handle, session, seen } = held();
    handle.writeBody(bytes("ab"));
    handle.writeBody(bytes("c"));
    expect([seen.body, session.requestBodyDone, seen.ended]).toEqual(["ab", false, false]);
    handle.finishBody(HeaderFields.from({ sum: "1" }));
    expect([seen.body, session.requestBodyBytes, session.requestBodyDone, seen.ended]).toEqual(["abc", 3, true, true]);
    expect(seen.trailers).toEqual([["sum", "1"]]);
  });

  test("is cut where the handle gives it up", () => {
    const { handle, seen } = held();
    handle.writeBody(bytes("abc"));
    handle.cancel();
    expect([seen.body, seen.ended, seen.error?.type]).toEqual(["", false, "ConnectionClosed"]);
  });

  test("takes no more and no less than that", () => {
    const more = held();
    for (const text of ["abcd", "e"]) more.handle.writeBody(bytes(text));
    more.handle.finishBody();
    expect([more.seen.body, more.seen.ended, lines.length]).toEqual(["abc", true, 1]);
    const less = held();
    less.handle.writeBody(bytes("ab"));
    less.handle.finishBody();
    expect([less.seen.ended, less.seen.error?.type]).toEqual([false, "PrematureBodyEnd"]);
  });

  test("has the other protocol behind its end", async () => {
    const subrequest = subrequested({ ...UPGRADE, ...LENGTH_10 });
    const { handle, session, seen } = subrequest;
    handle.holdEnd();
    reading(subrequest);
    handle.writeBody(bytes("0123456789"));
    session.writeHeader(head(101, { Upgrade: "ws" }), false);
    handle.finishBody();
    handle.writeBody(bytes("data"));
    await Promise.resolve();
    expect(seen.body).toBe("0123456789data");
    handle.finishBody();
    expect(session.requestBodyDone).toBe(true);
  });
});

describe("a body without length", () => {
  test.each([
    ["chunked", CHUNKED],
    ["neither", {}],
  ])("(%s) ends when the handle ends it, with its trailers", (_, fields) => {
    const { handle, session, seen } = reading(subrequested(fields));
    expect(session.requestBodyEmpty).toBe(false);
    handle.writeBody(bytes("ab"));
    handle.writeBody(bytes("c"));
    expect(seen.ended).toBe(false);
    handle.finishBody(HeaderFields.from({ sum: "1" }));
    expect([seen.body, seen.ended, seen.trailers]).toEqual(["abc", true, [["sum", "1"]]]);
  });

  test("both Transfer-Encoding and Content-Length: the length is taken away", () => {
    const { session, handle, seen } = reading(subrequested({ ...CHUNKED, "Content-Length": "1" }));
    handle.writeBody(bytes("ab"));
    handle.finishBody();
    expect([session.request.has("content-length"), seen.body, seen.ended]).toEqual([false, "ab", true]);
  });

  test("an empty piece is none", () => {
    const { handle, session, seen } = reading(subrequested(CHUNKED));
    const pieces: number[] = [];
    seen.onRequestData = (chunk) => void pieces.push(chunk.length);
    expect(handle.writeBody(new Uint8Array(0))).toBe(true);
    expect([pieces, session.requestBodyDone]).toEqual([[], false]);
  });
});

describe("no body", () => {
  test.each([
    ["none expected", { "Content-Length": "3" }, "none"],
    ["none expected, chunked", CHUNKED, "none"],
    ["Content-Length: 0", { "Content-Length": "0" }, "expect"],
  ] as const)("%s: empty from the start, and what comes is dropped", (_, fields, mode) => {
    const { handle, session, seen } = reading(subrequested(fields, mode));
    expect([session.requestBodyEmpty, session.requestBodyDone]).toEqual([true, true]);
    handle.writeBody(bytes("x"));
    handle.finishBody();
    expect([seen.body, seen.ended, seen.error]).toEqual(["", false, undefined]);
  });

  test("none expected: the fields of a body are gone, and no protocol is asked for", () => {
    const { session } = subrequested({ ...UPGRADE, "Content-Length": "3", "Content-Type": "a/b" }, "none");
    expect([session.request.has("content-length"), session.request.has("content-type")]).toEqual([false, false]);
    expect(session.upgrade).toBeUndefined();
  });
});

test.each(["-1", "abc", "1.5", "", "  ", "123abc"])("Content-Length %j cannot be served", (length) => {
  const { session } = subrequested({ "Content-Length": length });
  expect(session.error).toMatchObject({ type: "InvalidHTTPHeader", source: "downstream", status: 400 });
});

test.each([
  [
    "two lengths",
    [
      ["Content-Length", "3"],
      ["Content-Length", "3"],
    ],
    400,
  ],
  ["two Hosts", [["Host", "b.test"]], 400],
  ["a coding that is not understood", [["Transfer-Encoding", "gzip, chunked"]], 501],
] as const)("%s cannot be served", (_, fields, status) => {
  expect(subrequested(fields).session.error).toMatchObject({ type: "InvalidHTTPHeader", status });
});

test("a subrequest cannot ask for a tunnel by CONNECT", () => {
  expect(subrequested({}, "none", "CONNECT").session.error).toMatchObject({ status: 501, source: "downstream" });
});

describe("pace", () => {
  test("nothing comes while paused, and what waited comes in order", () => {
    const { handle, session, seen } = reading(subrequested(CHUNKED));
    seen.onRequestData = (chunk) => {
      seen.body += chunk.toString("latin1");
      session.pauseBody();
    };
    for (const text of ["a", "b"]) handle.writeBody(bytes(text));
    handle.finishBody();
    expect([seen.body, seen.ended]).toEqual(["a", false]);
    session.resumeBody();
    expect(seen.body).toBe("ab");
    session.resumeBody();
    expect(seen.ended).toBe(true);
  });

  test("the handle is asked to wait, and told to go on when all was read", () => {
    const { handle, session, seen } = subrequested(CHUNKED);
    let writable = 0;
    handle.onWritable = () => writable++;
    expect(handle.writeBody(Buffer.alloc(65_535))).toBe(true);
    expect(handle.writeBody(Buffer.alloc(1))).toBe(false);
    expect(writable).toBe(0);
    session.events = seen;
    expect([writable, seen.body.length]).toEqual([1, 65_536]);
  });

  test("after the request the handle is never asked to wait", () => {
    const { handle, session } = subrequested(CHUNKED);
    let writable = 0;
    handle.onWritable = () => writable++;
    handle.writeBody(Buffer.alloc(65_536));
    session.close();
    expect(writable).toBe(1);
    for (let n = 0; n < 6; n++) expect(handle.writeBody(Buffer.alloc(65_536))).toBe(true);
  });
});

describe("wantsBody", () => {
  test("is told at the first read", async () => {
    const { handle, session, seen } = subrequested(CHUNKED);
    let wanted: boolean | undefined;
    const told = handle.wantsBody.then((value) => (wanted = value));
    await Promise.resolve();
    expect(wanted).toBeUndefined();
    session.events = seen;
    expect(await told).toBe(true);
  });

  test.each([
    ["that never reads it", CHUNKED, "expect", false],
    ["that has none", {}, "none", true],
  ] as const)("is false for a request %s", async (_, fields, mode, reads) => {
    const subrequest = subrequested(fields, mode);
    if (reads) reading(subrequest);
    subrequest.session.close();
    expect(await subrequest.handle.wantsBody).toBe(false);
  });
});

describe("time for the next bytes", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] }));

  test("bodyMs without bytes is a ReadTimedout with status 408", () => {
    const { handle, seen } = reading(subrequested(CHUNKED, "expect", "POST", { bodyMs: 1000 }));
    vi.advanceTimersByTime(900);
    handle.writeBody(bytes("a"));
    vi.advanceTimersByTime(900);
    expect(seen.error).toBeUndefined();
    vi.advanceTimersByTime(200);
    expect(seen.error).toMatchObject({ type: "ReadTimedout", status: 408, source: "downstream" });
  });

  test("does not run while nobody reads, is paused, or needs nothing more", () => {
    const { handle, session, seen } = subrequested({ "Content-Length": "1" }, "expect", "POST", { bodyMs: 1000 });
    vi.advanceTimersByTime(5000);
    session.events = seen;
    session.pauseBody();
    vi.advanceTimersByTime(5000);
    session.resumeBody();
    handle.writeBody(bytes("a"));
    vi.advanceTimersByTime(5000);
    expect([seen.body, seen.error]).toEqual(["a", undefined]);
  });

  test("the app may set another one", () => {
    const subrequest = subrequested(CHUNKED);
    subrequest.session.limits.bodyMs = 500;
    reading(subrequest);
    vi.advanceTimersByTime(600);
    expect(subrequest.seen.error).toMatchObject({ type: "ReadTimedout" });
  });

  test("there is no limit without bodyMs, nor with limits disabled", () => {
    const { seen } = reading(subrequested(CHUNKED));
    const disabled = subrequested(CHUNKED, "expect", "POST", { bodyMs: 1000 });
    disabled.handle.disableLimits();
    reading(disabled);
    vi.advanceTimersByTime(24 * 3600 * 1000);
    expect([seen.error, disabled.seen.error]).toEqual([undefined, undefined]);
  });
});

describe("a change of protocol", () => {
  /** Answers 101 and lets what follows happen. */
  async function change({ session }: Subrequested): Promise<void> {
    session.writeHeader(head(101, { Upgrade: "ws" }), false);
    await Promise.resolve();
  }

  test.each([
    ["known length", LENGTH_10],
    ["no length", CHUNKED],
  ])("with a body of %s: the body ends, then bytes are raw, then our direction ends", async (_, fields) => {
    const subrequest = reading(subrequested({ ...UPGRADE, ...fields }));
    const { handle, session, seen } = subrequest;
    let ends = 0;
    seen.onRequestEnd = () => ends++;
    handle.writeBody(bytes("0123456789"));
    handle.finishBody();
    expect([seen.body, ends]).toEqual(["0123456789", 1]);
    // Sent before the other protocol is agreed on: they wait.
    handle.writeBody(bytes("data"));
    expect(seen.body).toBe("0123456789");
    await change(subrequest);
    expect([seen.body, session.requestBodyDone]).toEqual(["0123456789data", false]);
    handle.writeBody(bytes("more"));
    handle.finishBody();
    expect([seen.body, ends, session.requestBodyDone]).toEqual(["0123456789datamore", 2, true]);
  });

  test("bytes behind a body of known length wait, also if nobody ended it", async () => {
    const subrequest = reading(subrequested({ ...UPGRADE, ...LENGTH_10 }));
    subrequest.handle.writeBody(bytes("0123456789"));
    subrequest.handle.writeBody(bytes("data"));
    expect(subrequest.seen.body).toBe("0123456789");
    await change(subrequest);
    expect(subrequest.seen.body).toBe("0123456789data");
  });

  test.each([
    ["its length is 0", { "Content-Length": "0" }, "expect"],
    ["none is expected", { "Content-Length": "3" }, "upgrade"],
  ] as const)("without a body (%s) the first end is that of our direction", async (_, fields, mode) => {
    const subrequest = reading(subrequested({ ...UPGRADE, ...fields }, mode));
    expect(subrequest.session.requestBodyEmpty).toBe(true);
    await change(subrequest);
    subrequest.handle.writeBody(bytes("data"));
    subrequest.handle.finishBody();
    expect([subrequest.seen.body, subrequest.seen.ended]).toEqual(["data", true]);
  });

  test("another answer drops what had come for the other protocol", () => {
    const { handle, session, seen } = reading(subrequested({ ...UPGRADE, "Content-Length": "0" }));
    handle.writeBody(bytes("data"));
    session.writeHeader(head(502), true);
    handle.writeBody(bytes("data"));
    expect([seen.body, lines.length]).toEqual(["", 1]);
  });

  test("before the body is complete: it ends under its own framing first", async () => {
    const subrequest = reading(subrequested({ ...UPGRADE, ...LENGTH_10 }));
    const { handle, seen } = subrequest;
    let ends = 0;
    seen.onRequestEnd = () => ends++;
    handle.writeBody(bytes("01234"));
    await change(subrequest);
    expect([seen.body, ends]).toEqual(["01234", 0]);
    handle.writeBody(bytes("56789"));
    handle.finishBody();
    handle.writeBody(bytes("data"));
    await Promise.resolve();
    expect([seen.body, ends]).toEqual(["0123456789data", 1]);
    handle.finishBody();
    expect(ends).toBe(2);
  });

  test("is not begun by a 101 that nobody asked for", () => {
    const { session } = reading(subrequested(LENGTH_10));
    expect(() => session.writeHeader(head(101), false)).toThrow("a 101 to a request that did not ask");
    expect(session.response).toBeUndefined();
  });
});
