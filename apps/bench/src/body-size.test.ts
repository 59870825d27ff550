import { expect, test } from "vitest";
import { formatBodySize, parseBodySize } from "./body-size.ts";

test.each([
  ["13", 13, "13 B"],
  ["1k", 1024, "1 KB"],
  ["64K", 65_536, "64 KB"],
  ["1m", 1_048_576, "1 MB"],
  ["1500", 1500, "1500 B"],
])("%s is %i bytes, written %s", (word, bytes, name) => {
  expect(parseBodySize(word)).toBe(bytes);
  expect(formatBodySize(bytes)).toBe(name);
});

test.each(["", "0", "-1", "1.5k", "1g", "k"])("refuses %j", (word) => {
  expect(() => parseBodySize(word)).toThrow("not a body size");
});
