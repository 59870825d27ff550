import { HeaderFields, ResponseHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { answer, respond, serve, wholeBody, type Served, type SeenRequest } from "../../test/harness.ts";
import type { ServerSession } from "../http/server-session.ts";
import { configureLogs } from "../log/logger.ts";
import { streamPair, turn } from "../testing/index.ts";
import { Http1ServerConnection } from "./http1-server-connection.ts";
import { resolveHttp1ServerOptions } from "./server-options.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n";
const CLOSING = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");

const post = (...fields: string[]): string =>
  `POST / HTTP/1.1\r\nHost: a.test\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;

const never = new Promise<void>(() => undefined);

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
});

/** The clock stands still until a test moves it. */
function freezeTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
}
afterEach(() => void vi.useRealTimers());

async function advance(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await turn();
}

/** Serves a client that has sent a request, and takes of the response only what `pair` is told to pass on. */
function serveSlow(bodyBytes: number, options: Parameters<typeof serve>[1]): ReturnType<typeof serve> {
  const served = serve((seen) => respond(seen.session, 200, "x".repeat(bodyBytes)), options, {
    manual: true,
    toRemote: { windowBytes: 50 },
  });
  served.client.write(GET, "latin1");
  served.pair.step();
  return served;
}

describe("a response that is cut behind others", () => {
  const half = async ({ session }: SeenRequest): Promise<void> => {
    session.writeHeader(ResponseHeader.build(200, { "Content-Length": 4 }), false);
    session.writeBody(Buffer.from("ab"));
    session.abort();
  };

  test("does not take them from the client, and shows", async () => {
    const served = serve(
      (seen) => (served.requests.length < 3 ? respond(seen.session, 200, "whole") : half(seen)),
      { lingerMs: 1000 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(GET.repeat(4), "latin1");
    // All are answered before the client takes anything.
    served.pair.step();
    while (served.requests.length < 3) await turn();
    await served.pair.flush();
    expect(served.got.text).toMatch(
      /^(HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwhole){2}HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nab$/,
    );
    expect(served.got.ended).toBe(true);
    expect(served.requests).toHaveLength(3);
    served.client.end();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
    expect(served.connection.summary.reason).toBe("cut");
  });

  test.each([
    ["no body", (session: ServerSession) => session.writeHeader(ResponseHeader.build(204), true)],
    ["an empty one", (session: ServerSession) => session.writeHeader(ResponseHeader.build(200), true)],
  ])("is not sent where its head would be all of it: %s", async (_, begin) => {
    const served = serve(
      async (seen) => {
        if (served.requests.length < 2) return respond(seen.session, 200, "whole");
        begin(seen.session);
        seen.session.abort();
      },
      { lingerMs: 1000 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(GET.repeat(3), "latin1");
    served.pair.step();
    while (served.requests.length < 2) await turn();
    await served.pair.flush();
    expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwhole$/);
    expect(served.got.ended).toBe(true);
  });

  test.each([
    ["an app that gives none", async (): Promise<void> => undefined],
    [
      "an app that fails",
      async (): Promise<void> => {
        throw new Error("broken");
      },
    ],
    [
      "one to a client that has ended its direction, and is taken to have left",
      async ({ client, pair }: Served, { session }: SeenRequest): Promise<void> => {
        client.end();
        while (session.error === undefined) {
          pair.step();
          await turn();
        }
        session.abort();
      },
    ],
    [
      "one to a request that is malformed",
      async ({ client, pair }: Served, seen: SeenRequest): Promise<void> => {
        const { session } = seen;
        client.write("no chunk\r\n", "latin1");
        const failed = wholeBody(seen);
        pair.step();
        await failed;
        expect(session.error).toBeDefined();
        session.abort();
      },
    ],
  ])("does not take them from the client where no answer comes: %s", async (_, end) => {
    const served: Served = serve(
      (seen) => (served.requests.length < 3 ? respond(seen.session, 200, "whole") : end(served, seen)),
      { lingerMs: 1000 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(`${GET}${GET}${post("Transfer-Encoding: chunked")}`, "latin1");
    served.pair.step();
    while (served.requests.length < 3) await turn();
    await served.pair.flush();
    expect(served.got.text).toMatch(/^(HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwhole){2}$/);
    expect(served.got.ended).toBe(true);
  });

  test("does not take them from a client that reads late and sends more, though the system has had them all", async () => {
    const served = serve((seen) => (served.requests.length < 2 ? respond(seen.session, 200, "whole") : half(seen)), {
      lingerMs: 1000,
    });
    served.client.pause();
    for (let sent = 0; sent < 3; sent++) {
      await served.send(GET);
      expect(served.pair.local.writableLength).toBe(0);
    }
    served.client.resume();
    await served.pair.flush();
    expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwholeHTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nab$/);
    expect(served.got.ended).toBe(true);
  });

  describe("where the end of the connection would be taken for its end", () => {
    const ENDS_BY_CLOSING = "GET / HTTP/1.0\r\n\r\n";

    /** The second is broken off after `ms`. */
    function serveCut(ms: number): Served {
      return serve(
        async ({ session }) => {
          if (served.requests.length < 2) return respond(session, 200, "whole");
          session.writeHeader(ResponseHeader.build(200), false);
          session.writeBody(Buffer.from("ab"));
          if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
          session.abort();
        },
        { lingerMs: 1000 },
      );
    }
    let served: Served;

    test("does not take them from a client that reads late, and shows by a reset", async () => {
      freezeTime();
      served = serveCut(0);
      served.client.pause();
      await served.send(GET + ENDS_BY_CLOSING);
      await advance(900);
      served.client.resume();
      await served.pair.flush();
      expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwholeHTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nab$/);
      expect(served.got.events).toEqual(["data"]);
      await advance(100);
      await served.pair.flush();
      expect(served.got.ended).toBe(false);
      expect(served.got.error?.code).toBe("ECONNRESET");
      expect(served.closedCount()).toBe(1);
      expect(served.connection.summary.reason).toBe("cut");
    });

    test("shows at once when they have had that time", async () => {
      freezeTime();
      served = serveCut(1000);
      await served.send(GET + ENDS_BY_CLOSING);
      await advance(1000);
      await served.pair.flush();
      expect(served.got.ended).toBe(false);
      expect(served.got.error?.code).toBe("ECONNRESET");
      expect(served.closedCount()).toBe(1);
    });

    test("shows at the end of a server that does not wait", async () => {
      freezeTime();
      served = serveCut(0);
      await served.send(GET + ENDS_BY_CLOSING);
      served.connection.destroy();
      await served.pair.flush();
      expect(served.got.ended).toBe(false);
      expect(served.got.error?.code).toBe("ECONNRESET");
    });
  });

  test("nothing is said behind it: what its app still writes goes nowhere, and takes nothing from the client", async () => {
    const served = serve(
      async ({ session }) => {
        if (served.requests.length === 2) session.abort();
        respond(session, 200, "whole");
        await turn();
      },
      { lingerMs: 1000 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(GET.repeat(3), "latin1");
    served.pair.step();
    while (served.requests.length < 2) await turn();
    await served.pair.flush();
    expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwhole$/);
    expect(served.got.ended).toBe(true);
  });

  test("tells whoever still works on it", async () => {
    const served = serve(
      async (seen) => {
        if (served.requests.length === 1) return respond(seen.session, 200, "whole");
        seen.session.events = seen;
        seen.session.abort();
        while (seen.error === undefined) await turn();
      },
      { lingerMs: 1000 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(GET.repeat(2), "latin1");
    served.pair.step();
    while (served.requests[1]?.error === undefined) await turn();
    expect(served.requests[1].error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
  });

  test("does not wait for ever for a client that does not read them", async () => {
    freezeTime();
    const served = serve(
      (seen) => (served.requests.length < 2 ? respond(seen.session, 200, "whole") : half(seen)),
      { lingerMs: 1000, writeMs: 500 },
      { manual: true, toRemote: { windowBytes: 50 } },
    );
    served.client.write(GET.repeat(2), "latin1");
    served.pair.step();
    while (served.requests.length < 2) await turn();
    await advance(3000);
    expect(served.closedCount()).toBe(1);
  });
});

describe("keep-alive", () => {
  test("one request after another is answered on one connection", async () => {
    const served = serve();
    for (let n = 1; n <= 3; n++) {
      await served.send(GET);
      expect(served.requests).toHaveLength(n);
      expect(served.got.take()).toBe(OK);
    }
    expect(served.got.ended).toBe(false);
  });

  test.for([1, 2, 5])("maxRequests %i serves exactly so many, and the last one says so", async (maxRequests) => {
    const served = serve(answer, { maxRequests });
    await served.send(GET.repeat(maxRequests + 2));
    expect(served.requests).toHaveLength(maxRequests);
    expect(served.got.text).toBe(OK.repeat(maxRequests - 1) + CLOSING);
    expect(served.got.ended).toBe(true);
  });

  test("a client of HTTP/1.0 that asked for it is told keep-alive", async () => {
    const served = serve();
    await served.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(served.got.text).toBe(OK.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"));
    expect(served.got.ended).toBe(false);
  });

  test("disableKeepAlive closes after the response, which says so", async () => {
    const served = serve((seen) => {
      seen.session.disableKeepAlive();
      respond(seen.session, 200, "");
    });
    await served.send(GET);
    expect(served.got.text).toBe(CLOSING);
    expect(served.got.ended).toBe(true);
  });

  test("the next request waits until the handler's promise resolves", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      respond(seen.session, 200, "");
      if (served.requests.length === 1) await gate.promise;
    });
    await served.send(GET + GET);
    expect(served.requests).toHaveLength(1);
    expect(served.got.text).toBe(OK);
    gate.resolve();
    await served.pair.flush();
    expect(served.requests).toHaveLength(2);
    expect(served.got.text).toBe(OK + OK);
  });

  test("a session that is over reaches no longer into the connection", async () => {
    const served = serve((seen) => respond(seen.session, 200, ""));
    await served.send(GET);
    const late = served.requests[0]!.session;
    late.flush();
    late.pauseBody();
    late.resumeBody();
    late.abort();
    expect(late.writeBody(Buffer.from("late"))).toBe(true);
    await served.send(GET);
    expect(served.got.text).toBe(OK + OK);
  });
});

describe("pipelining", () => {
  test("answers come in order, however long each takes", async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const served = serve(async (seen) => {
      await gates[served.requests.length - 1]?.promise;
      respond(seen.session, 200, seen.session.request.target);
    });
    await served.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    gates[1]!.resolve();
    await served.pair.flush();
    expect(served.got.text).toBe("");
    gates[0]!.resolve();
    await served.pair.flush();
    expect(served.got.text.match(/^\/\d/gm)?.map((line) => line.slice(0, 2))).toEqual(["/1", "/2", "/3"]);
  });

  test("bytes of the next request do not reach the one being served", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      await wholeBody(seen);
      if (served.requests.length === 1) await gate.promise;
      respond(seen.session, 200, seen.body);
    });
    await served.send(`${post("Content-Length: 3")}abc${post("Content-Length: 3")}de`);
    expect(served.requests.map(({ body }) => body)).toEqual(["abc"]);
    gate.resolve();
    await served.send("f");
    expect(served.requests.map(({ body }) => body)).toEqual(["abc", "def"]);
  });

  test("a flood of requests behind one that takes long is stopped by the window, and served in the end", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(
      async (seen) => {
        await gate.promise;
        respond(seen.session, 200, "");
      },
      {},
      { toLocal: { windowBytes: 1000, pieceBytes: 1000 } },
    );
    const count = 10_000;
    await served.send(GET.repeat(count));
    expect(served.client.writableLength).toBeGreaterThan(100_000);
    gate.resolve();
    await served.pair.flush();
    expect(served.requests).toHaveLength(count);
    expect(served.client.writableLength).toBe(0);
    expect(served.got.text).toBe(OK.repeat(count));
  });
});

describe("request bodies", () => {
  test("arrive piece by piece, then their end, then the batch is over", async () => {
    const order: string[] = [];
    const served = serve((seen) => {
      seen.onRequestData = (chunk) => order.push(chunk.toString());
      seen.onRequestEnd = () => order.push("end");
      seen.onRequestBatch = () => order.push("batch");
      seen.session.events = seen;
      return never;
    });
    await served.send(`${post("Content-Length: 4")}ab`);
    await served.send("cd");
    expect(order).toEqual(["ab", "batch", "cd", "end", "batch"]);
  });

  test("wait while nobody drives the session, and are counted as they are delivered", async () => {
    const served = serve(() => never);
    await served.send(`${post("Content-Length: 4")}ab`);
    const [seen] = served.requests as [SeenRequest];
    const { session } = seen;
    expect([session.requestBodyEmpty, session.requestBodyDone, session.requestBodyBytes]).toEqual([false, false, 0]);
    session.events = seen;
    expect([seen.body, session.requestBodyDone, session.requestBodyBytes]).toEqual(["ab", false, 2]);
    session.events = undefined;
    await served.send("cd");
    expect(seen.body).toBe("ab");
    session.events = seen;
    expect([seen.body, seen.ended, session.requestBodyDone, session.requestBodyBytes]).toEqual(["abcd", true, true, 4]);
  });

  test("a request without one is known to have none", async () => {
    const served = serve(() => never);
    await served.send(GET);
    const { session } = served.requests[0]!;
    expect([session.requestBodyEmpty, session.requestBodyDone, session.requestBodyBytes]).toEqual([true, true, 0]);
  });

  test("a chunked one is not known to be empty before its end", async () => {
    const served = serve();
    await served.send(`${post("Transfer-Encoding: chunked")}0\r\n\r\n`);
    expect(served.requests[0]!.session.requestBodyEmpty).toBe(false);
    expect(served.requests[0]!.ended).toBe(true);
    expect(served.got.text).toBe(OK);
  });

  test("trailers come with the end", async () => {
    const served = serve();
    await served.send(`${post("Transfer-Encoding: chunked")}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n`);
    expect(served.requests[0]!.trailers).toEqual([["X-Sum", "1"]]);
  });

  test.for(["Content-Length: 300000", "Transfer-Encoding: chunked"])(
    "pauseBody slows the client down: %s",
    async (field) => {
      const body = "x".repeat(300_000);
      const framed = field.startsWith("C") ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
      const served = serve(
        (seen) => {
          const { onRequestData } = seen;
          seen.onRequestData = (chunk) => {
            onRequestData(chunk);
            if (seen.body.length === chunk.length) seen.session.pauseBody();
          };
          return answer(seen);
        },
        {},
        { highWaterMark: 1000, toLocal: { windowBytes: 1000 } },
      );
      await served.send(post(field) + framed);
      const [seen] = served.requests as [SeenRequest];
      expect(seen.body.length).toBeGreaterThan(0);
      expect(seen.body.length).toBeLessThan(5000);
      expect(served.client.writableLength).toBeGreaterThan(290_000);
      seen.session.resumeBody();
      await served.pair.flush();
      expect(seen.body).toBe(body);
      expect(served.got.text).toContain(`Content-Length: 300000`);
      expect(served.got.ended).toBe(false);
    },
  );

  test("one that is malformed ends the session; it can still be answered, and the connection closes", async () => {
    const served = serve();
    await served.send(`${post("Transfer-Encoding: chunked")}1\r\na\r\nx`);
    const [seen] = served.requests as [SeenRequest];
    expect(seen.error?.type).toBe("InvalidChunk");
    expect(seen.error?.source).toBe("downstream");
    expect(seen.ended).toBe(false);
    expect(served.got.text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*Connection: close\r\n\r\n/s);
    expect(served.got.ended).toBe(true);
  });
});

describe("responses", () => {
  test("Content-Length given by the app", async () => {
    const served = serve((seen) => respond(seen.session, 200, "hello"));
    await served.send(GET);
    expect(served.got.text).toBe("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello");
    expect(served.requests[0]!.session.responseBodyBytes).toBe(5);
  });

  test("a small head and body leave in one write", async () => {
    const served = serve((seen) => respond(seen.session, 200, "hello"));
    await served.send(GET);
    expect(served.pair.local.writes).toHaveLength(1);
  });

  test("without a length: chunked to HTTP/1.1, with trailers", async () => {
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
      session.writeBody(Buffer.from("abc"));
      session.writeBody(Buffer.alloc(0));
      session.writeBody(Buffer.from("0123456789abcdef"));
      session.finish(HeaderFields.from({ "X-Sum": "1", "Content-Length": "5", Host: "x" }));
    });
    await served.send(GET);
    expect(served.got.text).toBe(
      "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    expect(served.requests[0]!.session.responseBodyBytes).toBe(19);
    expect(served.got.ended).toBe(false);
  });

  test("without a length: until the connection ends to HTTP/1.0, whatever it asked for", async () => {
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
      session.writeBody(Buffer.from("abc"));
      session.finish();
    });
    await served.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(served.got.text).toBe("HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\nabc");
    expect(served.got.ended).toBe(true);
  });

  test("an end without a length is Content-Length 0", async () => {
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now" }), true);
      session.finish();
    });
    await served.send(GET);
    expect(served.got.text).toBe(OK);
  });

  test("a Date is added where there is none", async () => {
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200), true);
      session.finish();
    });
    await served.send(GET);
    expect(served.got.text).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/);
  });

  test.for([
    ["HEAD", 200, "Content-Length: 5\r\n"],
    ["GET", 204, ""],
    ["GET", 304, "Content-Length: 5\r\n"],
  ] as const)("%s %i has no body, and the connection goes on", async ([method, status, length]) => {
    const served = serve(({ session }) => {
      const fields: Record<string, string> = length === "" ? { Date: "now" } : { Date: "now", "Content-Length": "5" };
      session.writeHeader(ResponseHeader.build(status, fields), false);
      expect(session.writeBody(Buffer.from("hello"))).toBe(true);
      session.finish();
    });
    await served.send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(2));
    const one = new RegExp(`^HTTP/1.1 ${status} [A-Za-z ]+\r\nDate: now\r\n${length}\r\n`);
    const [first] = one.exec(served.got.text)!;
    expect(served.got.text).toBe(first + first);
    expect(served.requests[0]!.session.responseBodyBytes).toBe(0);
    expect(served.got.ended).toBe(false);
  });

  test("the fields that frame are the session's own", async () => {
    const served = serve(({ session }) => {
      const fields = { Date: "now", Connection: "x", "Transfer-Encoding": "gzip", "x-b": "1" };
      session.writeHeader(ResponseHeader.build(200, fields), true);
      session.finish();
    });
    await served.send(GET);
    expect(served.got.text).toBe("HTTP/1.1 200 OK\r\nDate: now\r\nx-b: 1\r\nContent-Length: 0\r\n\r\n");
  });

  test("one longer than its Content-Length is an error of the app, and never looks complete", async () => {
    const errors: unknown[] = [];
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 3 }), false);
      session.writeBody(Buffer.from("ab"));
      try {
        session.writeBody(Buffer.from("cd"));
      } catch (error) {
        errors.push(error);
      }
      session.flush();
    });
    await served.send(GET);
    expect(errors).toMatchObject([{ type: "InternalError", source: "internal" }]);
    expect(served.got.text).toBe("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 3\r\n\r\nab");
  });

  test.each([100, 103, 199])("a final head with status %i is an error of the app", async (status) => {
    const errors: unknown[] = [];
    const served = serve((seen) => {
      try {
        seen.session.writeHeader(ResponseHeader.build(status), true);
      } catch (error) {
        errors.push(error);
      }
      return respond(seen.session, 200, "ok");
    });
    await served.send(GET);
    expect(errors).toMatchObject([{ type: "InternalError" }]);
    expect(served.got.text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  });

  test("an interim head with a final status is an error of the app", async () => {
    const served = serve((seen) => {
      expect(() => seen.session.writeInformational(ResponseHeader.build(203))).toThrow(/interim head/);
      return respond(seen.session, 200, "ok");
    });
    await served.send(GET);
    expect(served.got.text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  });

  test("the method that the client sent decides whether there is a body, whatever it was edited to", async () => {
    const served = serve((seen) => {
      seen.session.request.method = "GET";
      return respond(seen.session, 200, "body");
    });
    await served.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(served.got.text).toMatch(/Content-Length: 4\r\n(?:.*\r\n)*\r\n$/);
  });

  test("one shorter than its Content-Length cuts the connection, and the app is told", async () => {
    const errors: unknown[] = [];
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 3 }), false);
      session.writeBody(Buffer.from("ab"));
      try {
        session.finish();
      } catch (error) {
        errors.push(error);
      }
    });
    await served.send(GET + GET);
    expect(errors).toMatchObject([{ type: "PrematureBodyEnd" }]);
    expect(served.requests).toHaveLength(1);
    expect(served.got.text).toMatch(/\r\n\r\nab$/);
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("one that was not finished when the handler resolved cuts the connection", async () => {
    const served = serve(({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
      session.writeBody(Buffer.from("ab"));
    });
    await served.send(GET + GET);
    expect(served.requests).toHaveLength(1);
    expect(served.got.text).not.toContain("0\r\n\r\n");
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("one whose head is all of it, and that was not finished, is not sent", async () => {
    const served = serve(async ({ session }) => session.writeHeader(ResponseHeader.build(204), true));
    served.client.write(GET, "latin1");
    await served.pair.flush();
    expect(served.got.text).toBe("");
    expect(served.closedCount()).toBe(1);
  });

  test("abort of one that ends with the connection is a reset, so that it cannot look complete", async () => {
    const served = serve(async ({ session }) => {
      session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
      session.writeBody(Buffer.from("ab"));
      session.flush();
      await turn();
      session.abort();
    });
    await served.send("GET / HTTP/1.0\r\n\r\n");
    expect(served.got.text).toMatch(/ab$/);
    expect(served.got.error?.code).toBe("ECONNRESET");
    expect(served.got.ended).toBe(false);
  });

  test("a second head is an error, body bytes before the head too, and so is an end without a head", async () => {
    const errors: unknown[] = [];
    const attempt = (what: () => void): void => {
      try {
        what();
      } catch (error) {
        errors.push(error);
      }
    };
    const served = serve(({ session }) => {
      attempt(() => session.writeBody(Buffer.from("x")));
      attempt(() => session.finish());
      respond(session, 200, "");
      attempt(() => session.writeHeader(ResponseHeader.build(200), true));
    });
    await served.send(GET);
    expect(errors).toMatchObject([{ type: "InternalError" }, { type: "InternalError" }, { type: "InternalError" }]);
    expect(served.got.text).toBe(OK);
  });

  test.for(["-1", "abc", "", "1.5"])(
    "a Content-Length of %j by the app is an error, and nothing is written",
    async (length) => {
      const errors: unknown[] = [];
      const served = serve(({ session }) => {
        const header = ResponseHeader.build(200, { "Content-Length": length });
        try {
          session.writeHeader(header, false);
        } catch (error) {
          errors.push(error);
        }
        respond(session, 500, "");
      });
      await served.send(GET);
      expect(errors).toMatchObject([{ type: "InvalidHTTPHeader", source: "internal" }]);
      expect(served.got.text).toMatch(/^HTTP\/1\.1 500 /);
    },
  );

  test("interim heads go out at once, before the final one, and not after it", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async ({ session }) => {
      session.writeInformational(ResponseHeader.build(100));
      session.writeInformational(ResponseHeader.build(103, { Link: "</a>" }));
      await gate.promise;
      respond(session, 200, "");
      session.writeInformational(ResponseHeader.build(103));
    });
    await served.send(GET);
    expect(served.got.take()).toBe("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    gate.resolve();
    await served.pair.flush();
    expect(served.got.text).toBe(OK);
  });

  test("interim heads are kept from HTTP/1.0", async () => {
    const served = serve(({ session }) => {
      session.writeInformational(ResponseHeader.build(103));
      respond(session, 200, "");
    });
    await served.send("GET / HTTP/1.0\r\n\r\n");
    expect(served.got.text).toBe(CLOSING);
  });

  test("a client that reads slowly makes writeBody say false, and is waited for", async () => {
    const served = serve(
      async (seen) => {
        const { session } = seen;
        session.events = seen;
        session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
        for (let n = 0; n < 50; n++) {
          if (session.writeBody(Buffer.alloc(10_000, "x"))) continue;
          await new Promise<void>((resolve) => (seen.onDownstreamWritable = resolve));
          seen.drains++;
        }
        session.finish();
      },
      {},
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    expect(served.got.text).toBe("");
    expect(served.pair.local.writableLength).toBeLessThan(200_000);
    served.client.resume();
    await served.pair.flush();
    expect(served.requests[0]!.drains).toBeGreaterThan(1);
    expect(
      served.got.text
        .split("\r\n")
        .filter((line) => /^x+$/.test(line))
        .join(""),
    ).toBe("x".repeat(500_000));
    expect(served.got.text).toMatch(/\r\n0\r\n\r\n$/);
  });
});

describe("an early response", () => {
  test("closes the connection, and says so: the rest of the body is no request", async () => {
    const served = serve((seen) => respond(seen.session, 200, ""));
    await served.send(`${post("Content-Length: 10")}abc`);
    expect(served.got.text).toBe(CLOSING);
    expect(served.got.ended).toBe(true);
    await served.send(`defg${GET}`);
    expect(served.requests).toHaveLength(1);
    expect(served.pair.local.destroyed).toBe(false);
    expect(served.got.error).toBeUndefined();
  });

  test("whose head is written before the body ends closes too, even if the body ends meanwhile", async () => {
    const served = serve(async (seen) => {
      seen.session.writeHeader(ResponseHeader.build(200, { Date: "now" }), false);
      await wholeBody(seen);
      seen.session.finish();
    });
    await served.send(post("Content-Length: 3"));
    await served.send(`abc${GET}`);
    expect(served.got.text).toContain("Connection: close");
    expect(served.requests).toHaveLength(1);
    expect(served.got.ended).toBe(true);
  });
});

describe("closing", () => {
  test("lingers: what the client still sends is read and dropped, until it ends", async () => {
    const served = serve();
    await served.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    expect(served.got.ended).toBe(true);
    await served.send("more of it".repeat(100_000));
    expect(served.client.writableLength).toBe(0);
    expect(served.got.error).toBeUndefined();
    expect(served.closedCount()).toBe(0);
    served.client.end();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
  });

  test("lingers no longer than lingerMs, however much the client sends", async () => {
    freezeTime();
    const served = serve(answer, { lingerMs: 5000 });
    await served.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    for (let n = 0; n < 4; n++) {
      await advance(1249);
      await served.send("x");
    }
    expect(served.pair.local.destroyed).toBe(false);
    await advance(5);
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("waits for a client that takes the response slowly, beyond lingerMs", async () => {
    freezeTime();
    const body = "x".repeat(100_000);
    const served = serve(
      (seen) => {
        seen.session.disableKeepAlive();
        respond(seen.session, 200, body);
      },
      { lingerMs: 5000, writeMs: 60_000 },
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    await advance(6000);
    served.client.resume();
    await served.pair.flush();
    expect(served.got.text.endsWith(body)).toBe(true);
    expect(served.got.ended).toBe(true);
    await advance(60_000);
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("does not wait for ever for a client that takes nothing", async () => {
    freezeTime();
    const served = serve(
      (seen) => {
        seen.session.disableKeepAlive();
        respond(seen.session, 200, "x".repeat(10_000));
      },
      { lingerMs: 5000, writeMs: 60_000 },
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    await advance(70_000);
    expect(served.pair.local.destroyed).toBe(true);
  });
});

describe("shutdown", () => {
  test("closes an idle connection at once", async () => {
    freezeTime();
    const idle = serve();
    await advance(1000);
    idle.connection.shutdown();
    await idle.pair.flush();
    expect(idle.closedCount()).toBe(1);
  });

  test("an empty line behind the last request is no reason to wait", async () => {
    freezeTime();
    const served = serve();
    await served.send(`${GET}\r\n`);
    await advance(1000);
    served.connection.shutdown();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
  });

  test("a client that has just connected gets an answer, if its request comes within a second", async () => {
    freezeTime();
    const silent = serve();
    const served = serve();
    served.connection.shutdown();
    silent.connection.shutdown();
    await advance(999);
    expect(silent.closedCount()).toBe(0);
    await served.send(GET);
    expect(served.got.text).toBe(CLOSING);
    await advance(1);
    expect(silent.closedCount()).toBe(1);
  });

  test("a busy one goes on to its response, which says close", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      await gate.promise;
      respond(seen.session, 200, "");
    });
    await served.send(GET + GET);
    served.connection.shutdown();
    await served.pair.flush();
    expect(served.got.ended).toBe(false);
    gate.resolve();
    await served.pair.flush();
    expect(served.got.text).toBe(CLOSING);
    expect(served.requests).toHaveLength(1);
    expect(served.got.ended).toBe(true);
  });

  test("one in the middle of a head still serves it", async () => {
    const served = serve();
    await served.send(GET.slice(0, 10));
    served.connection.shutdown();
    await served.send(GET.slice(10));
    expect(served.got.text).toBe(CLOSING);
  });

  test("one whose response is still leaving loses none of it", async () => {
    freezeTime();
    const body = "x".repeat(100_000);
    const served = serve(
      (seen) => respond(seen.session, 200, body),
      {},
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    served.connection.shutdown();
    await advance(2000);
    served.client.resume();
    await served.pair.flush();
    expect(served.got.text.endsWith(body)).toBe(true);
    expect(served.got.error).toBeUndefined();
  });

  describe("a response that does not say close, since it began before", () => {
    const begun = async (): Promise<{ served: ReturnType<typeof serve>; end: () => Promise<void> }> => {
      freezeTime();
      const gate = Promise.withResolvers<void>();
      const served = serve(async (seen) => {
        if (served.requests.length > 1) return respond(seen.session, 200, "");
        seen.session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 2 }), false);
        seen.session.writeBody(Buffer.from("a"));
        seen.session.flush();
        await gate.promise;
        seen.session.writeBody(Buffer.from("b"));
        seen.session.finish();
      });
      await served.send(GET);
      served.connection.shutdown();
      const end = async (): Promise<void> => {
        gate.resolve();
        await turn();
        await served.pair.flush();
      };
      return { served, end };
    };
    const WHOLE = `${OK.replace("Length: 0", "Length: 2")}ab`;

    test("the next request is answered, and that says close", async () => {
      const { served, end } = await begun();
      await advance(5000);
      await end();
      expect(served.got.ended).toBe(false);
      await advance(999);
      await served.send(GET);
      expect(served.got.text).toBe(WHOLE + CLOSING);
      expect(served.got.ended).toBe(true);
    });

    test("without one it closes a second later", async () => {
      const { served, end } = await begun();
      await end();
      await advance(999);
      expect(served.closedCount()).toBe(0);
      await advance(1);
      expect(served.closedCount()).toBe(1);
      expect(served.got.text).toBe(WHOLE);
    });
  });

  test("a client that is still taking its response may ask once more", async () => {
    freezeTime();
    const body = "x".repeat(100_000);
    const served = serve(
      (seen) => respond(seen.session, 200, body),
      {},
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    served.connection.shutdown();
    await advance(5000);
    served.client.resume();
    await served.pair.flush();
    await advance(999);
    await served.send(GET);
    await served.pair.flush();
    expect(served.got.text.match(/Connection: close/g)).toHaveLength(1);
    expect(served.got.text.split(body)).toHaveLength(3);
    await advance(1);
    expect(served.got.ended).toBe(true);
  });

  describe("a client that is slow to take its response", () => {
    const slow = async (bodyBytes: number): Promise<ReturnType<typeof serve>> => {
      freezeTime();
      const served = serveSlow(bodyBytes, { keepAliveMs: 60_000, writeMs: 60_000 });
      await advance(5000);
      expect(served.pair.local.writableLength).toBeGreaterThan(0);
      return served;
    };
    const expectLastAnswered = (served: ReturnType<typeof serve>): void => {
      expect(served.got.text.match(/200 OK/g)).toHaveLength(2);
      expect(served.got.text.match(/Connection: close/g)).toHaveLength(1);
      expect(served.got.ended).toBe(true);
    };

    test.each([10_000, 100_000])("may ask once more when it has just taken the last of %i bytes", async (bodyBytes) => {
      const served = await slow(bodyBytes);
      served.connection.shutdown();
      await advance(5000);
      await served.pair.flush();
      await advance(999);
      await served.send(GET);
      expectLastAnswered(served);
    });

    test("so it may when it had taken it a moment before the shutdown", async () => {
      const served = await slow(100_000);
      await served.pair.flush();
      served.connection.shutdown();
      await advance(999);
      await served.send(GET);
      expectLastAnswered(served);
    });

    test("is not waited for when it takes nothing for writeMs", async () => {
      const served = await slow(10_000);
      served.connection.shutdown();
      await advance(5000);
      await advance(59_000);
      expect(served.closedCount()).toBe(0);
      await advance(1000);
      expect(served.closedCount()).toBe(1);
    });
  });

  test("destroy ends at once, and the session is told", async () => {
    const served = serve(() => never);
    await served.send(GET);
    served.connection.destroy();
    await served.pair.flush();
    expect(served.requests[0]!.session.error?.type).toBe("ConnectionClosed");
    expect(served.closedCount()).toBe(1);
  });
});

describe("a client that leaves", () => {
  test("while idle: the connection closes, and the app is not bothered", async () => {
    const served = serve();
    served.client.end();
    await served.pair.flush();
    expect(served.requests).toHaveLength(0);
    expect(served.closedCount()).toBe(1);
  });

  test("in the middle of a head is told to the app like a request that could not be read", async () => {
    const served = serve();
    await served.send(GET.slice(0, 20));
    served.client.end();
    await served.pair.flush();
    expect(served.requests.map(({ session }) => session.error?.type)).toEqual(["ConnectionClosed"]);
    expect(served.closedCount()).toBe(1);
  });

  test("after nothing but empty lines is no request", async () => {
    const served = serve();
    await served.send("\r\n\r\n");
    served.client.end();
    await served.pair.flush();
    expect(served.requests).toHaveLength(0);
    expect(served.closedCount()).toBe(1);
  });

  test("by a reset while idle", async () => {
    const served = serve();
    await served.send(GET);
    served.client.resetAndDestroy();
    await served.pair.flush();
    expect(served.closedCount()).toBe(1);
    expect(lines).toEqual([]);
  });

  test.for(["Content-Length: 3", "Transfer-Encoding: chunked"])(
    "within its body: never told as an end (%s)",
    async (field) => {
      const served = serve();
      await served.send(`${post(field)}${field.startsWith("C") ? "ab" : "2\r\nab\r\n"}`);
      served.client.end();
      await served.pair.flush();
      const [seen] = served.requests as [SeenRequest];
      expect(seen.ended).toBe(false);
      expect(seen.error).toMatchObject({ type: "ConnectionClosed", source: "downstream" });
      expect(seen.error!.message).toContain("before its request was complete");
      expect(served.closedCount()).toBe(1);
    },
  );

  test("while it waits for the response: the session is told at once, twice over", async () => {
    const gone: unknown[] = [];
    const served = serve((seen) => {
      seen.session.onGone = (error) => gone.push(error);
      return never;
    });
    await served.send(GET);
    served.client.end();
    await served.pair.flush();
    expect(gone).toMatchObject([{ type: "ConnectionClosed", source: "downstream" }]);
    expect(served.requests[0]!.session.error!.message).toContain("before the response was complete");
  });

  test("by half, and still gets an answer if the app gives one", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      await gate.promise;
      respond(seen.session, 200, "");
    });
    await served.send(GET);
    served.client.end();
    await served.pair.flush();
    gate.resolve();
    await served.pair.flush();
    expect(served.got.text).toBe(CLOSING);
    expect(served.closedCount()).toBe(1);
  });

  describe("by half, where it may wait for its responses", () => {
    const POST = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n";
    const waits = (sent: string, answersLater: boolean): ReturnType<typeof serve> => {
      const served = serve(
        async ({ session }) => {
          if (answersLater) await turn();
          respond(session, 200, `answer ${served.requests.length}`);
        },
        { halfClose: "waits" },
      );
      served.client.write(sent, "latin1");
      served.client.end();
      return served;
    };
    const closed = async (served: ReturnType<typeof serve>): Promise<void> => {
      while (served.closedCount() === 0) {
        await turn();
        await served.pair.flush();
      }
    };

    test.each([true, false])("every request that came before is answered; later: %s", async (later) => {
      const served = waits(GET.repeat(3), later);
      await closed(served);
      expect(served.got.text.match(/answer \d/g)).toEqual(["answer 1", "answer 2", "answer 3"]);
      expect(served.got.text.match(/Connection: close/g)).toHaveLength(1);
    });

    test.each([
      ["a part of a head", "GET / HT", "in the middle of a head"],
      ["a part of a body", `${POST}ab`, "before its request was complete"],
    ])("what ends in %s fails behind them", async (_what, rest, message) => {
      const served = serve(
        async (seen) => {
          await turn();
          seen.session.events = seen;
          if (seen.session.error === undefined && seen.session.requestBodyDone) respond(seen.session, 200, "answer");
        },
        { halfClose: "waits" },
      );
      served.client.write(GET + GET + rest, "latin1");
      served.client.end();
      await closed(served);
      expect(served.got.text.match(/answer/g)).toHaveLength(2);
      expect(served.requests).toHaveLength(3);
      expect(served.requests[2]!.session.error!.message).toContain(message);
    });

    test("empty lines behind the last request are none", async () => {
      const served = waits(`${GET}${GET}\r\n`, true);
      await closed(served);
      expect(served.requests).toHaveLength(2);
      expect(served.got.text).toMatch(/answer 2$/);
    });

    test("a body whose response came early is read to its end, and the request behind it answered", async () => {
      const served = serve(({ session }) => respond(session, 200, `answer ${served.requests.length}`), {
        halfClose: "waits",
        earlyResponse: "drain",
      });
      served.client.write(`${POST}body${GET}`, "latin1");
      served.client.end();
      await closed(served);
      expect(served.got.text.match(/answer \d/g)).toEqual(["answer 1", "answer 2"]);
    });

    test("a client that takes its answers slowly loses none", async () => {
      const served = serve(({ session }) => respond(session, 200, "x".repeat(100_000)), { halfClose: "waits" });
      served.client.pause();
      served.client.write(GET.repeat(20), "latin1");
      served.client.end();
      await served.pair.flush();
      expect(served.requests.length).toBeLessThan(20);
      served.client.resume();
      await closed(served);
      expect(served.got.text.match(/x{100000}/g)).toHaveLength(20);
    });
  });

  test("by a reset: a read error with its cause", async () => {
    const served = serve(() => never);
    await served.send(GET);
    served.client.resetAndDestroy();
    await served.pair.flush();
    const { error } = served.requests[0]!.session;
    expect(error).toMatchObject({ type: "ReadError", source: "downstream", cause: { code: "ECONNRESET" } });
    expect(served.closedCount()).toBe(1);
  });

  test("within the response: writes are swallowed, and the session is told", async () => {
    const gate = Promise.withResolvers<void>();
    const served = serve(async (seen) => {
      seen.session.events = seen;
      seen.session.writeHeader(ResponseHeader.build(200), false);
      seen.session.flush();
      await gate.promise;
      seen.session.writeBody(Buffer.from("abc"));
      seen.session.finish();
    });
    await served.send(GET);
    served.client.resetAndDestroy();
    await served.pair.flush();
    gate.resolve();
    await served.pair.flush();
    expect(served.requests[0]!.error?.type).toBe("ReadError");
    expect(served.closedCount()).toBe(1);
    expect(lines).toEqual([]);
  });

  test.each(["fin", "reset"] as const)(
    "at every byte of a request (%s): never a request that is not whole",
    async (how) => {
      const request = `${post("Transfer-Encoding: chunked")}2\r\nab\r\n0\r\nA: b\r\n\r\n`;
      for (let bytes = 0; bytes < request.length; bytes++) {
        const served = serve();
        await served.send(request.slice(0, bytes));
        if (how === "fin") served.client.end();
        else served.client.resetAndDestroy();
        await served.pair.flush();
        expect(
          served.requests.filter(({ ended }) => ended),
          `after ${bytes} bytes`,
        ).toEqual([]);
        expect(served.closedCount(), `after ${bytes} bytes`).toBe(1);
        expect(served.got.text, `after ${bytes} bytes`).not.toContain(" 200 ");
      }
    },
  );
});

describe("time", () => {
  beforeEach(freezeTime);

  test("a connection that sends nothing closes after keepAliveMs, without an answer", async () => {
    const served = serve(answer, { keepAliveMs: 1000 });
    await advance(999);
    expect(served.pair.local.destroyed).toBe(false);
    await advance(2);
    expect(served.pair.local.destroyed).toBe(true);
    expect(served.got.text).toBe("");
    expect(served.requests).toHaveLength(0);
  });

  test("the wait for the next request starts anew after each", async () => {
    const served = serve(answer, { keepAliveMs: 1000 });
    for (let n = 0; n < 3; n++) {
      await advance(900);
      await served.send(GET);
    }
    expect(served.requests).toHaveLength(3);
    await advance(1001);
    expect(served.got.ended).toBe(true);
  });

  test("a head that is not complete within headMs gets 408, however often it sends a byte", async () => {
    const served = serve(answer, { headMs: 1000, keepAliveMs: 100_000 });
    for (let n = 0; n < 10; n++) {
      await served.send(GET[n]!);
      await advance(100);
    }
    await advance(1);
    expect(served.got.text).toMatch(/^HTTP\/1\.1 408 .*Connection: close\r\n/s);
    expect(served.requests[0]!.session.error).toMatchObject({ type: "ReadTimedout", source: "downstream" });
    expect(served.got.ended).toBe(true);
  });

  test("the time of a second head counts from its first byte", async () => {
    const served = serve(answer, { headMs: 1000, keepAliveMs: 100_000 });
    await served.send(GET);
    await advance(5000);
    await served.send("GET");
    await advance(999);
    expect(served.got.text).toBe(OK);
    await advance(2);
    expect(served.got.text).toContain("408");
  });

  test("a body of which nothing comes for bodyMs gets 408", async () => {
    const served = serve(answer, { bodyMs: 1000 });
    await served.send(`${post("Content-Length: 3")}a`);
    await advance(900);
    await served.send("b");
    await advance(999);
    expect(served.got.text).toBe("");
    await advance(2);
    expect(served.got.text).toMatch(/^HTTP\/1\.1 408 /);
    expect(served.requests[0]!.ended).toBe(false);
    expect(served.got.ended).toBe(true);
  });

  test("the body's time does not run while we do not read it", async () => {
    const served = serve(
      (seen) => {
        seen.session.events = seen;
        seen.session.pauseBody();
        return never;
      },
      { bodyMs: 1000 },
    );
    await served.send(`${post("Content-Length: 3")}a`);
    await advance(10_000);
    const [seen] = served.requests as [SeenRequest];
    expect(seen.session.error).toBeUndefined();
    seen.session.resumeBody();
    await advance(999);
    expect(seen.session.error).toBeUndefined();
    await advance(2);
    expect(seen.session.error?.type).toBe("ReadTimedout");
  });

  test("the body's time does not run before somebody reads it", async () => {
    const served = serve(() => never, { bodyMs: 1000 });
    await served.send(`${post("Content-Length: 3")}a`);
    await advance(10_000);
    const [seen] = served.requests as [SeenRequest];
    expect(seen.session.error).toBeUndefined();
    seen.session.events = seen;
    await advance(900);
    seen.session.events = undefined;
    await advance(10_000);
    expect(seen.session.error).toBeUndefined();
    seen.session.events = seen;
    await advance(1001);
    expect(seen.session.error?.type).toBe("ReadTimedout");
  });

  test("no time runs for a body that has ended, even if it was paused at its last piece", async () => {
    const served = serve(
      (seen) => {
        seen.onRequestData = () => seen.session.pauseBody();
        seen.session.events = seen;
        return never;
      },
      { bodyMs: 1000 },
    );
    await served.send(`${post("Content-Length: 3")}abc`);
    const [seen] = served.requests as [SeenRequest];
    seen.session.resumeBody();
    expect(seen.ended).toBe(true);
    await advance(10_000);
    expect(seen.session.error).toBeUndefined();
  });

  test("a client that takes nothing for writeMs is cut, and the session is told", async () => {
    const served = serve(
      (seen) => {
        seen.session.events = seen;
        seen.session.writeHeader(ResponseHeader.build(200), false);
        expect(seen.session.writeBody(Buffer.alloc(200_000))).toBe(false);
        return never;
      },
      { writeMs: 1000 },
      { toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    await advance(999);
    expect(served.requests[0]!.error).toBeUndefined();
    await advance(2);
    expect(served.requests[0]!.error).toMatchObject({ type: "WriteTimedout", source: "downstream" });
    expect(served.pair.local.destroyed).toBe(true);
  });

  test("a client that takes something in time is not cut", async () => {
    const served = serve(
      (seen) => {
        seen.session.events = seen;
        seen.session.writeHeader(ResponseHeader.build(200), false);
        seen.session.writeBody(Buffer.alloc(200_000));
        return never;
      },
      { writeMs: 1000 },
      { toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    await advance(900);
    served.client.resume();
    await served.pair.flush();
    expect(served.requests[0]!.drains).toBe(1);
    await advance(10_000);
    expect(served.requests[0]!.error).toBeUndefined();
  });

  test("an idle connection whose response is still leaving is not closed by keepAliveMs", async () => {
    const body = "x".repeat(100_000);
    const served = serve(
      (seen) => respond(seen.session, 200, body),
      { keepAliveMs: 1000, writeMs: 60_000 },
      { highWaterMark: 1000, toRemote: { windowBytes: 1000 } },
    );
    served.client.pause();
    await served.send(GET);
    await advance(2000);
    served.client.resume();
    await served.pair.flush();
    expect(served.got.text.endsWith(body)).toBe(true);
  });

  test.each([
    ["by keepAliveMs", "idle-timeout", () => undefined],
    ["as the server stops", "server-stop", ({ connection }: Served) => connection.shutdown()],
  ])(
    "what a client has not read yet is not taken by a request that comes behind the end of its idle connection: %s",
    async (_, reason, end) => {
      const served = serve((seen) => respond(seen.session, 200, "whole"), { keepAliveMs: 1000, lingerMs: 500 });
      // So much may stand in the buffers of both systems; here it is less.
      Object.defineProperty(served.pair.local, "bytesWritten", { value: 100_000 });
      served.client.pause();
      await served.send(GET);
      end(served);
      await advance(1000);
      await served.send(GET);
      served.client.resume();
      await served.pair.flush();
      expect(served.got.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nwhole$/);
      expect(served.got.ended).toBe(true);
      expect(served.requests).toHaveLength(1);
      await advance(500);
      expect(served.closedCount()).toBe(1);
      expect(served.connection.summary.reason).toBe(reason);
    },
  );

  test.each(["\r", "\r\n", "\r\n\r\n"])("%j behind a request is not the beginning of another", async (empty) => {
    const served = serve(answer, { keepAliveMs: 90_000, headMs: 60_000 });
    await served.send(GET);
    await served.send(empty);
    await advance(89_000);
    await served.send(`${empty === "\r" ? "\n" : empty}${GET}${empty}`);
    await advance(89_999);
    expect(served.got.text).toBe(OK + OK);
    expect(served.closedCount()).toBe(0);
    await advance(1);
    expect(served.closedCount()).toBe(1);
    expect(served.requests).toHaveLength(2);
  });

  test("keepAliveMs begins anew with a request that comes when it is over", async () => {
    const served = serve(answer, { keepAliveMs: 1000 });
    await served.send(GET);
    // Without a turn of the event loop, behind which an idle connection is closed.
    vi.advanceTimersByTime(1000);
    await served.send(GET);
    await advance(999);
    await served.send(GET);
    expect(served.got.text).toBe(OK.repeat(3));
    await advance(1000);
    expect(served.closedCount()).toBe(1);
  });

  test("keepAliveMs begins when the last of a response has left", async () => {
    const served = serveSlow(10_000, { keepAliveMs: 1000 });
    await advance(10_500);
    await served.pair.flush();
    await advance(1499);
    await served.send(GET);
    expect(served.got.text.match(/200 OK/g)).toHaveLength(2);
    expect(served.got.ended).toBe(false);
    await advance(1000);
    expect(served.closedCount()).toBe(1);
    expect(served.connection.summary.reason).toBe("idle-timeout");
  });

  test("0 waits for ever", async () => {
    const served = serve(answer, { keepAliveMs: 0, headMs: 0, bodyMs: 0 });
    await advance(1e8);
    await served.send(post("Content-Length: 1").slice(0, 5));
    await advance(1e8);
    await served.send(post("Content-Length: 1").slice(5));
    await advance(1e8);
    await served.send("a");
    expect(served.got.text).toContain("200 OK");
  });

  test("no timer is left behind by a closed connection", async () => {
    const served = serve(answer);
    await served.send(GET);
    served.client.destroy();
    await served.pair.flush();
    served.pair.local.destroy();
    await turn();
    expect(served.closedCount()).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a response that is told as served, and has not left", () => {
  const told = (): unknown[] =>
    lines
      .map((line) => JSON.parse(line) as { msg: string; err: { message: string } })
      .map(({ msg, err }) => [msg, err]);
  const slow = { highWaterMark: 1000, toRemote: { windowBytes: 1000 } };

  test("is told when the server ends, as is why its connection closed", async () => {
    const served = serve((seen) => respond(seen.session, 200, "x".repeat(20_000)), {}, slow);
    served.client.pause();
    await served.send(GET);
    expect(lines).toEqual([]);
    served.connection.destroy();
    await served.pair.flush();
    expect(told()).toEqual([
      ["cut a client", expect.objectContaining({ message: expect.stringContaining("server stops") })],
    ]);
    expect(served.connection.summary.reason).toBe("cut");
  });

  test("also where another request is served meanwhile", async () => {
    const answered = (seen: SeenRequest): Promise<void> | void =>
      served.requests.length < 2 ? respond(seen.session, 200, "x".repeat(20_000)) : never;
    const served = serve(answered, {}, slow);
    served.client.pause();
    await served.send(GET + GET);
    expect(served.requests).toHaveLength(2);
    served.connection.destroy();
    expect(told()).toEqual([
      ["cut a client", expect.objectContaining({ message: expect.stringContaining("server stops") })],
    ]);
    expect(served.requests[1]!.session.error?.message).toContain("server stops");
  });

  test("is told when its client does not take it in time behind the last", async () => {
    freezeTime();
    const served = serve(
      (seen) => {
        seen.session.disableKeepAlive();
        respond(seen.session, 200, "x".repeat(20_000));
      },
      { lingerMs: 1000, writeMs: 2000 },
      slow,
    );
    served.client.pause();
    await served.send(GET);
    await advance(5000);
    expect(served.closedCount()).toBe(1);
    expect(told()).toEqual([
      ["cut a client", expect.objectContaining({ message: expect.stringContaining("2000 ms") })],
    ]);
    expect(served.connection.summary.reason).toBe("cut");
  });

  test("is not told of one that has left", async () => {
    const served = serve();
    await served.send(GET);
    served.connection.destroy();
    await served.pair.flush();
    expect(lines).toEqual([]);
  });
});

describe("an app that fails", () => {
  test("by rejecting is logged, and the connection is cut", async () => {
    const served = serve(() => Promise.reject(new Error("broken app")));
    await served.send(GET + GET);
    expect(served.requests).toHaveLength(1);
    expect(served.pair.local.destroyed).toBe(true);
    expect(lines.join("")).toContain("broken app");
  });

  test("by throwing, against its type, is treated the same", async () => {
    const pair = streamPair();
    let calls = 0;
    const app = {
      handleRequest: () => {
        calls++;
        throw new Error("broken app");
      },
    };
    let closed = 0;
    expect(new Http1ServerConnection(pair.local, app, resolveHttp1ServerOptions(), () => closed++)).toBeDefined();
    pair.remote.write(GET, "latin1");
    await pair.flush();
    expect([calls, closed]).toEqual([1, 1]);
    expect(pair.local.destroyed).toBe(true);
    expect(lines.join("")).toContain("broken app");
  });
});
