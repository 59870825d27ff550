import { expect, test } from "vitest";
import { disturbance, parseMachineTimes } from "./disturbance.ts";

test("reads the line of all cores together", () => {
  const stat = "cpu  100 1 50 800 9 0 30 10 5 0\ncpu0 50 1 25 400 9 0 15 5 5 0\nintr 1 2 3\n";
  expect(parseMachineTimes(stat)).toEqual({ busy: 151, stolen: 10, total: 1000 });
});

test("what we used ourselves is no disturbance", () => {
  const before = { busy: 100, stolen: 0, total: 1000 };
  const after = { busy: 600, stolen: 20, total: 2000 };
  expect(disturbance(before, after, 450)).toEqual({ others: 0.05, stolen: 0.02 });
  expect(disturbance(before, after, 501).others).toBe(0);
});
