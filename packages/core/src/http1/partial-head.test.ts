import { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BodyReader } from "./body-reader.ts";
import { lastHeadEnd, parseRequestHead, parseResponseHead } from "./parse-head.ts";
import { PartialHead } from "./partial-head.ts";

const LIMITS = { maxHeadBytes: 200, maxFields: 5 };

type Parse = typeof parseRequestHead | typeof parseResponseHead;

/** What is told after each of `ends` bytes, until something is: a head, where it ended, or an error. */
function told(parse: Parse, text: string, ends: readonly number[], partial: PartialHead | undefined): unknown {
  // Whatever stands behind what has arrived is somebody else's.
  const from = 3;
  for (const end of ends) {
    const buffer = Buffer.from(`???${text.slice(0, end)}: \r\n\r\nstale`, "latin1");
    try {
      const head: (HeaderFields & { version: string }) | undefined = parse(buffer, from, from + end, LIMITS, partial);
      if (head !== undefined)
        return { after: end, version: head.version, fields: [...head], end: lastHeadEnd() - from };
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return { after: end, error: error.message, status: error.status };
    }
  }
  return "incomplete";
}

const byteByByte = (text: string): number[] => Array.from({ length: text.length }, (_, at) => at + 1);

const PARTS = [
  ..."GET|POST| |/|/path?q|*|HTTP/1.1|HTTP/1.0|HTTP/2.0|\r\n|\r|\n|\0|\t|:|: |x|Name|Host: a\r\n|A:b\r\n|A: b \r\n".split(
    "|",
  ),
  ..."HTTP/1.1 200 OK\r\n|HTTP/1.1 200\r\n|HTTP/1.1 100 Continue\r\n\r\n| folded\r\n|\tfolded more\r\n|Name : v\r\n|\r\n\r\n".split(
    "|",
  ),
  "GET / HTTP/1.1\r\n",
  "a".repeat(90),
  " ".repeat(40),
];

const text = fc
  .array(fc.oneof(fc.constantFrom(...PARTS), fc.string({ maxLength: 4 })), { maxLength: 14 })
  .map((parts) => parts.join(""));

describe.each([
  ["requests", parseRequestHead, "GET / HTTP/1.1\r\nHost: a\r\n"],
  ["responses", parseResponseHead, "HTTP/1.1 200 OK\r\nA: b\r\n"],
] as const)("what is remembered of unfinished heads of %s", (_name, parse, start) => {
  test("changes nothing of what is told, nor when, wherever they are cut", () => {
    const cuts = fc.array(fc.nat(250), { maxLength: 20 });
    fc.assert(
      fc.property(fc.boolean(), text, cuts, (begun, rest, at) => {
        const whole = begun ? start + rest : rest;
        for (const ends of [byteByByte(whole), at.filter((end) => end <= whole.length).toSorted((a, b) => a - b)]) {
          expect(told(parse, whole, ends, new PartialHead())).toEqual(told(parse, whole, ends, undefined));
        }
      }),
      { numRuns: 3000 },
    );
  });
});

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n";
const RESPONSE = "HTTP/1.1 200 OK\r\nA: b\r\n";

test.each<[string, Parse, string, string]>([
  ["a method", parseRequestHead, "GE", "T"],
  ["a target", parseRequestHead, "GET /path", "z"],
  ["a field name", parseRequestHead, `${REQUEST}X-Name`, "z"],
  ["the space before a value", parseRequestHead, `${REQUEST}X:`, " "],
  ["a value", parseRequestHead, `${REQUEST}X: some value`, "z"],
  ["a reason", parseResponseHead, "HTTP/1.1 200 Oka", "y"],
  ["the space behind a name", parseResponseHead, `${RESPONSE}X `, " "],
  ["the space of a fold", parseResponseHead, `${RESPONSE}X: y\r\n `, " "],
  ["a fold", parseResponseHead, `${RESPONSE}X: y\r\n z`, "z"],
])("a byte more that decides nothing is all that is looked at: %s", (_name, parse, begun, more) => {
  const partial = new PartialHead();
  const buffer = Buffer.from(begun + more.repeat(5), "latin1");
  expect(parse(buffer, 0, begun.length, LIMITS, partial)).toBeUndefined();
  for (let arrived = begun.length + 1; arrived <= buffer.length; arrived++) {
    // Were it looked at again, it would be refused.
    buffer.fill("\0", 0, arrived - 1);
    expect(parse(buffer, 0, arrived, LIMITS, partial)).toBeUndefined();
  }
});

test("lines that are whole are not looked at again before the end", () => {
  const begun = `GET / HTTP/1.1\r\nHost: a\r\n`;
  const partial = new PartialHead();
  const buffer = Buffer.from(`${begun}X: y\r\nZ: 1\r\n`, "latin1");
  expect(parseRequestHead(buffer, 0, begun.length + 4, LIMITS, partial)).toBeUndefined();
  buffer.fill("\0", 0, begun.length);
  expect(parseRequestHead(buffer, 0, buffer.length, LIMITS, partial)).toBeUndefined();
});

test("the limits hold for a head that comes in parts", () => {
  const tooLong = `GET / HTTP/1.1\r\nX: ${"y".repeat(300)}`;
  expect(told(parseRequestHead, tooLong, byteByByte(tooLong), new PartialHead())).toMatchObject({
    after: 201,
    status: 431,
  });
  const tooMany = `GET / HTTP/1.1\r\n${"a:b\r\n".repeat(6)}`;
  expect(told(parseRequestHead, tooMany, byteByByte(tooMany), new PartialHead())).toMatchObject({
    after: 16 + 5 * 5 + 1,
    status: 431,
  });
});

test("a trailer section is read the same in parts", () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 40 }), (section, size) => {
      const results = [section.length, size].map((pieceBytes) => {
        const reader = new BodyReader(LIMITS, false);
        reader.startChunked();
        const wire = Buffer.from(`0\r\n${section}`, "latin1");
        try {
          let at = reader.read(wire.subarray(0, 3), 0, 3);
          while (at < wire.length && !reader.done) {
            const end = Math.min(wire.length, at + Math.max(pieceBytes, 1));
            const used = reader.read(wire.subarray(at, end), 0, end - at);
            if (used === 0) break;
            at += used;
          }
          return reader.done ? { at, trailers: reader.trailers && [...reader.trailers] } : "incomplete";
        } catch (error) {
          if (!(error instanceof ProxyError)) throw error;
          return error.type;
        }
      });
      expect(results[1]).toEqual(results[0]);
    }),
    { numRuns: 2000 },
  );
});
