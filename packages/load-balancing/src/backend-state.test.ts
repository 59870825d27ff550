import { expect, test } from "vitest";
import { BackendState } from "./backend-state.ts";
import { Backend } from "./backend.ts";

/** Feeds outcomes, `+` or `-`, and tells the health after each. */
function healthAfter(outcomes: string, success: number, failure: number): string {
  const state = new BackendState(Backend.from("a:80"));
  return Array.from(outcomes, (outcome) => {
    state.observe(outcome === "+", new Error("down"), { success, failure });
    return state.healthy ? "+" : "-";
  }).join("");
}

test.each([
  ["one observation is enough by default", 1, 1, "+-+-", "+-+-"],
  ["failures must come in a row", 1, 3, "--+---", "+++++-"],
  ["successes must come in a row", 2, 1, "-+-++", "----+"],
  ["after a flip counting starts anew", 2, 2, "--++--", "+--++-"],
  ["observations that agree reset the count", 3, 2, "-+-+--", "+++++-"],
])("%s", (_, success, failure, outcomes, health) => {
  expect(healthAfter(outcomes, success, failure)).toBe(health);
});

test("ready means healthy, and enabled by both hand and discovery", () => {
  const state = new BackendState(Backend.from("a:80"));
  const thresholds = { success: 1, failure: 1 };
  expect([state.ready, state.describe()]).toEqual([true, "ready"]);
  expect(state.observe(false, new Error("refused"), thresholds)).toBe(true);
  expect([state.ready, state.describe()]).toEqual([false, "unhealthy: refused"]);
  state.enableByDiscovery(false);
  expect(state.describe()).toBe("disabled by discovery");
  state.enableByHand(false);
  expect(state.describe()).toBe("disabled");
  expect(state.observe(true, undefined, thresholds)).toBe(true);
  expect([state.healthy, state.ready]).toEqual([true, false]);
  state.enableByHand(true);
  expect(state.ready).toBe(false);
  state.enableByDiscovery(true);
  expect(state.ready).toBe(true);
});
