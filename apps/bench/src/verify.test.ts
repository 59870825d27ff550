import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { bodyFaults } from "./verify.ts";

const content = Buffer.from("Hello, world!");
const body = { bytes: 13, path: "/13.bin", sha256: createHash("sha256").update(content).digest("hex") };

test("the origin's file with status 200 is right", () => {
  expect(bodyFaults({ status: 200, headers: {}, content }, body, false)).toEqual([]);
});

test("another status, a cut body and a missing hook are named", () => {
  expect(bodyFaults({ status: 502, headers: {}, content: content.subarray(1) }, body, true)).toEqual([
    "status 502",
    "a wrong body of 12 bytes in place of 13",
    "no x-proxied: the response filter did not run",
  ]);
});

test("one changed byte is a wrong body", () => {
  const changed = Buffer.from("Hello, World!");
  expect(bodyFaults({ status: 200, headers: {}, content: changed }, body, false)).toHaveLength(1);
});
