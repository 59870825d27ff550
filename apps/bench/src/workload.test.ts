import { expect, test } from "vitest";
import { chunksOf } from "./workload.ts";

test("a body is cut into chunks of 16 KB and a rest", () => {
  const body = Buffer.alloc(40_000, "abc");
  const chunks = [...chunksOf(body)];
  expect(chunks.map(({ length }) => length)).toEqual([16_384, 16_384, 7232]);
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
});

test("an empty body has no chunk: an empty one would end it", () => {
  expect([...chunksOf(Buffer.alloc(0))]).toEqual([]);
});
