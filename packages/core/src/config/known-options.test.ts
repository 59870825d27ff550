import { expect, test } from "vitest";
import { checkOptionNames } from "./known-options.ts";

test("a name that is not known is an error with the one that was perhaps meant", () => {
  expect(() => checkOptionNames("Thing", { maxIdle: 1 }, ["maxIdle"])).not.toThrow();
  expect(() => checkOptionNames("Thing", { maxIdel: 1 }, ["maxIdle"])).toThrow(
    "Thing: unknown option maxIdel; did you mean maxIdle?",
  );
});

test.each<[given: unknown, got: string]>([
  [true, "true"],
  [null, "null"],
  [undefined, "undefined"],
  ["maxIdle", '"maxIdle"'],
  [["maxIdle"], "an array of 1"],
])("what is no object of options is an error: %j", (given, got) => {
  expect(() => checkOptionNames("Thing", given as never, ["maxIdle"])).toThrow(
    `Thing: expected an object of options, got ${got}`,
  );
});
