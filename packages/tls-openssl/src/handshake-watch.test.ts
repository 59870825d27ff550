import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SharedHandshakeWatch, SingleHandshake } from "./handshake-watch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const late = new Error("late");

/** A handshake that notes why it was cut. */
function pending(): { reasons: unknown[]; cut: (reason: unknown) => void } {
  const reasons: unknown[] = [];
  return { reasons, cut: (reason) => reasons.push(reason) };
}

describe("a watch that many handshakes share", () => {
  test("gives each its own time", () => {
    const watch = new SharedHandshakeWatch(100, () => late, undefined);
    const [first, second] = [pending(), pending()];
    watch.add(first.cut);
    vi.advanceTimersByTime(60);
    watch.add(second.cut);
    vi.advanceTimersByTime(40);
    expect([first.reasons, second.reasons]).toEqual([[late], []]);
    vi.advanceTimersByTime(59);
    expect(second.reasons).toEqual([]);
    vi.advanceTimersByTime(2);
    expect([first.reasons, second.reasons]).toEqual([[late], [late]]);
  });

  test("leaves alone what is over, and begins anew after a time without any", () => {
    const watch = new SharedHandshakeWatch(100, () => late, undefined);
    const [over, later] = [pending(), pending()];
    watch.add(over.cut)();
    vi.advanceTimersByTime(500);
    expect(vi.getTimerCount()).toBe(0);
    watch.add(later.cut);
    vi.advanceTimersByTime(101);
    expect([over.reasons, later.reasons]).toEqual([[], [late]]);
  });

  test("without a limit has no timer", () => {
    const watch = new SharedHandshakeWatch(0, () => late, undefined);
    watch.add(pending().cut);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("cuts all that are under way by its signal, and none that is over", () => {
    const stop = new AbortController();
    const watch = new SharedHandshakeWatch(100, () => late, stop.signal);
    const [first, over, last] = [pending(), pending(), pending()];
    const [, isOver] = [first, over, last].map(({ cut }) => watch.add(cut));
    isOver!();
    const reason = new Error("enough");
    stop.abort(reason);
    expect([first.reasons, over.reasons, last.reasons]).toEqual([[reason], [], [reason]]);
  });
});

describe("a watch of one, in a process that stood still,", () => {
  test.each([
    ["lets what has come end it", true],
    ["cuts it if that was not enough", false],
  ])("%s", async (_, ends) => {
    vi.useRealTimers();
    const watch = new SingleHandshake(10, () => late, undefined);
    const { reasons, cut } = pending();
    const isOver = watch.add(cut);
    // Comes behind the timer of the watch, and before the sockets are read.
    const atTimers = new Promise((resolve) => setTimeout(resolve, 10));
    const until = performance.now() + 40;
    while (performance.now() < until);
    await atTimers;
    if (ends) isOver();
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(reasons).toEqual(ends ? [] : [late]);
  });
});
