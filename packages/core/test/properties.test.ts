import { ProxyError } from "@sluice/error";
import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import * as fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { BodyReader } from "../src/http1/body-reader.ts";
import { DEFAULT_HEAD_LIMITS } from "../src/http1/head-limits.ts";
import { lastHeadEnd, parseRequestHead, parseResponseHead } from "../src/http1/parse-head.ts";
import { lastChunkText, requestHeadText, responseHeadText } from "../src/http1/serialize.ts";
import { configureLogs } from "../src/log/logger.ts";
import { record, streamPair } from "../src/testing/index.ts";
import { answer, call, pairs, respond, see, serve, wholeBody, type Pairs, type SeenRequest } from "./harness.ts";
import { Http1ServerConnection } from "../src/http1/http1-server-connection.ts";
import { resolveHttp1ServerOptions } from "../src/http1/server-options.ts";

beforeEach(() => configureLogs({ levels: "silent" }));

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const of = (characters: string, min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...characters.split("")), minLength: min, maxLength: max });

const TOKEN = "!#$%&'*+-.^_`|~019azAZ";
const token = of(TOKEN, 1, 12);
const visible = Array.from({ length: 256 }, (_, code) => code).filter((code) => code > 32 && code !== 127);
const text = String.fromCharCode(...visible);
/** A field value as it is kept: no space at its ends. */
const value = of(`${text} \t`, 0, 20).map((raw) => raw.replaceAll(/^[ \t]+|[ \t]+$/g, ""));
const target = of(text.replace("#", ""), 0, 20).map((rest) => `/${rest}`);
const payload = of(`${text}\r\n\0 `, 0, 60);

// Names that frame, route or speak of the connection are the subject of the corpus; here they would only make noise.
const OWN = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "keep-alive",
  "te",
  "date",
  "trailer",
]);
const NOT_IN_TRAILERS = /^(authorization|cache-control|content-.*|max-forwards|proxy-connection|set-cookie|upgrade)$/i;
const fields: fc.Arbitrary<Pairs> = fc.array(
  fc.tuple(
    token.filter((name) => !OWN.has(name.toLowerCase()) && !NOT_IN_TRAILERS.test(name)),
    value,
  ),
  { maxLength: 8 },
);

function chunksOf(body: string, sizes: readonly number[], extension: string): string {
  let wire = "";
  let rest = body;
  for (let n = 0; rest !== ""; n++) {
    const size = Math.max(1, sizes[n % Math.max(sizes.length, 1)] ?? 5);
    const chunk = rest.slice(0, size);
    rest = rest.slice(size);
    wire += `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`;
  }
  return wire;
}

const lines = (all: Pairs): string => all.map(([name, content]) => `${name}: ${content}\r\n`).join("");

interface Message {
  /** Behind the start line. */
  wire: string;
  fields: Pairs;
  body: string;
  trailers: Pairs | undefined;
}

const message: fc.Arbitrary<Message> = fc
  .record({
    fields,
    body: payload,
    trailers: fields,
    sizes: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 4 }),
    extension: fc.constantFrom("", ";a", ";a=b", ';a="b c"'),
    how: fc.constantFrom("length", "chunked"),
  })
  .map(({ fields: given, body, trailers, sizes, extension, how }) => {
    if (how === "length") {
      const all: Pairs = [...given, ["Content-Length", String(body.length)]];
      return { wire: `${lines(all)}\r\n${body}`, fields: all, body, trailers: undefined };
    }
    const all: Pairs = [...given, ["Transfer-Encoding", "chunked"]];
    const wire = `${lines(all)}\r\n${chunksOf(body, sizes, extension)}0${extension}\r\n${lines(trailers)}\r\n`;
    return { wire, fields: all, body, trailers: trailers.length === 0 ? undefined : trailers };
  });

/** Where a stream of bytes is cut. */
const cuts = fc.array(fc.nat(400), { maxLength: 12 });

