import { expect, test } from "vitest";
import type { AccessEntry } from "./access-entry.ts";
import { combinedLine, commonLine, jsonLine, logTime } from "./formats.ts";

const ENTRY: AccessEntry = {
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  requestId: undefined,
  client: "192.0.2.1",
  method: "GET",
  target: "/a?b",
  version: "1.1",
  host: "example.org",
  status: 200,
  bytes: 5,
  ended: "complete",
  durationMs: 1.25,
  upstream: "10.0.0.1:80",
  reused: true,
  tries: 1,
  referer: undefined,
  userAgent: "curl/8",
  error: undefined,
};

test("common", () => {
  expect(commonLine(ENTRY)).toBe('192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b HTTP/1.1" 200 5');
});

test("combined", () => {
  expect(combinedLine({ ...ENTRY, client: undefined, bytes: 0 })).toBe(
    '- - - [02/Jan/2026:03:04:05 +0000] "GET /a?b HTTP/1.1" 200 0 "-" "curl/8"',
  );
});

test("JSON, without what is not known", () => {
  expect(JSON.parse(jsonLine(ENTRY))).toEqual({
    time: "2026-01-02T03:04:05.678Z",
    client: "192.0.2.1",
    method: "GET",
    target: "/a?b",
    version: "1.1",
    host: "example.org",
    status: 200,
    bytes: 5,
    ended: "complete",
    durationMs: 1.25,
    upstream: "10.0.0.1:80",
    reused: true,
    tries: 1,
    userAgent: "curl/8",
  });
});

test("nothing that came from outside ends a part or a line", () => {
  const hostile = 'x" 200 1\n127.0.0.1 \u001B[2J\\ \u00E9';
  const line = combinedLine({ ...ENTRY, target: hostile, referer: hostile, userAgent: hostile });
  const shown = "x\\x22 200 1\\x0A127.0.0.1 \\x1B[2J\\x5C \\xE9";
  expect(line).toBe(`192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET ${shown} HTTP/1.1" 200 5 "${shown}" "${shown}"`);
  expect(jsonLine({ ...ENTRY, target: hostile })).not.toContain("\n");
});

test("the time, also when it goes on and when it goes back", () => {
  const times = [Date.UTC(2026, 10, 27, 10, 46, 8), Date.UTC(2026, 10, 27, 10, 46, 9, 999), Date.UTC(2024, 1, 29)];
  expect(times.map(logTime)).toEqual([
    "27/Nov/2026:10:46:08 +0000",
    "27/Nov/2026:10:46:09 +0000",
    "29/Feb/2024:00:00:00 +0000",
  ]);
});
