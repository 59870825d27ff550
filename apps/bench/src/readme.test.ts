import { expect, test } from "vitest";
import { replaceSection, sectionOf } from "./readme.ts";

test("replaces what stands between the markers and nothing else", () => {
  const memory = "<!-- memory:start -->\nkept\n<!-- memory:end -->";
  const readme = `# Title\n${memory}\n<!-- results:start -->\nold\n<!-- results:end -->\nAfter\n`;
  const once = replaceSection(readme, "results", "new $& table\n");
  expect(once).toBe(`# Title\n${memory}\n<!-- results:start -->\n\nnew $& table\n\n<!-- results:end -->\nAfter\n`);
  expect(replaceSection(once, "results", "new $& table")).toBe(once);
});

test("refuses a README without both markers in order", () => {
  expect(() => replaceSection("<!-- results:start -->", "results", "x")).toThrow("markers");
  expect(() => replaceSection("<!-- results:end --><!-- results:start -->", "results", "x")).toThrow("markers");
  expect(() => replaceSection("<!-- results:start --><!-- results:end -->", "memory", "x")).toThrow("memory:start");
});

test("HTTP/1 has the bare names, the others carry theirs", () => {
  expect(sectionOf("results", "h1")).toBe("results");
  expect(sectionOf("memory", "h2")).toBe("memory-h2");
});
