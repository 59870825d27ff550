import { HttpPeer } from "@sluice/core";
import { RequestHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { checkContentLength, requestBodyKind, upstreamRequest } from "./upstream-request.ts";

const PEER = new HttpPeer("10.0.0.1:80");

describe("upstreamRequest", () => {
  test("is a copy: what is done to it leaves the client's head alone", () => {
    const request = RequestHeader.build("GET", "/", { Host: "a", Connection: "x", X: "1" });
    const outgoing = upstreamRequest(request, PEER, "me");
    outgoing.set("host", "b");
    expect(request.raw).toEqual(["Host", "a", "Connection", "x", "X", "1"]);
    expect(outgoing.raw).toEqual(["host", "b", "Via", "1.1 me"]);
  });

  test.each([
    [PEER, "10.0.0.1:80"],
    [new HttpPeer("[::1]:8080"), "[::1]:8080"],
    [new HttpPeer("unix:/run/app.sock"), "localhost"],
  ])("of HTTP/1.0 without Host names the peer", (peer, host) => {
    const request = RequestHeader.build("GET", "/");
    request.version = "1.0";
    expect(upstreamRequest(request, peer, undefined)).toMatchObject({ version: "1.1", raw: ["Host", host] });
  });
});

test("of HTTP/2, TE: trailers goes on, as HTTP/1.1 says it", () => {
  const request = new RequestHeader("GET", "/", "2", ["Host", "a", "te", "trailers"]);
  expect(upstreamRequest(request, PEER, "me").raw).toEqual(["Host", "a", "TE", "trailers", "Via", "2 me"]);
  request.version = "1.1";
  expect(upstreamRequest(request, PEER, "me").raw).toEqual(["Host", "a", "Via", "1.1 me"]);
});

test("two Max-Forwards say nothing, and go on", () => {
  const request = RequestHeader.build("TRACE", "/", { Host: "a", "Max-Forwards": ["0", "3"] });
  expect(upstreamRequest(request, PEER, undefined).getAll("max-forwards")).toEqual(["0", "3"]);
});

describe("checkContentLength", () => {
  const head = (...lengths: string[]): RequestHeader =>
    RequestHeader.build("PUT", "/", { "Content-Length": lengths.length === 1 ? lengths[0]! : lengths });

  test.each([["0"], ["5"], ["999999999999999"]])("%s is a length", (length) => {
    expect(() => checkContentLength(head(length), false)).not.toThrow();
  });

  test.each([["-1"], ["1e3"], ["0x10"], [""], ["9999999999999999"]])("%j is none", (length) => {
    expect(() => checkContentLength(head(length), false)).toThrow(/Content-Length/);
  });

  test("two are one too many", () => {
    expect(() => checkContentLength(head("1", "1"), false)).toThrow('"1, 1"');
  });

  test("without a body there is nothing but 0", () => {
    expect(() => checkContentLength(head("0"), true)).not.toThrow();
    expect(() => checkContentLength(head("1"), true)).toThrow("a request without body");
  });
});

test("requestBodyKind follows the head, and there is none without a body", () => {
  const head = RequestHeader.build("PUT", "/", { "Content-Length": 5 });
  expect(requestBodyKind(head, false)).toBe("content-length");
  expect(requestBodyKind(head, true)).toBe("none");
  head.remove("content-length");
  expect(requestBodyKind(head, false)).toBe("unknown-length");
});
