import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Deadline } from "./deadline.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

function counted(): { deadline: Deadline; passed: () => number } {
  let count = 0;
  return { deadline: new Deadline(() => count++), passed: () => count };
}

test("passes once, when its time has come", () => {
  const { deadline, passed } = counted();
  deadline.set(1000);
  vi.advanceTimersByTime(999);
  expect(passed()).toBe(0);
  vi.advanceTimersByTime(1);
  expect(passed()).toBe(1);
  vi.advanceTimersByTime(10_000);
  expect(passed()).toBe(1);
});

test("set anew, it counts from then on", () => {
  const { deadline, passed } = counted();
  deadline.set(1000);
  vi.advanceTimersByTime(900);
  deadline.set(1000);
  vi.advanceTimersByTime(999);
  expect(passed()).toBe(0);
  vi.advanceTimersByTime(1);
  expect(passed()).toBe(1);
});

test("set to a shorter time, it passes earlier", () => {
  const { deadline, passed } = counted();
  deadline.set(10_000);
  deadline.set(100);
  vi.advanceTimersByTime(100);
  expect(passed()).toBe(1);
  vi.advanceTimersByTime(20_000);
  expect(passed()).toBe(1);
});

test("shortened and then lengthened again, it passes at the last time set", () => {
  const { deadline, passed } = counted();
  deadline.set(1000);
  deadline.set(10);
  deadline.set(500);
  vi.advanceTimersByTime(499);
  expect(passed()).toBe(0);
  vi.advanceTimersByTime(1);
  expect(passed()).toBe(1);
});

test("cleared, it does not pass; it can be set again", () => {
  const { deadline, passed } = counted();
  deadline.set(1000);
  deadline.clear();
  vi.advanceTimersByTime(5000);
  expect(passed()).toBe(0);
  deadline.set(10);
  vi.advanceTimersByTime(10);
  expect(passed()).toBe(1);
});

test("setting and clearing over and over costs one timer", () => {
  const { deadline } = counted();
  for (let n = 0; n < 100; n++) {
    deadline.set(1000 + n);
    deadline.clear();
  }
  deadline.set(1000);
  expect(vi.getTimerCount()).toBe(1);
});

test.for([0, -1, Number.POSITIVE_INFINITY])("%s clears", (ms) => {
  const { deadline, passed } = counted();
  deadline.set(10);
  deadline.set(ms);
  vi.advanceTimersByTime(1e9);
  expect(passed()).toBe(0);
});

test("it can be set again while it passes", () => {
  let count = 0;
  const deadline: Deadline = new Deadline(() => {
    if (++count < 3) deadline.set(100);
  });
  deadline.set(100);
  vi.advanceTimersByTime(250);
  expect(count).toBe(2);
  vi.advanceTimersByTime(1000);
  expect(count).toBe(3);
});

test("disposed, it leaves no timer, and can be set again", () => {
  const { deadline, passed } = counted();
  deadline.set(100);
  deadline.dispose();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1000);
  expect(passed()).toBe(0);
  deadline.set(50);
  vi.advanceTimersByTime(50);
  expect(passed()).toBe(1);
});

test("does not keep the process", () => {
  vi.useRealTimers();
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const { deadline } = counted();
  deadline.set(1e6);
  expect(process.getActiveResourcesInfo().filter((name) => name === "Timeout")).toHaveLength(timers);
  deadline.dispose();
});

test.each([
  ["passes behind what had come meanwhile", () => undefined, 1],
  ["does not pass if that set it anew", (deadline: Deadline) => deadline.set(500), 0],
  ["does not pass if that cleared it", (deadline: Deadline) => deadline.clear(), 0],
  ["does not pass if that disposed of it", (deadline: Deadline) => deadline.dispose(), 0],
])("in a process that stood still it %s", async (_, onRead, times) => {
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ["performance"] });
  const { deadline, passed } = counted();
  deadline.set(1);
  vi.advanceTimersByTime(1000);
  // Only the clock is the test's: what its timer does is done here, where nothing else can come between.
  deadline.onTimer();
  expect(passed()).toBe(0);
  onRead(deadline);
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(passed()).toBe(times);
  deadline.dispose();
});
