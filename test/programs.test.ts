import { expect, test } from "vitest";
import { findProgram, testWith } from "./programs.ts";

test("finds a program of the PATH, and none that nobody has", () => {
  expect(findProgram("node")).toMatch(/^\/.*\/node$/);
  expect(findProgram("no-such-program")).toBeUndefined();
});

testWith("node", "gives a test the paths of its programs", ({ node }) => {
  expect(node).toBe(findProgram("node"));
});
