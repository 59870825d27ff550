import { expect, test } from "vitest";
import { tallied } from "./handshakes.ts";
import type { Tally } from "./handshakes/tally.ts";

const TALLY: Tally = {
  answered: 200,
  resumed: 0,
  wrong: { count: 0, sample: "" },
  failed: { count: 0, sample: "" },
  latenciesMs: Array.from({ length: 200 }, (_, index) => index + 1),
  bytesRead: 50_000,
  seconds: 4,
};

test("a tally becomes the result of a load", () => {
  expect(tallied(TALLY, "full")).toEqual({
    requests: 200,
    seconds: 4,
    requestsPerSecond: 50,
    p99Ms: 198,
    bytesRead: 50_000,
    badStatuses: 0,
    socketErrors: 0,
    faults: [],
  });
});

test("handshakes of the other kind are a fault", () => {
  expect(tallied({ ...TALLY, resumed: 1 }, "full").faults).toEqual(["1 of 200 handshakes were resumed"]);
  expect(tallied({ ...TALLY, resumed: 198 }, "resumed").faults).toEqual(["2 of 200 handshakes were full"]);
  expect(tallied({ ...TALLY, resumed: 200 }, "resumed").faults).toEqual([]);
});

test("wrong answers and broken connections are faults, with the first of each", () => {
  const tally = { ...TALLY, wrong: { count: 2, sample: "HTTP/1.1 502 " }, failed: { count: 3, sample: "reset" } };
  expect(tallied(tally, "full").faults).toEqual([
    '2 wrong answers such as "HTTP/1.1 502 "',
    "3 connections failed: reset",
  ]);
});
