import { HeaderFields } from "@sluice/http";
import { RequestHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { Framing } from "./framing.ts";
import { checkRequest, normaliseTarget, wantedUpgrade } from "./request-rules.ts";

function check(method: string, target: string, raw: string[] = ["Host", "a"], version: "1.0" | "1.1" = "1.1"): void {
  const framing = new Framing();
  framing.read(new HeaderFields(raw));
  checkRequest(new RequestHeader(method, target, version, raw), framing);
}

describe("Host", () => {
  test.for([
    "a",
    "a.test",
    "a.test:80",
    "a.test:",
    "127.0.0.1",
    "[::1]",
    "[::1]:80",
    "",
    "a_b-c~d%20",
    "sub.a!$&'()*+;=b",
  ])("%j is one", (host) => {
    expect(() => check("GET", "/", ["Host", host])).not.toThrow();
  });

  test.for([
    "a b",
    "a,b",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a:b",
    "a:80:80",
    "[::1",
    "::1",
    "[::1]x",
    "[a.test]",
    'a"b',
    "a\\b",
    "<a>",
    "\u00e9",
    "a\tb",
  ])("%j is none", (host) => {
    expect(() => check("GET", "/", ["Host", host])).toThrow(
      expect.objectContaining({ type: "InvalidHTTPHeader", status: 400 }),
    );
  });

  test("is needed in 1.1, not in 1.0, and never twice", () => {
    expect(() => check("GET", "/", [])).toThrow("no Host");
    expect(() => check("GET", "/", [], "1.0")).not.toThrow();
    expect(() => check("GET", "/", ["Host", "a", "Host", "a"])).toThrow("more than one Host");
    expect(() => check("GET", "/", ["Host", "a", "Host", "a"], "1.0")).toThrow("more than one Host");
  });
});

test("Transfer-Encoding does not go with HTTP/1.0", () => {
  const raw = ["Host", "a", "Transfer-Encoding", "chunked"];
  expect(() => check("GET", "/", raw, "1.0")).toThrow("Transfer-Encoding in HTTP/1.0");
  expect(() => check("GET", "/", raw)).not.toThrow();
});

describe("target", () => {
  test.for([
    ["GET", "/"],
    ["GET", "//a//b"],
    ["OPTIONS", "*"],
    ["GET", "http://a.test/"],
    ["GET", "HTTPS://a.test"],
    ["CONNECT", "a.test:443"],
    ["CONNECT", "[::1]:443"],
    ["CONNECT", "a.test:1"],
    ["CONNECT", "a.test:65535"],
  ] as const)("%s %s", ([method, target]) => {
    expect(() => check(method, target)).not.toThrow();
  });

  test.for([
    ["GET", "*"],
    ["GET", "a"],
    ["GET", "a.test:80"],
    ["GET", "?a"],
    ["GET", "ftp://a.test/"],
    ["GET", "javascript:alert(1)"],
    ["OPTIONS", "**"],
    ["CONNECT", "/"],
    ["CONNECT", "a.test"],
    ["CONNECT", "a.test:"],
    ["CONNECT", ":443"],
    ["CONNECT", "a.test:0"],
    ["CONNECT", "a.test:65536"],
    ["CONNECT", "[::1]:99999"],
    ["CONNECT", "http://a.test:443"],
    ["CONNECT", "u@a.test:443"],
  ] as const)("not %s %s", ([method, target]) => {
    expect(() => check(method, target)).toThrow(expect.objectContaining({ type: "InvalidHTTPHeader", status: 400 }));
  });
});

describe("the absolute form", () => {
  test.for([
    ["GET", "http://b.test/c?d", "/c?d", "b.test"],
    ["GET", "https://b.test:8443/c", "/c", "b.test:8443"],
    ["GET", "http://b.test", "/", "b.test"],
    ["GET", "http://b.test?c", "/?c", "b.test"],
    ["OPTIONS", "http://b.test", "*", "b.test"],
    ["OPTIONS", "http://b.test/", "/", "b.test"],
    ["GET", "http://b.test//c://d", "//c://d", "b.test"],
    ["GET", "http://[::1]:80/", "/", "[::1]:80"],
  ] as const)("%s %s becomes %s of %s", ([method, target, path, host]) => {
    const request = new RequestHeader(method, target, "1.1", ["A", "1", "host", "a.test"]);
    normaliseTarget(request);
    expect([request.target, ...request.raw]).toEqual([path, "A", "1", "Host", host]);
  });

  test.for([
    ["GET", "http://b.test/", "http"],
    ["GET", "https://b.test/", "https"],
    ["GET", "HTTPS://b.test/", "https"],
    ["GET", "/https://b.test/", undefined],
    ["OPTIONS", "*", undefined],
    ["CONNECT", "b.test:443", undefined],
  ] as const)("of %s %s the scheme is %s, and of its copies", ([method, target, scheme]) => {
    const request = new RequestHeader(method, target, "1.1", ["Host", "a.test"]);
    normaliseTarget(request);
    expect([request.scheme, request.clone().scheme]).toEqual([scheme, scheme]);
  });

  test.for(["http:///a", "http://:80/", "http://u@b.test/", "http://b.test:x/", "http://b c/"])(
    "%s is refused",
    (target) => {
      expect(() => normaliseTarget(new RequestHeader("GET", target, "1.1", []))).toThrow("without a valid host");
    },
  );

  test("other forms stay as they are", () => {
    for (const [method, target] of [
      ["OPTIONS", "*"],
      ["CONNECT", "a.test:443"],
      ["GET", "/http://b.test"],
    ] as const) {
      const request = new RequestHeader(method, target, "1.1", ["Host", "a"]);
      normaliseTarget(request);
      expect([request.target, request.get("host")]).toEqual([target, "a"]);
    }
  });
});

describe("what a request asks to change to", () => {
  const wanted = (upgrade: string, connection = "upgrade", method = "GET"): string | undefined => {
    const request = new RequestHeader(method, "/", "1.1", ["Host", "a", "Connection", connection, "Upgrade", upgrade]);
    const framing = new Framing();
    framing.read(request);
    return wantedUpgrade(request, framing);
  };

  test.each([
    ["websocket", "websocket"],
    ["WebSocket , , echo/1", "WebSocket, echo/1"],
    ["h2c", undefined],
    ["H2C", undefined],
    ["TLS/1.0, HTTP/1.1", undefined],
    ["HTTP/2.0, SHTTP/1.3, IRC/6.9", "SHTTP/1.3, IRC/6.9"],
    ["h2c, websocket", "websocket"],
    ["h2clike", "h2clike"],
    ["", undefined],
    [",", undefined],
  ])("%j goes on as %j", (upgrade, goesOn) => {
    expect(wanted(upgrade)).toBe(goesOn);
  });

  test("goes nowhere unless Connection names it, nor from a CONNECT", () => {
    expect(wanted("websocket", "close")).toBeUndefined();
    expect(wanted("websocket", "upgrade", "CONNECT")).toBeUndefined();
  });
});
