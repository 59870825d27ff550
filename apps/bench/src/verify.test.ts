import { expect, test } from "vitest";
import { answerFaults } from "./verify.ts";

const content = Buffer.from("Hello, world!");
const expected = { fields: [["ETag", '"1"']] as const, content };
const headers = { etag: ['"1"'], server: ["another one"] };

test("the origin's answer with status 200 is right", () => {
  expect(answerFaults({ status: 200, headers, content }, expected, false)).toEqual([]);
});

test("another status, a cut body and a missing hook are named", () => {
  expect(answerFaults({ status: 502, headers, content: content.subarray(1) }, expected, true)).toEqual([
    "status 502",
    "a wrong body of 12 bytes in place of 13",
    "no x-proxied: the response filter did not run",
  ]);
});

test("one changed byte is a wrong body", () => {
  const changed = Buffer.from("Hello, World!");
  expect(answerFaults({ status: 200, headers, content: changed }, expected, false)).toHaveLength(1);
});

test.each([
  [{}, "[]"],
  [{ etag: ['"2"'] }, String.raw`["\"2\""]`],
  [{ etag: ['"1"', '"1"'] }, String.raw`["\"1\"","\"1\""]`],
])("a field that is missing, changed or doubled is named: %j", (wrong, found) => {
  expect(answerFaults({ status: 200, headers: wrong, content }, expected, false)).toEqual([
    String.raw`ETag is ${found} in place of ["\"1\""]`,
  ]);
});
