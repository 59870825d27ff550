import { ResponseHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { configureLogs } from "../src/log/logger.ts";
import { turn } from "../src/testing/index.ts";
import { answer, respond, serve, wholeBody, type Handler, type SeenRequest } from "./harness.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n";
const CLOSING = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
const post = (...fields: string[]): string =>
  `POST / HTTP/1.1\r\nHost: a.test\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;
const never = new Promise<void>(() => undefined);

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "debug", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => void vi.useRealTimers());

function freezeTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
}

async function advance(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await turn();
}

/** Sets limits of the first request, and then goes on. */
function withLimits(limits: object, handler: Handler = answer): Handler {
  let first = true;
  return (seen) => {
    if (first) Object.assign(seen.session.limits, limits);
    first = false;
    return handler(seen);
  };
}

describe("limits of one exchange", () => {
  beforeEach(freezeTime);

  test("bodyMs: the next request has that of the service again", async () => {
    const served = serve(withLimits({ bodyMs: 100 }, answer), { bodyMs: 1000 });
    await served.send(`${post("Content-Length: 3")}abc${post("Content-Length: 3")}a`);
    await advance(999);
    expect(served.requests.map(({ error }) => error)).toEqual([undefined, undefined]);
    await advance(2);
    expect(served.requests[1]!.error?.message).toContain("the client sent no body bytes for 1000 ms");
  });

  test("bodyMs: shorter than the service's, and named in the error", async () => {
    const served = serve(withLimits({ bodyMs: 100 }), { bodyMs: 1000 });
    await served.send(`${post("Content-Length: 3")}a`);
    await advance(101);
    expect(served.requests[0]!.error?.message).toContain("the client sent no body bytes for 100 ms");
    expect(served.got.text).toMatch(/^HTTP\/1\.1 408 /);
  });

  test.each([
    [{ writeMs: 100 }, 100, "the client took no bytes for 100 ms"],
    [{ minSendBytesPerSecond: 50_000 }, 4000, "the client took less than 50000 bytes a second"],
    [{ writeMs: 100, minSendBytesPerSecond: 50_000 }, 4000, "the client took less than 50000 bytes a second"],
  ])("%o: cut after %i ms", async (limits, ms, message) => {
    const served = serve(
      withLimits(limits, (seen) => {
        seen.session.events = seen;
        // Its head leaves with it, chunk size and all.
        seen.session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 300_000 }), false);
        seen.session.writeBody(Buffer.alloc(200_000));
        return never;
      }),
      { writeMs: 60_000 },
      { toRemote: { windowBytes: 1 }, highWaterMark: 1000 },
    );
    served.client.pause();
    await served.send(GET);
    await advance(ms - 1);
    expect(served.requests[0]!.error).toBeUndefined();
    await advance(ms / 100 + 1);
    expect(served.requests[0]!.error).toMatchObject({ type: "WriteTimedout", source: "downstream" });
    expect(served.requests[0]!.error!.message).toContain(message);
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("those of a response that is still leaving hold when the next request has come", async () => {
    const served = serve(
      withLimits({ writeMs: 100 }, (seen) => respond(seen.session, 200, "x".repeat(200_000))),
      { writeMs: 60_000 },
      { toRemote: { windowBytes: 1000 }, highWaterMark: 1000 },
    );
    served.client.pause();
    await served.send(GET + GET);
    await advance(101);
    expect(served.pair.local.destroyed).toBe(true);
    expect(lines.join("")).toContain("the client took no bytes for 100 ms");
  });

  test("a client that takes enough of its response while the connection closes is not cut, by rate", async () => {
    const served = serve(
      withLimits({ minSendBytesPerSecond: 1000 }, (seen) => {
        seen.session.disableKeepAlive();
        respond(seen.session, 200, "x".repeat(20_000));
      }),
      { lingerMs: 1000, writeMs: 1000 },
      { toRemote: { windowBytes: 100 }, highWaterMark: 1000 },
    );
    served.client.pause();
    await served.send(GET);
    // lingerMs, and then as long as 20,000 bytes may take.
    await advance(15_000);
    expect(served.pair.local.destroyed).toBe(false);
    served.client.resume();
    await served.pair.flush();
    expect(served.got.text).toMatch(/x{20000}$/);
  });

  test("keepAliveMs: for the wait after this request alone", async () => {
    const served = serve(withLimits({ keepAliveMs: 100 }), { keepAliveMs: 1000 });
    await served.send(GET);
    await advance(99);
    await served.send(GET);
    expect(served.got.text).toBe(OK + OK);
    await advance(999);
    expect(served.got.ended).toBe(false);
    await advance(2);
    expect(served.got.ended).toBe(true);
  });

  test("keepAliveMs 0 closes, and the response says so", async () => {
    const served = serve(withLimits({ keepAliveMs: 0 }));
    await served.send(GET + GET);
    expect(served.got.text).toBe(CLOSING);
    expect(served.got.ended).toBe(true);
    expect(served.requests).toHaveLength(1);
  });

  test("keepAliveMs Infinity waits for ever", async () => {
    const served = serve(withLimits({ keepAliveMs: Number.POSITIVE_INFINITY }), { keepAliveMs: 1000 });
    await served.send(GET);
    await advance(1e9);
    await served.send(GET);
    expect(served.got.text).toBe(OK + OK);
  });

  test.each([
    ["Connection: close", GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"],
    ["a contradictory framing", `${post("Transfer-Encoding: chunked", "Content-Length: 5")}0\r\n\r\n`],
  ])("nothing makes a connection go on that was to close: %s", async (_why, request) => {
    const served = serve(withLimits({ keepAliveMs: 60_000, earlyResponse: "drain" }));
    await served.send(request);
    expect(served.got.text).toBe(CLOSING);
    expect(served.got.ended).toBe(true);
  });

  test("no request that sets none has them made", async () => {
    const served = serve();
    await served.send(GET);
    expect((served.requests[0]!.session as { ownLimits?: unknown }).ownLimits).toBeUndefined();
  });
});

describe("earlyResponse: drain", () => {
  const early = withLimits.bind(undefined, { earlyResponse: "drain" });
  const refusal: Handler = (seen) => respond(seen.session, 200, "");

  test.each([
    ["Content-Length: 10", "abcdef", "ghij"],
    ["Transfer-Encoding: chunked", "3\r\nabc\r\n4\r", "\ndefg\r\n0\r\nA: b\r\n\r\n"],
  ])("the connection goes on behind the rest of the body (%s)", async (field, first, rest) => {
    const served = serve(early(refusal));
    await served.send(post(field) + first);
    expect(served.got.text).toBe(OK);
    expect(served.requests).toHaveLength(1);
    await served.send(rest + GET);
    expect(served.requests.map(({ session }) => session.request.method)).toEqual(["POST", "GET"]);
    expect(served.got.text).toBe(OK + OK);
    expect(served.got.ended).toBe(false);
  });

  test("as an option of the service, it holds for every request", async () => {
    const served = serve(refusal, { earlyResponse: "drain" });
    await served.send(`${post("Content-Length: 3")}abc`.repeat(3));
    expect(served.got.text).toBe(OK.repeat(3));
  });

  test("a client whose connection goes on may serve another, for those who keep something for it", async () => {
    let before: boolean | undefined;
    const served = serve(
      early((seen) => {
        respond(seen.session, 200, "");
        before ??= seen.session.servesAnother;
      }),
    );
    await served.send(post("Content-Length: 3"));
    expect(before).toBe(true);
  });

  test("what is in the middle of being read is read to its end", async () => {
    const served = serve(
      early((seen) => {
        seen.onRequestData = () => {
          if (seen.session.response === undefined) respond(seen.session, 200, "");
        };
        return wholeBody(seen);
      }),
    );
    await served.send(`${post("Content-Length: 6")}abc`);
    await served.send(`def${GET}`);
    expect(served.requests).toHaveLength(2);
    expect(served.got.text.startsWith(OK)).toBe(true);
  });

  test.each([
    ["is larger than maxDrainBytes, by what it says", { maxDrainBytes: 9 }, "Content-Length: 10", "abc"],
    ["belongs to a client that waits for 100 Continue", {}, "Expect: 100-continue\r\nContent-Length: 10", ""],
  ])("the response says close when the body %s", async (_why, limits, fields, begin) => {
    const served = serve(withLimits({ earlyResponse: "drain", ...limits }, refusal));
    await served.send(post(fields) + begin);
    expect(served.got.text).toBe(CLOSING);
    expect(served.got.ended).toBe(true);
  });

  test.each([
    ["was told to go on", true, ""],
    ["did not wait", false, "a"],
  ])("a client that expects 100 Continue and %s is read on", async (_what, told, begin) => {
    const served = serve(
      early(async (seen) => {
        const { session } = seen;
        if (told) session.writeInformational(ResponseHeader.build(100));
        else if (!session.requestBodyEmpty) {
          await new Promise<void>((resolve) => {
            seen.onRequestData = () => resolve();
            session.events = seen;
          });
        }
        respond(session, 200, "");
      }),
    );
    await served.send(post("Expect: 100-continue", "Content-Length: 3") + begin);
    await served.send("abc".slice(begin.length) + GET);
    expect(served.requests).toHaveLength(2);
    expect(served.got.text.replaceAll("HTTP/1.1 100 Continue\r\n\r\n", "")).toBe(OK + OK);
  });

  test("a chunked body that turns out larger than maxDrainBytes is not read to its end", async () => {
    const served = serve(withLimits({ earlyResponse: "drain", maxDrainBytes: 1000 }, refusal));
    await served.send(post("Transfer-Encoding: chunked"));
    for (let chunk = 0; chunk < 50; chunk++) await served.send(`64\r\n${"x".repeat(100)}\r\n`);
    expect(served.got.text).toBe(OK);
    expect(served.got.ended).toBe(true);
    await served.send(`0\r\n\r\n${GET}`);
    expect(served.requests).toHaveLength(1);
    expect(served.got.error).toBeUndefined();
    expect(lines.join("")).toContain("it is too long");
  });

  test.each([
    ["drainMs in all", { drainMs: 1000, bodyMs: 900 }, 999, 2],
    ["bodyMs between its bytes", { drainMs: 10_000, bodyMs: 600 }, 1099, 2],
  ])("no longer than %s", async (_what, limits, quiet, over) => {
    freezeTime();
    const served = serve(withLimits({ earlyResponse: "drain", ...limits }, refusal));
    await served.send(post("Content-Length: 10"));
    await advance(500);
    await served.send("a");
    await advance(quiet - 500);
    expect(served.got.ended).toBe(false);
    await advance(over);
    expect(served.got.ended).toBe(true);
    expect(lines.join("")).toContain("it does not come in time");
  });

  test("a malformed rest closes the connection, and is no request", async () => {
    const served = serve(early(refusal));
    await served.send(`${post("Transfer-Encoding: chunked")}1\r\na\r\nx\r\n${GET}`);
    expect(served.got.text).toBe(OK);
    expect(served.got.ended).toBe(true);
    expect(served.requests).toHaveLength(1);
    expect(lines.join("")).toContain("no chunk size");
  });

  test.each(["end", "resetAndDestroy"] as const)("a client that leaves meanwhile is no failure (%s)", async (how) => {
    const served = serve(early(refusal));
    await served.send(`${post("Content-Length: 10")}abc`);
    served.client[how]();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
    expect(served.requests.map(({ error }) => error)).toEqual([undefined]);
  });

  test("at a shutdown it is waited for, and the request behind it is the last", async () => {
    freezeTime();
    const served = serve(early(refusal));
    await served.send(`${post("Content-Length: 10")}abc`);
    served.connection.shutdown();
    for (const next of ["de", "fg", "hi"]) {
      await advance(999);
      await served.send(next);
    }
    await advance(999);
    await served.send(`j${GET}`);
    expect(served.got.text).toBe(OK + CLOSING);
    expect(served.got.ended).toBe(true);
  });

  test("a shutdown waits a second for a client that sends none of it", async () => {
    freezeTime();
    const served = serve(early(refusal));
    await served.send(`${post("Content-Length: 10")}abc`);
    served.connection.shutdown();
    await advance(999);
    expect(served.got.ended).toBe(false);
    await advance(2);
    expect(served.got.ended).toBe(true);
  });

  test("a response that was cut drains nothing", async () => {
    const served = serve(
      early((seen) => {
        seen.session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 5 }), false);
        seen.session.writeBody(Buffer.from("ab"));
        seen.session.flush();
      }),
    );
    await served.send(`${post("Content-Length: 3")}abc`);
    expect(served.pair.local.destroyed).toBe(true);
  });
});

describe("interim: drop", () => {
  const hints = (seen: SeenRequest): void => {
    for (const status of [100, 102, 103]) seen.session.writeInformational(ResponseHeader.build(status));
    respond(seen.session, 200, "");
  };
  const statuses = (text: string): string[] => text.match(/(?<=HTTP\/1\.1 )\d+/g) ?? [];

  test("keeps interim heads from the client", async () => {
    const served = serve(withLimits({ interim: "drop" }, hints));
    await served.send(GET + GET);
    expect(statuses(served.got.text)).toEqual(["200", "100", "102", "103", "200"]);
  });

  test("but not the 100 that it asked for", async () => {
    const served = serve(hints, { interim: "drop" });
    await served.send(GET.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    expect(statuses(served.got.text)).toEqual(["100", "200"]);
  });

  test("nor a 101, which is none", async () => {
    const served = serve(({ session }) => session.writeHeader(ResponseHeader.build(101), false), { interim: "drop" });
    await served.send(GET.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    expect(statuses(served.got.text)).toEqual(["101"]);
  });
});

describe("halfClose: waits", () => {
  test("a client that ends its direction behind its request gets its response", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      seen.session.limits.halfClose = "waits";
      seen.session.events = seen;
      await gate.promise;
      respond(seen.session, 200, "");
    });
    await served.send(GET);
    served.client.end();
    await served.pair.flush();
    expect(served.requests[0]!.error).toBeUndefined();
    gate.resolve();
    await served.pair.flush();
    expect(served.got.text).toBe(CLOSING);
    expect(served.closedCount()).toBe(1);
  });

  test("a body that had come whole before is read to its end, however slowly", async () => {
    const served = serve(
      (seen) => {
        const { onRequestData } = seen;
        seen.onRequestData = (chunk) => {
          onRequestData(chunk);
          seen.session.pauseBody();
        };
        return answer(seen);
      },
      { halfClose: "waits" },
    );
    await served.send(`${post("Transfer-Encoding: chunked")}3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n`);
    served.client.end();
    await served.pair.flush();
    const [seen] = served.requests as [SeenRequest];
    expect([seen.body, seen.error]).toEqual(["abc", undefined]);
    while (!seen.ended) {
      seen.session.resumeBody();
      await served.pair.flush();
    }
    expect(seen.body).toBe("abcdef");
    expect(served.got.text).toContain("200 OK");
    expect(served.closedCount()).toBe(1);
  });

  test("within the request it has left all the same", async () => {
    const served = serve(answer, { halfClose: "waits" });
    await served.send(`${post("Content-Length: 3")}ab`);
    served.client.end();
    await served.pair.flush();
    const [seen] = served.requests as [SeenRequest];
    expect(seen.error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
    expect(seen.error!.message).toContain("before its request was complete");
    expect(seen.ended).toBe(false);
  });

  test("one who is gone is known when writing fails", async () => {
    const served = serve(
      ({ session }) => {
        session.writeHeader(ResponseHeader.build(200), false);
        return never;
      },
      { halfClose: "waits" },
    );
    await served.send(GET);
    served.client.end();
    await served.pair.flush();
    served.client.resetAndDestroy();
    const { session } = served.requests[0]!;
    expect(session.error).toBeUndefined();
    session.writeBody(Buffer.alloc(10_000));
    await served.pair.flush();
    expect(session.error).toMatchObject({ type: "ReadError", source: "downstream", cause: { code: "ECONNRESET" } });
    expect(served.closedCount()).toBe(1);
  });

  test("a response that is still leaving to such a client is bounded by its limits", async () => {
    freezeTime();
    const served = serve(
      (seen) => respond(seen.session, 200, "x".repeat(20_000)),
      { halfClose: "waits", lingerMs: 1000, writeMs: 1000 },
      { toRemote: { windowBytes: 100 }, highWaterMark: 1000 },
    );
    served.client.pause();
    served.client.write(GET, "latin1");
    served.client.end();
    await served.pair.flush();
    await advance(3000);
    expect(served.closedCount()).toBe(1);
  });

  test("without it, who ends has left", async () => {
    const served = serve(() => never);
    await served.send(GET);
    served.client.end();
    await served.pair.flush();
    expect(served.requests[0]!.session.error?.type).toBe("ConnectionClosed");
  });
});
