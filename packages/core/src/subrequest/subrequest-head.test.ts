import { RequestHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { removeBodyFields, subrequestHead } from "./subrequest-head.ts";

const FIELDS = [
  ["Host", "a.test"],
  ["X-Spelt", "as it CAME"],
  ["x-twice", "1"],
  ["X-Twice", "2"],
] as const;

describe("the head of a subrequest", () => {
  test("is its parent's, field by field, and a copy", () => {
    const parent = RequestHeader.build("PUT", "/path?query", FIELDS);
    const head = subrequestHead(parent);
    expect([head.method, head.target, head.version, [...head]]).toEqual(["PUT", "/path?query", "1.1", FIELDS]);
    head.remove("x-twice");
    head.method = "GET";
    expect([parent.method, [...parent]]).toEqual(["PUT", FIELDS]);
  });

  test.each([
    ["2", true, "1.1"],
    ["1.0", true, "1.1"],
    // It gets a Host where its parent gets one.
    ["1.0", false, "1.0"],
  ] as const)("of a parent of HTTP/%s with Host: %s is of %s", (version, withHost, expected) => {
    const parent = RequestHeader.build("GET", "/", withHost ? { Host: "a.test" } : {});
    parent.version = version as typeof parent.version;
    expect(subrequestHead(parent).version).toBe(expected);
  });
});

test("what speaks of a body is taken away, whatever its spelling", () => {
  const head = RequestHeader.build("POST", "/", {
    "content-length": "3",
    "Transfer-encoding": "chunked",
    "CONTENT-TYPE": "text/plain",
    "Content-Encoding": "gzip",
    Expect: "100-continue",
    "Content-Language": "en",
    Host: "a.test",
  });
  removeBodyFields(head);
  expect([...head]).toEqual([
    ["Content-Language", "en"],
    ["Host", "a.test"],
  ]);
});
