import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { configureLogs } from "../../src/log/logger.ts";
import { Coverage } from "./coverage.ts";
import { fuzz, type Find } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

const finds = JSON.parse(readFileSync(new URL("finds.json", import.meta.url), "utf8")) as Find[];

beforeEach(() => configureLogs({ levels: "silent" }));

test("what fuzzing found once stays mended", async () => {
  for (const { target, text, cuts } of finds) await TARGETS.find(({ name }) => name === target)!.check(text, cuts);
  expect(finds.every(({ target }) => TARGETS.some(({ name }) => name === target))).toBe(true);
});

describe("a short run finds nothing", () => {
  test.for([...TARGETS])("$name", async (target) => {
    using coverage = new Coverage((url) => /\/packages\/core\/src\/(?:http1|http2\/hpack)\//.test(url));
    const runs = target.name.endsWith("session") ? 600 : 1200;
    const report = await fuzz(target, { seed: 1, runs, coverage });
    expect(report.finds).toEqual([]);
    expect(coverage.characters, "the code under test is measured").toBeGreaterThan(1000);
  });
});
