import { expect, test } from "vitest";
import { replaceResults } from "./readme.ts";

test("replaces what stands between the markers and nothing else", () => {
  const readme = "# Title\n<!-- results:start -->\nold\n<!-- results:end -->\nAfter\n";
  const once = replaceResults(readme, "new $& table\n");
  expect(once).toBe("# Title\n<!-- results:start -->\n\nnew $& table\n\n<!-- results:end -->\nAfter\n");
  expect(replaceResults(once, "new $& table")).toBe(once);
});

test("refuses a README without both markers in order", () => {
  expect(() => replaceResults("<!-- results:start -->", "x")).toThrow("markers");
  expect(() => replaceResults("<!-- results:end --><!-- results:start -->", "x")).toThrow("markers");
});
