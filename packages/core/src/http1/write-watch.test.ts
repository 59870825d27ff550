import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ByteStream } from "../net/byte-stream.ts";
import { WriteWatch } from "./write-watch.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** A stream of which the test says how much it holds. */
function watched(held: number): { stream: { writableLength: number }; watch: WriteWatch; stalls: () => number } {
  const stream = { writableLength: held };
  let stalls = 0;
  const watch = new WriteWatch(stream as unknown as ByteStream, () => stalls++);
  return { stream, watch, stalls: () => stalls };
}

test("a peer that takes nothing for writeMs is told of once", () => {
  const { watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minBytesPerSecond: 0 });
  vi.advanceTimersByTime(999);
  expect(stalls()).toBe(0);
  vi.advanceTimersByTime(10_000);
  expect(stalls()).toBe(1);
});

test("one byte in each writeMs is enough", () => {
  const { stream, watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minBytesPerSecond: 0 });
  for (let turn = 0; turn < 50; turn++) {
    stream.writableLength--;
    vi.advanceTimersByTime(1000);
  }
  expect(stalls()).toBe(0);
  vi.advanceTimersByTime(1000);
  expect(stalls()).toBe(1);
});

test("bytes that are given meanwhile neither count as taken nor give more time", () => {
  const { stream, watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minBytesPerSecond: 0 });
  for (let turn = 0; turn < 4; turn++) {
    vi.advanceTimersByTime(240);
    stream.writableLength += 50;
    watch.add(50);
    watch.start({ writeMs: 1000, minBytesPerSecond: 0 });
  }
  expect(stalls()).toBe(0);
  vi.advanceTimersByTime(50);
  expect(stalls()).toBe(1);
});

test("with a least rate, less than that on average is too slow", () => {
  const limits = { writeMs: 2000, minBytesPerSecond: 1000 };
  const fast = watched(100_000);
  fast.watch.start(limits);
  fast.stream.writableLength -= 2000;
  vi.advanceTimersByTime(2000);
  expect(fast.stalls()).toBe(0);

  const slow = watched(100_000);
  slow.watch.start(limits);
  slow.stream.writableLength -= 1999;
  vi.advanceTimersByTime(2000);
  expect(slow.stalls()).toBe(1);
});

test("a watch that was stopped, or has no limit, tells nothing", () => {
  const { watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minBytesPerSecond: 0 });
  watch.stop();
  watch.start({ writeMs: 0, minBytesPerSecond: 0 });
  vi.advanceTimersByTime(100_000);
  expect(stalls()).toBe(0);
});
