import { expect, test } from "vitest";
import type { Census } from "./census.ts";
import { faultsOf, type SoakResult } from "./verdict.ts";

const IDLE: Census = { heapBytes: 10_000_000, descriptors: 25, timers: 0, begun: 1, logged: 1, uncaught: 0 };
const EARLY: Census = { ...IDLE, heapBytes: 12_000_000, begun: 100, logged: 100 };

function result(end: Partial<Census>, failures: [string, number][] = []): SoakResult {
  const counts = { done: new Map([["a request", 9]]), failures: new Map(failures) };
  return { idle: IDLE, early: EARLY, end: { ...EARLY, ...end }, counts };
}

test("a proxy that holds at the end what it held before has no fault", () => {
  expect(faultsOf(result({}))).toEqual([]);
  expect(faultsOf(result({ heapBytes: 13_100_000 }))).toEqual([]);
});

test.for<[fault: string, end: Partial<Census>]>([
  ["the heap grew by 10.8 %", { heapBytes: 13_300_000 }],
  ["26 descriptors are open, 25 were at first", { descriptors: 26 }],
  ["1 timers are set, 0 were at first", { timers: 1 }],
  ["100 requests began, logging ran for 99", { logged: 99 }],
  ["2 errors that nobody caught", { uncaught: 2 }],
])("%s", ([fault, end]) => {
  expect(faultsOf(result(end))).toEqual([fault]);
});

test("what clients saw go wrong is a fault, and so is a load that did nothing", () => {
  expect(faultsOf(result({}, [["an upload: closed", 3]]))).toEqual(["3 times an upload: closed"]);
  const nothing = { ...result({}), counts: { done: new Map<string, number>(), failures: new Map<string, number>() } };
  expect(faultsOf(nothing)).toEqual(["nothing was done"]);
});
