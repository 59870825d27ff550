import { Duplex } from "node:stream";
import { HeaderFields, RequestHeader } from "@sluice/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServerSession } from "../../src/http/server-session.ts";
import { BodyReader } from "../../src/http1/body-reader.ts";
import { Framing } from "../../src/http1/framing.ts";
import { DEFAULT_HEAD_LIMITS } from "../../src/http1/head-limits.ts";
import { removeHopByHop } from "../../src/http1/hop-by-hop.ts";
import { Http1ClientConnection } from "../../src/http1/http1-client-connection.ts";
import type { Http1Connection } from "../../src/http1/http1-connection.ts";
import { Http1ServerConnection } from "../../src/http1/http1-server-connection.ts";
import { parseRequestHead, parseResponseHead } from "../../src/http1/parse-head.ts";
import { checkRequest, normaliseTarget } from "../../src/http1/request-rules.ts";
import { resolveHttp1ServerOptions } from "../../src/http1/server-options.ts";
import { configureLogs } from "../../src/log/logger.ts";
import { see, seeResponse, wholeBody } from "../harness.ts";
import { Coverage } from "./coverage.ts";

/** As large as a head may be by default. */
const MANY = 60_000;

/** Parts of a message that can be as long as the sender likes. */
const HEADS: readonly [name: string, head: (filler: string) => string, unit: string][] = [
  ["a method", (x) => `${x} / HTTP/1.1\r\nHost: a\r\n\r\n`, "M"],
  ["a target", (x) => `GET /${x} HTTP/1.1\r\nHost: a\r\n\r\n`, "a"],
  ["the host of a target", (x) => `GET http://${x}/ HTTP/1.1\r\nHost: a\r\n\r\n`, "a"],
  ["the port of a target", (x) => `GET http://a:${x}x/ HTTP/1.1\r\nHost: a\r\n\r\n`, "1"],
  ["the scheme of a target", (x) => `GET ${x} HTTP/1.1\r\nHost: a\r\n\r\n`, "a"],
  ["a Host", (x) => `GET / HTTP/1.1\r\nHost: ${x}\r\n\r\n`, "a"],
  ["the port of a Host", (x) => `GET / HTTP/1.1\r\nHost: a:${x}x\r\n\r\n`, "1"],
  ["an IPv6 Host", (x) => `GET / HTTP/1.1\r\nHost: [${x}\r\n\r\n`, ":"],
  ["a field name", (x) => `GET / HTTP/1.1\r\nHost: a\r\n${x}: a\r\n\r\n`, "N"],
  ["a value of spaces", (x) => `GET / HTTP/1.1\r\nHost: a\r\nX: ${x}\r\n\r\n`, " "],
  ["a Connection of spaces", (x) => `GET / HTTP/1.1\r\nHost: a\r\nConnection: a${x}b\r\n\r\n`, " "],
  ["a Connection of commas", (x) => `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${x}\r\n\r\n`, ","],
  ["a Connection of names", (x) => `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${x}\r\n\r\n`, "x,"],
  ["a Transfer-Encoding of spaces", (x) => `GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: a${x}b\r\n\r\n`, " "],
  ["a Transfer-Encoding of names", (x) => `GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${x}\r\n\r\n`, "x,"],
  ["a Content-Length", (x) => `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${x}\r\n\r\n`, "1"],
  ["a Keep-Alive of spaces", (x) => `GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout${x}\r\n\r\n`, " "],
  ["a Keep-Alive of timeouts", (x) => `GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: ${x}\r\n\r\n`, ",timeout= "],
  ["a reason", (x) => `HTTP/1.1 200 ${x}\r\n\r\n`, "a "],
  ["spaces before a colon", (x) => `HTTP/1.1 200 OK\r\nX${x}: a\r\n\r\n`, " "],
  ["folds", (x) => `HTTP/1.1 200 OK\r\nX: a${x}\r\n\r\n`, "\r\n a"],
  ["empty folds", (x) => `HTTP/1.1 200 OK\r\nX: a${x}b\r\n\r\n`, "\r\n "],
  ["spaces beside a fold", (x) => `HTTP/1.1 200 OK\r\nX: a${x}b\r\n c\r\n\r\n`, " "],
];

function readHead(text: string): void {
  const buffer = Buffer.from(text, "latin1");
  const framing = new Framing();
  try {
    if (text.startsWith("HTTP/")) {
      const head = parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
      framing.read(head);
      removeHopByHop(head);
    } else {
      const head = parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
      removeHopByHop(new HeaderFields(head.raw.slice()));
      framing.read(head);
      checkRequest(head, framing);
      normaliseTarget(head);
    }
  } catch {
    // Refusing must be cheap as well.
  }
}

