import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FloodGuard } from "./flood-guard.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

/** How many frames without content it takes. */
function takes(guard: FloodGuard): number {
  for (let frames = 0; ; frames++) {
    try {
      guard.controlFrame();
    } catch {
      return frames;
    }
  }
}

const guard = (): FloodGuard => new FloodGuard({ maxResets: 10, maxControlFrames: 100 });

test("a head or a piece allows four frames more, and so does each KiB that was sent", () => {
  const counted = guard();
  counted.allow(0);
  counted.allow(16_384);
  expect(takes(counted)).toBe(100 + 4 + 4 + 64);
});

test("what was sent may be answered in the next ten seconds as well, not later", () => {
  const counted = guard();
  counted.controlFrame();
  counted.allow(16_384);
  vi.advanceTimersByTime(10_000);
  expect(takes(counted)).toBe(100 + 68);
  vi.advanceTimersByTime(10_000);
  expect(takes(counted)).toBe(100);
});
