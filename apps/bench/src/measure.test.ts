import { expect, test } from "vitest";
import type { LoadResult } from "./load.ts";
import { figures, leastBytes, loadFaults } from "./measure.ts";

const LOAD: LoadResult = {
  requests: 100_000,
  seconds: 5,
  requestsPerSecond: 20_000,
  p99Ms: 3,
  bytesRead: 130_000_000,
  badStatuses: 0,
  socketErrors: 0,
};

test("ticks become microseconds per request", () => {
  const result = figures({ user: 100, system: 200 }, { user: 150, system: 350 }, LOAD, 100);
  expect(result).toMatchObject({ userUs: 5, systemUs: 15, requestsPerSecond: 20_000, p99Ms: 3 });
});

test("a clean run has no faults", () => {
  expect(loadFaults(LOAD, 1024)).toEqual([]);
});

test("names bad statuses, socket errors and short answers", () => {
  const load = { ...LOAD, badStatuses: 7, socketErrors: 2, bytesRead: 90_000_000 };
  expect(loadFaults(load, 1024)).toEqual([
    "7 of 100000 answers were not 2xx or 3xx",
    "2 socket errors",
    "fewer bytes than the answers have",
  ]);
});

test("a run without an answer is a fault", () => {
  expect(loadFaults({ ...LOAD, requests: 0, bytesRead: 0 }, 13)).toEqual(["no request was answered"]);
});

test("an answer has at least its content, and in HTTP/1 the fields that it must have", () => {
  const answer = { fields: [["Vary", "Origin"]] as const, content: Buffer.from("Hello") };
  const exchange = { request: { method: "GET", path: "/", fields: [] }, answer } as const;
  expect(leastBytes(exchange, "h1")).toBe("Vary: Origin\r\nHello".length);
  expect(leastBytes(exchange, "h2")).toBe("Hello".length);
});

test("what the load generator found besides is a fault", () => {
  expect(loadFaults({ ...LOAD, faults: ["3 of 9 handshakes were full"] }, 13)).toEqual(["3 of 9 handshakes were full"]);
});
