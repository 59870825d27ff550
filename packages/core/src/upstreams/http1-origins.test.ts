import { expect, test } from "vitest";
import { Http1Origins } from "./http1-origins.ts";

test("an origin is remembered for five minutes from when it was learnt last", () => {
  let now = 0;
  const origins = new Http1Origins(() => now);
  origins.add("a");
  now = 200_000;
  origins.add("a");
  now = 499_999;
  expect([origins.has("a"), origins.has("b")]).toEqual([true, false]);
  now = 500_000;
  expect(origins.has("a")).toBe(false);
});

test("of more than a thousand, the one that was learnt first is forgotten", () => {
  const origins = new Http1Origins(() => 0);
  for (let count = 0; count <= 1000; count++) origins.add(`origin-${count}`);
  expect([origins.has("origin-0"), origins.has("origin-1"), origins.has("origin-1000")]).toEqual([false, true, true]);
});
