import { expect, test } from "vitest";
import { importsOf } from "./imports.ts";

test("finds every kind of import, and none in comments or strings", () => {
  const source = `
/**
 * import { doc } from "doc";
 */
import one from "one";
import { two, type Two } from "two";
import type {
  Three,
} from "three";
import "four";
export { five } from "five";
export * from "six";
// import "comment";
const text = "eight";
export const from = "nine";
let x: import("ten").X = await import("eleven.ts");
`;
  expect(importsOf(source)).toEqual(["one", "two", "three", "four", "five", "six", "ten", "eleven.ts"]);
});
