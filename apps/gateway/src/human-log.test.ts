import { describe, expect, test } from "vitest";
import { humanLog } from "./human-log.ts";

const toText = humanLog({ colors: false });

function line(fields: object): string {
  return toText(JSON.stringify({ level: 30, time: 0, name: "gateway", ...fields }))
    .replace(/^\[.*?\] /, "")
    .trimEnd();
}

const request = {
  msg: "request",
  method: "GET",
  target: "/a",
  status: 200,
  bytes: 5,
  duration_ms: 1.25,
  client: "c:1",
};

describe("a request is one line", () => {
  test.each([
    [{ upstream: "127.0.0.1:9", reused: false }, "INFO: GET /a 200 5 B 1.25 ms <- 127.0.0.1:9"],
    [{ upstream: "127.0.0.1:9", reused: true }, "INFO: GET /a 200 5 B 1.25 ms <- 127.0.0.1:9 (reused)"],
    [
      { status: 0, ended: "not-sent", error: "Upstream ConnectRefused" },
      "INFO: GET /a - 5 B 1.25 ms (not-sent) | Upstream ConnectRefused",
    ],
    [{ ended: "cut" }, "INFO: GET /a 200 5 B 1.25 ms (cut)"],
    [{ target: "/\x1b[2J\x9b2J\r\n" }, "INFO: GET /\\x1b[2J\\x9b2J\\x0d\\x0a 200 5 B 1.25 ms"],
  ])("%j", (fields, text) => {
    expect(line({ ...request, ...fields })).toBe(text);
  });
});

test("any other line has its package, message and fields, on one line", () => {
  expect(line({ name: "core", msg: "connect failed", peer: "10.0.0.1:80", error: "why" })).toBe(
    'INFO: core: connect failed {"peer":"10.0.0.1:80","error":"why"}',
  );
});

test("an error's stack shows from level error on", () => {
  const err = { type: "Error", message: "boom", stack: "Error: boom\n    at here" };
  expect(line({ level: 40, name: "core", msg: "trouble", err })).toBe('WARN: core: trouble {"error":"boom"}');
  expect(line({ level: 50, name: "core", msg: "trouble", err })).toContain("at here");
});

test("what is no JSON passes", () => {
  expect(toText("plain\n")).toBe("plain\n");
});
