import { expect, test } from "vitest";
import { BoundedQueue } from "./bounded-queue.ts";

const queueOf = (): BoundedQueue<string> => new BoundedQueue((text) => text.length);

test("gives everything in order, and nothing when it is empty", () => {
  const queue = queueOf();
  for (const item of ["a", "b"]) queue.add(item);
  expect([queue.next, queue.take(), queue.take(), queue.take(), queue.length]).toEqual(["a", "a", "b", undefined, 0]);
});

test.each([
  ["four items", ["a", "b", "c", "d"], [true, true, true, false]],
  ["65,536 bytes", ["a".repeat(65_535), "a"], [true, false]],
  ["one large item, which it takes all the same", ["a".repeat(100_000)], [false]],
])("asks to wait at %s", (_, items, answers) => {
  const queue = queueOf();
  expect(items.map((item) => queue.add(item))).toEqual(answers);
  expect(queue.length).toBe(items.length);
});

test("asks to go on when it is empty, not before, and only if it had asked to wait", () => {
  const queue = queueOf();
  let emptied = 0;
  queue.onEmptied = () => emptied++;
  queue.add("a");
  queue.take();
  expect(emptied).toBe(0);
  for (const item of ["a", "b", "c", "d"]) queue.add(item);
  for (let left = 3; left > 0; left--) queue.take();
  expect([emptied, queue.full]).toEqual([0, true]);
  queue.take();
  expect([emptied, queue.full]).toEqual([1, false]);
});

test("what is added while it is being emptied comes after what was there", () => {
  const queue = queueOf();
  queue.onEmptied = () => void queue.add("e");
  for (const item of ["a", "b", "c", "d"]) queue.add(item);
  const taken: string[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item);
  expect(taken.join("")).toBe("abcde");
});

test("clear forgets what is there, and lets the other side go on", () => {
  const queue = queueOf();
  let emptied = 0;
  queue.onEmptied = () => emptied++;
  queue.add("a".repeat(65_536));
  queue.clear();
  expect([queue.length, queue.full, emptied, queue.add("b")]).toEqual([0, false, 1, true]);
});
