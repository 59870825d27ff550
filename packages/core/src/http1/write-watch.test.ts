import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WriteWatch } from "./write-watch.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** A stream of which the test says how much it holds. */
function watched(held: number): { stream: { writableLength: number }; watch: WriteWatch; stalls: () => number } {
  const stream = { writableLength: held };
  let stalls = 0;
  const watch = new WriteWatch(stream, () => stalls++);
  return { stream, watch, stalls: () => stalls };
}

test("a peer that takes nothing for writeMs is told of once", () => {
  const { watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
  vi.advanceTimersByTime(999);
  expect(stalls()).toBe(0);
  vi.advanceTimersByTime(10_000);
  expect(stalls()).toBe(1);
});

test("one byte in each writeMs is enough", () => {
  const { stream, watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
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
  watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
  for (let turn = 0; turn < 4; turn++) {
    vi.advanceTimersByTime(240);
    stream.writableLength += 50;
    watch.add(50);
    watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
  }
  expect(stalls()).toBe(0);
  vi.advanceTimersByTime(50);
  expect(stalls()).toBe(1);
});

describe("with a least rate", () => {
  const limits = { writeMs: 1000, minSendBytesPerSecond: 10_000 };

  test("the peer may pause for as long as its bytes are worth, whatever writeMs says", () => {
    const { watch, stalls } = watched(65_000);
    watch.start(limits);
    vi.advanceTimersByTime(6499);
    expect(stalls()).toBe(0);
    vi.advanceTimersByTime(1);
    expect(stalls()).toBe(1);
  });

  test("what it takes meanwhile is not enough: all that was there must be gone in time", () => {
    const { stream, watch, stalls } = watched(65_000);
    watch.start(limits);
    for (let taken = 0; taken < 64; taken++) {
      stream.writableLength -= 1000;
      vi.advanceTimersByTime(101);
    }
    expect(stalls()).toBe(0);
    vi.advanceTimersByTime(6500);
    expect(stalls()).toBe(1);
  });

  test("few bytes have a second all the same", () => {
    const { watch, stalls } = watched(10);
    watch.start(limits);
    vi.advanceTimersByTime(999);
    expect(stalls()).toBe(0);
    vi.advanceTimersByTime(1);
    expect(stalls()).toBe(1);
  });

  test("bytes that are given meanwhile have their time, too", () => {
    const { stream, watch, stalls } = watched(65_000);
    watch.start(limits);
    vi.advanceTimersByTime(5000);
    stream.writableLength += 20_000;
    watch.add(20_000);
    watch.start(limits);
    vi.advanceTimersByTime(3499);
    expect(stalls()).toBe(0);
    vi.advanceTimersByTime(1);
    expect(stalls()).toBe(1);
  });

  test("a peer that keeps to it for ever is never told of", () => {
    const { stream, watch, stalls } = watched(0);
    for (let turn = 0; turn < 100; turn++) {
      stream.writableLength = 100_000;
      watch.start(limits);
      vi.advanceTimersByTime(9900);
      stream.writableLength = 0;
      watch.stop();
    }
    expect(stalls()).toBe(0);
  });

  test("it waits for no time that no timer can measure", () => {
    const { watch, stalls } = watched(65_000);
    watch.start({ writeMs: 1000, minSendBytesPerSecond: 0.00001 });
    vi.advanceTimersByTime(2 ** 31);
    expect(stalls()).toBe(0);
  });
});

test("limits that change meanwhile, as those of a request do, leave the watch as it began", () => {
  const { watch, stalls } = watched(100);
  const limits = { writeMs: 1000, minSendBytesPerSecond: 0 };
  watch.start(limits);
  limits.writeMs = 60_000;
  vi.advanceTimersByTime(1000);
  expect(stalls()).toBe(1);
});

test("a stream that was ended drains without a word, and is not told of", () => {
  const { stream, watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
  stream.writableLength = 0;
  vi.advanceTimersByTime(10_000);
  expect(stalls()).toBe(0);
});

test("a watch that was stopped, or has no limit, tells nothing", () => {
  const { watch, stalls } = watched(100);
  watch.start({ writeMs: 1000, minSendBytesPerSecond: 0 });
  watch.stop();
  watch.start({ writeMs: 0, minSendBytesPerSecond: 0 });
  vi.advanceTimersByTime(100_000);
  expect(stalls()).toBe(0);
});
