import { expect, test } from "vitest";
import { positiveInteger, words } from "./option-values.ts";

test("a list has each word once", () => {
  expect(words("only", "a, b,,a")).toEqual(["a", "b"]);
  expect(() => words("only", " , ")).toThrow("--only wants a list");
});

test.each(["0", "-1", "1.5", "many", ""])("%j is no whole number above 0", (value) => {
  expect(positiveInteger("rounds", "3")).toBe(3);
  expect(() => positiveInteger("rounds", value)).toThrow(`--rounds wants a whole number above 0, not "${value}"`);
});
