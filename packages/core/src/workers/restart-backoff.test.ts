import { expect, test } from "vitest";
import { RestartBackoff } from "./restart-backoff.ts";

test("the first is replaced at once, those that follow wait twice as long each time, up to half a minute", () => {
  const backoff = new RestartBackoff();
  const delays = Array.from({ length: 10 }, () => backoff.delayMs(0));
  expect(delays).toEqual([0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("one that was well is replaced at once, and what was before is forgotten", () => {
  const backoff = new RestartBackoff();
  expect([0, 0, 60_000, 0, 0].map((lived) => backoff.delayMs(lived))).toEqual([0, 250, 0, 250, 500]);
});