describe("any valid message, cut anywhere, is read the same", () => {
  test("requests, several on one connection", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ method: token.filter((name) => name !== "CONNECT"), target, message }), {
          minLength: 1,
          maxLength: 3,
        }),
        cuts,
        async (requests, positions) => {
          const served = serve(answer, {}, { toLocal: { cuts: positions } });
          await served.send(
            requests
              .map((each) => `${each.method} ${each.target} HTTP/1.1\r\nHost: a.test\r\n${each.message.wire}`)
              .join(""),
          );
          const seen = served.requests.map(({ session: { request }, body, trailers, error }) => {
            return { method: request.method, target: request.target, fields: pairs(request), body, trailers, error };
          });
          expect(seen).toEqual(
            requests.map((each) => ({
              method: each.method,
              target: each.target,
              fields: [["Host", "a.test"], ...each.message.fields],
              body: each.message.body,
              trailers: each.message.trailers,
              error: undefined,
            })),
          );
          served.connection.destroy();
        },
      ),
      { numRuns: 300 },
    );
  });

  test("responses", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 200, max: 999 }).filter((status) => status !== 204 && status !== 304),
        value,
        message,
        cuts,
        async (status, reason, { wire, fields: wanted, body, trailers }, positions) => {
          const called = call({}, {}, { toLocal: { cuts: positions } });
          const seen = called.request();
          await called.send(`HTTP/1.1 ${status} ${reason}\r\n${wire}`);
          expect(seen.error).toBeUndefined();
          expect([seen.header!.status, seen.header!.reason, seen.body, seen.trailers]).toEqual([
            status,
            reason,
            body,
            trailers,
          ]);
          expect(pairs(seen.header!)).toEqual(wanted);
          expect(seen.ended).toBe(true);
          called.connection.release();
          expect(called.stored).toHaveLength(1);
          called.connection.destroy();
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("what is serialised and parsed again is what it was", () => {
  test("request heads", () => {
    fc.assert(
      fc.property(token, target, fields, (method, where, given) => {
        const wire = latin1(requestHeadText(RequestHeader.build(method, where, given), "none"));
        const parsed = parseRequestHead(wire, 0, wire.length, DEFAULT_HEAD_LIMITS)!;
        expect([parsed.method, parsed.target, parsed.version, pairs(parsed)]).toEqual([method, where, "1.1", given]);
        expect(lastHeadEnd()).toBe(wire.length);
      }),
    );
  });

  test("response heads", () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 999 }), value, fields, (status, reason, given) => {
        const header = ResponseHeader.build(status, [["Date", "now"], ...given]);
        header.reason = reason;
        const wire = latin1(responseHeadText(header, "none", undefined));
        const parsed = parseResponseHead(wire, 0, wire.length, DEFAULT_HEAD_LIMITS)!;
        expect([parsed.status, parsed.reason, pairs(parsed)]).toEqual([status, reason, [["Date", "now"], ...given]]);
        expect(lastHeadEnd()).toBe(wire.length);
      }),
    );
  });

  test("trailers", () => {
    fc.assert(
      fc.property(fields, (given) => {
        const reader = new BodyReader(DEFAULT_HEAD_LIMITS, false);
        reader.startChunked();
        const wire = latin1(lastChunkText(HeaderFields.from(given)));
        let at = 0;
        while (!reader.done) at = reader.read(wire, at, wire.length);
        expect(at).toBe(wire.length);
        expect(reader.trailers && pairs(reader.trailers)).toEqual(given.length === 0 ? undefined : given);
      }),
    );
  });

  test("whole exchanges, from our client session to our server session, with bodies and trailers both ways", async () => {
    const body = fc.array(payload, { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        body,
        fields,
        body,
        fields,
        fc.integer({ min: 1, max: 50 }),
        async (up, upTrailers, down, downTrailers, pieceBytes) => {
          const called = call({}, {}, { toRemote: { pieceBytes }, toLocal: { pieceBytes } });
          const requests: SeenRequest[] = [];
          const app = {
            handleRequest: async (session: SeenRequest["session"]): Promise<void> => {
              const seen = see(session);
              requests.push(seen);
              await wholeBody(seen);
              session.writeHeader(ResponseHeader.build(200), false);
              for (const part of down) session.writeBody(latin1(part));
              session.finish(HeaderFields.from(downTrailers));
            },
          };
          const server = new Http1ServerConnection(called.origin, app, resolveHttp1ServerOptions(), () => undefined);
          const seen = called.request("POST", "unknown-length");
          for (const part of up) called.connection.writeBody(latin1(part));
          called.connection.finishRequest(HeaderFields.from(upTrailers));
          await called.pair.flush();
          expect(requests.map((each) => [each.body, each.trailers ?? []])).toEqual([[up.join(""), upTrailers]]);
          expect([seen.ended, seen.body, seen.trailers ?? []]).toEqual([true, down.join(""), downTrailers]);
          called.connection.release();
          expect(called.stored).toHaveLength(1);
          server.destroy();
          called.connection.destroy();
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** Parts of HTTP, to be put together in any order. */
const PARTS: string[] = [
  "GET",
  "POST",
  " ",
  "/",
  "*",
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/2.0",
  "\r\n",
  "\r\n\r\n",
  "\r",
  "\n",
  "\0",
  "\t",
  ":",
  "Host: a\r\n",
  "Content-Length: ",
  "Transfer-Encoding: ",
  "chunked",
  "Connection: ",
  "close",
  "keep-alive",
  ", ",
  "0",
  "5",
  "ffffffffffffffff",
  ";",
  "0\r\n\r\n",
  "3\r\nabc\r\n",
  "HTTP/1.1 200 OK\r\n",
  " folded\r\n",
  "\u00ff",
  "GET / HTTP/1.1\r\nHost: a\r\n",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 204 No Content\r\n\r\n",
  "http://a.test/",
];

/** Bytes that look like HTTP for long enough to reach the corners. */
const almostHttp: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.constantFrom(...PARTS), of(`${text}\r\n\0\t `, 0, 6)), { maxLength: 14 })
  .map((parts) => parts.join(""));

const anyBytes: fc.Arbitrary<string> = fc.oneof(
  almostHttp,
  fc.uint8Array({ maxLength: 80 }).map((raw) => Buffer.from(raw).toString("latin1")),
);

function expectOnlyProxyErrors(parse: () => unknown): boolean {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return false;
  }
  return true;
}

describe("arbitrary bytes", () => {
  test("make the parsers throw nothing but ProxyError", () => {
    fc.assert(
      fc.property(anyBytes, (raw) => {
        const buffer = latin1(raw);
        expectOnlyProxyErrors(() => parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS));
        expectOnlyProxyErrors(() => parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS));
        for (const lenient of [false, true]) {
          const reader = new BodyReader(DEFAULT_HEAD_LIMITS, lenient);
          reader.startChunked();
          expectOnlyProxyErrors(() => {
            for (let at = 0; at < buffer.length && !reader.done;) {
              const next = reader.read(buffer, at, buffer.length);
              if (next <= at && !reader.done) throw new Error("no progress");
              at = next;
            }
          });
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("that are refused early are not taken when more has come", () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (first, more) => {
        for (const parse of [parseRequestHead, parseResponseHead]) {
          const early = latin1(first);
          const late = latin1(first + more);
          const accepted = expectOnlyProxyErrors(() => parse(early, 0, early.length, DEFAULT_HEAD_LIMITS));
          const acceptedLater = expectOnlyProxyErrors(() => parse(late, 0, late.length, DEFAULT_HEAD_LIMITS));
          if (!accepted) expect(acceptedLater).toBe(false);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("that give a head give one that can be serialised: nothing in it breaks a line", () => {
    fc.assert(
      fc.property(almostHttp, (raw) => {
        const buffer = latin1(`HTTP/1.1 200 OK\r\n${raw}\r\n\r\n`);
        let header: ResponseHeader | undefined;
        expectOnlyProxyErrors(() => (header = parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)));
        if (header !== undefined) expect(() => HeaderFields.from(pairs(header!))).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });

  test("get an answer or the end of the connection from a server, and never the same request differently when cut", async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, cuts, async (raw, positions) => {
        const results: unknown[] = [];
        for (const toLocal of [{}, { cuts: positions }]) {
          const served = serve(answer, {}, { toLocal });
          await served.send(raw);
          results.push(
            served.requests.map(({ session, body, ended }) => ({
              status: session.error === undefined ? 200 : (session.error.status ?? 400),
              method: session.request.method,
              target: session.request.target,
              // Of a body that is malformed further on, more or less may have been delivered before that was seen.
              body: session.error === undefined ? body : "",
              ended,
            })),
          );
          served.client.end();
          await served.pair.flush();
          expect(served.closedCount(), "the connection is gone once the client is").toBe(1);
        }
        expect(results[1]).toEqual(results[0]);
      }),
      { numRuns: 400 },
    );
  });

  test("give a client session exactly one outcome, and it tells nobody of a response that is not whole", async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, cuts, async (raw, positions) => {
        const called = call({}, {}, { toLocal: { cuts: positions } });
        const seen = called.request();
        await called.send(raw);
        called.origin.end();
        await called.pair.flush();
        const outcomes = seen.order.filter((event) => event === "end" || event === "error");
        expect(outcomes).toHaveLength(1);
        expect(seen.order.indexOf(outcomes[0]!)).toBe(seen.order.length - 1);
        if (outcomes[0] === "end") expect(seen.header).toBeDefined();
        called.connection.release();
        expect(called.stored).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });
});

describe("the stream pair", () => {
  test("delivers what was written, whatever the pieces, the window and the pauses", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(payload, { maxLength: 8 }),
        fc.record({ pieceBytes: fc.integer({ min: 1, max: 30 }), windowBytes: fc.integer({ min: 1, max: 40 }), cuts }),
        fc.integer({ min: 1, max: 40 }),
        async (parts, toLocal, highWaterMark) => {
          const pair = streamPair({ toLocal, highWaterMark });
          const got = record(pair.local);
          pair.local.pause();
          for (const part of parts) pair.remote.write(part, "latin1");
          pair.remote.end();
          await pair.flush();
          pair.local.resume();
          await pair.flush();
          expect(got.text).toBe(parts.join(""));
          expect(got.ended).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });
});

test("the harness answers what it is asked", async () => {
  const served = serve((seen) => respond(seen.session, 204, ""));
  await served.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(served.got.text).toMatch(/^HTTP\/1\.1 204 /);
});
