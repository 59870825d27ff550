import { expect, test } from "vitest";
import { parseLogLevels } from "./levels.ts";

test.for([
  ["", "info", {}],
  [",, ,", "info", {}],
  ["debug", "debug", {}],
  ["info,proxy=trace,cache=debug", "info", { proxy: "trace", cache: "debug" }],
  ["proxy=trace", "info", { proxy: "trace" }],
  [" warn , proxy = silent ", "warn", { proxy: "silent" }],
  ["debug,warn", "warn", {}],
  ["proxy=debug,proxy=error", "info", { proxy: "error" }],
] as const)("%j", ([text, fallback, byPackage]) => {
  const levels = parseLogLevels(text);
  expect(levels.default).toBe(fallback);
  expect(Object.fromEntries(levels.byPackage)).toEqual(byPackage);
});

test.for(["loud", "INFO", "proxy=", "=debug", "proxy=loud", "info,proxy=x"])(
  "refuses %j, and says what it takes",
  (text) => {
    expect(() => parseLogLevels(text)).toThrow(RangeError);
    expect(() => parseLogLevels(text)).toThrow(/expected LEVEL or PACKAGE=LEVEL with one of trace, debug, info/);
  },
);

test("refuses what has more than one =", () => {
  expect(() => parseLogLevels("proxy=debug=info")).toThrow(RangeError);
});
