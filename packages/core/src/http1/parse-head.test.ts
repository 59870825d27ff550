import { describe, expect, test } from "vitest";
import { DEFAULT_HEAD_LIMITS } from "./head-limits.ts";
import { lastHeadEnd, parseRequestHead, parseResponseHead } from "./parse-head.ts";

// What is accepted and refused stands in test/corpus, for all ways to cut it; here is what only a caller sees.
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const GET = "GET /a HTTP/1.1\r\nHost: a.test\r\nX: 1\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";

describe("parseRequestHead", () => {
  test("reads within the given range only, and tells where the head ended", () => {
    const buffer = bytes(`body${GET}more`);
    const head = parseRequestHead(buffer, 4, buffer.length, DEFAULT_HEAD_LIMITS)!;
    expect([head.method, head.target, head.version]).toEqual(["GET", "/a", "1.1"]);
    expect(head.raw).toEqual(["Host", "a.test", "X", "1"]);
    expect(lastHeadEnd()).toBe(4 + GET.length);
  });

  test("does not look behind the end of the range", () => {
    const buffer = bytes(GET);
    for (let end = 0; end < GET.length; end++) {
      expect(parseRequestHead(buffer, 0, end, DEFAULT_HEAD_LIMITS), `up to ${end}`).toBeUndefined();
    }
    expect(parseRequestHead(buffer, 0, GET.length, DEFAULT_HEAD_LIMITS)).toBeDefined();
  });

  test("the end counts empty lines before the head", () => {
    const buffer = bytes(`\r\n\r\n${GET}`);
    parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS);
    expect(lastHeadEnd()).toBe(buffer.length);
  });

  test("the head keeps nothing of the buffer", () => {
    const buffer = bytes(GET);
    const head = parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
    buffer.fill(0);
    expect([head.method, head.target, head.raw]).toEqual(["GET", "/a", ["Host", "a.test", "X", "1"]]);
  });

  test("a refusal quotes the line, printable and short", () => {
    const buffer = bytes(`GET / HTTP/1.1\r\nA\x00${"b".repeat(200)}: c\r\n\r\n`);
    expect(() => parseRequestHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)).toThrow(
      expect.objectContaining({
        type: "InvalidHTTPHeader",
        status: 400,
        context: expect.stringMatching(/"A\\u0000b{58}…"$/) as string,
      }),
    );
  });
});

describe("parseResponseHead", () => {
  test("reads within the given range only, and tells where the head ended", () => {
    const buffer = bytes(`body${OK}more`);
    const head = parseResponseHead(buffer, 4, buffer.length, DEFAULT_HEAD_LIMITS)!;
    expect([head.status, head.reason, head.version, head.raw]).toEqual([200, "OK", "1.1", ["A", "b"]]);
    expect(lastHeadEnd()).toBe(4 + OK.length);
  });

  test("does not look behind the end of the range", () => {
    const buffer = bytes(OK);
    for (let end = 0; end < OK.length; end++) {
      expect(parseResponseHead(buffer, 0, end, DEFAULT_HEAD_LIMITS), `up to ${end}`).toBeUndefined();
    }
    expect(parseResponseHead(buffer, 0, OK.length, DEFAULT_HEAD_LIMITS)).toBeDefined();
  });

  test("what cannot become HTTP/1 is refused by its first byte", () => {
    for (const text of ["S", "HX", "HTTP/2", "http"]) {
      const buffer = bytes(text);
      expect(() => parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS), text).toThrow(
        "no HTTP/1 status line",
      );
    }
  });

  test("a standard reason follows the status when it is altered, another one stays", () => {
    const parse = (line: string): string => {
      const buffer = bytes(`${line}\r\n\r\n`);
      const head = parseResponseHead(buffer, 0, buffer.length, DEFAULT_HEAD_LIMITS)!;
      head.status = 404;
      return head.reason;
    };
    expect(parse("HTTP/1.1 200 OK")).toBe("Not Found");
    expect(parse("HTTP/1.1 200 Fine")).toBe("Fine");
    expect(parse("HTTP/1.1 200 ")).toBe("");
  });
});
