import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { GracePeriod } from "./grace-period.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("begins when it is limited, and can only become shorter", () => {
  const grace = new GracePeriod();
  expect(grace.leftMs).toBe(Number.POSITIVE_INFINITY);
  let shortened = 0;
  grace.onShortened(() => shortened++);
  grace.limit(1000);
  grace.limit(2000);
  grace.limit(500);
  expect([grace.leftMs, shortened]).toEqual([500, 2]);
  vi.advanceTimersByTime(499);
  expect(grace.over.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(grace.over.aborted).toBe(true);
});

test("holds no process when it is disposed of, also if it is limited once more", () => {
  const grace = new GracePeriod();
  grace.limit(30_000);
  grace.dispose();
  expect(vi.getTimerCount()).toBe(0);
  grace.limit(29_000);
  expect([vi.getTimerCount(), grace.leftMs]).toEqual([0, 0]);
});
