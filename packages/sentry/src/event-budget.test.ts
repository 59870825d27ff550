import { expect, test } from "vitest";
import { EventBudget } from "./event-budget.ts";

test("gives so many of a kind and so many in all, and as many again a minute later", () => {
  let now = 1000;
  const budget = new EventBudget(3, 2, () => now);
  const take = (...kinds: string[]): boolean[] => kinds.map((kind) => budget.take(kind));
  expect(take("a", "a", "a", "b", "c")).toEqual([true, true, false, true, false]);
  expect([budget.takeSuppressed(), budget.takeSuppressed()]).toEqual([2, 0]);
  now += 59_999;
  expect(take("a", "c")).toEqual([false, false]);
  now += 1;
  expect(take("a", "c")).toEqual([true, true]);
  expect(budget.takeSuppressed()).toBe(2);
});

test("kinds without end are one kind", () => {
  const budget = new EventBudget(100_000, 2, () => 0);
  const given = Array.from({ length: 5000 }, (_, kind) => budget.take(String(kind)));
  expect(given.filter(Boolean)).toHaveLength(1002);
  expect(budget.take("0")).toBe(true);
});