const BODIES: readonly [name: string, body: (filler: string) => string, unit: string][] = [
  ["chunks of one byte", (x) => `${x}0\r\n\r\n`, "1\r\na\r\n"],
  ["an extension", (x) => `1;${x}\r\na\r\n0\r\n\r\n`, "x"],
  ["a trailer", (x) => `0\r\nX: ${x}\r\n\r\n`, "x"],
  ["a trailer of spaces", (x) => `0\r\nX: a${x}b\r\n\r\n`, " "],
  ["trailers", (x) => `0\r\n${x}\r\n`, "X:y\r\n"],
  ["chunk data", (x) => `7530\r\n${x.slice(0, 0x7530)}\r\n0\r\n\r\n`, "\n"],
];

function readBody(text: string): void {
  const buffer = Buffer.from(text, "latin1");
  const reader = new BodyReader(DEFAULT_HEAD_LIMITS, true);
  reader.startChunked();
  try {
    for (let at = 0; at < buffer.length && !reader.done;) at = reader.read(buffer, at, buffer.length);
  } catch {
    // As above.
  }
}

const ALL = [
  ...HEADS.map(([name, of, unit]) => ({ name, read: (length: number) => readHead(of(filler(unit, length))) })),
  ...BODIES.map(([name, of, unit]) => ({ name, read: (length: number) => readBody(of(filler(unit, length))) })),
];

function filler(unit: string, length: number): string {
  return unit.repeat(Math.floor(length / unit.length));
}

const PARTIAL: readonly [name: string, head: (filler: string) => string, unit: string][] = [
  ...HEADS,
  ["short fields", (x) => `GET / HTTP/1.1\r\nHost: a\r\n${x}\r\n`, "a:b\r\n"],
  ["fields of an origin", (x) => `HTTP/1.1 200 OK\r\n${x}\r\n`, "a:b\r\n"],
  [
    "a trailer section",
    (x) => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${x}\r\n\r\n`,
    "x",
  ],
];

/** Reads it byte by byte, as a session does. */
function readInParts(text: string): void {
  configureLogs({ levels: "silent" });
  const limits = { maxHeadBytes: 100_000, maxFields: 100_000 };
  const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  let connection: Http1Connection;
  if (text.startsWith("HTTP/")) {
    const owner = { store: () => false, forget: () => undefined };
    const client = new Http1ClientConnection(stream, "a:80", "a:80", owner, limits);
    client.writeRequest(RequestHeader.build("GET", "/", { Host: "a.test" }), "none", seeResponse());
    connection = client;
  } else {
    const app = { handleRequest: (session: ServerSession) => wholeBody(see(session)) };
    connection = new Http1ServerConnection(stream, app, resolveHttp1ServerOptions(limits), () => undefined);
  }
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length && !stream.destroyed; at++) connection.onData(bytes.subarray(at, at + 1), 1);
  stream.destroy();
}

/**
 * Counts while the tests of a group run. Once for all of them: what V8 is compiling when it begins to count may come without counters, so
 * to begin anew for each test had one fail now and then on a busy machine.
 */
function counted(): { takeWork(): number } {
  let coverage: Coverage | undefined;
  beforeAll(() => {
    coverage = new Coverage((url) => /packages\/(?:core|http)\/src/.test(url));
  });
  afterAll(() => coverage?.[Symbol.dispose]());
  return { takeWork: () => coverage!.takeWork() };
}

describe("four times the bytes, one by one, are no more than about four times the work", () => {
  const coverage = counted();

  test.for(PARTIAL)("%s", ([, of, unit]) => {
    const work = [1000, 4000, 16_000].map((length) => {
      coverage.takeWork();
      readInParts(of(filler(unit, length)));
      return coverage.takeWork();
    });
    expect(work[0]).toBeGreaterThan(0);
    expect(work[2]! / work[1]!).toBeLessThan(5);
  });
});

describe("four times the bytes are no more than about four times the work", () => {
  const coverage = counted();

  test.for(ALL)("$name", ({ read }) => {
    const work = [MANY / 16, MANY / 4, MANY].map((length) => {
      coverage.takeWork();
      read(length);
      return coverage.takeWork();
    });
    expect(work[0]).toBeGreaterThan(0);
    expect(work[2]! / work[1]!).toBeLessThan(5);
  });
});

describe("four times the bytes", () => {
  // What a regular expression does is not counted. In quadratic time the longest head would take seconds.
  test.for(ALL)("$name: and no more than 200 ms for the longest head", ({ read }) => {
    const times = Array.from({ length: 3 }, () => {
      const start = performance.now();
      read(MANY);
      return performance.now() - start;
    });
    expect(Math.min(...times)).toBeLessThan(200);
  });
});
