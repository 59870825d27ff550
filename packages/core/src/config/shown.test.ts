import { expect, test } from "vitest";
import { shown } from "./shown.ts";

class Backend {
  readonly weight = 1;
}

test.each<[value: unknown, text: string]>([
  ["5", '"5"'],
  ["x".repeat(100), `"${"x".repeat(60)}…"`],
  [5, "5"],
  [Number.NaN, "NaN"],
  [true, "true"],
  [undefined, "undefined"],
  [null, "null"],
  [() => undefined, "a function"],
  [Promise.resolve(), "a promise"],
  [[], "an empty array"],
  [[1, 2], "an array of 2"],
  [{}, "an object"],
  [Object.create(null), "an object"],
  [new Backend(), "a Backend"],
  [new Error("x"), "an Error"],
])("%o is shown as %s", (value, text) => {
  expect(shown(value)).toBe(text);
});
