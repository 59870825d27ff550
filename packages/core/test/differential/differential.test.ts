import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { configureLogs } from "../../src/log/logger.ts";
import { compare, compareAll, type Side } from "./differences.ts";
import type { Generated } from "./generated.ts";
import type { Difference } from "./verdict.ts";

/** A difference that we know, and mean. */
interface Known extends Difference {
  /** Who keeps to the RFC; `both` where it leaves the choice. */
  right: "ours" | "llhttp" | "both";
  rfc: string;
  reason: string;
  /** The cases of the corpus that differ in this way: all of them, and no others. */
  corpus: string[];
  /** A message that differs in this way, where the corpus has none. */
  example?: Generated;
}

const known = JSON.parse(readFileSync(new URL("known-differences.json", import.meta.url), "utf8")) as Record<
  Side,
  Known[]
>;

beforeEach(() => configureLogs({ levels: "silent" }));

describe.each(["requests", "responses"] as const)("%s read by us and by llhttp", (side) => {
  test("differ where known-differences.json says so, and nowhere else", async () => {
    const { found } = await compareAll(side);
    const unknown = found.filter((one) => !known[side].some((other) => isSame(one, other)));
    expect(unknown, "what differs and is not listed").toEqual([]);
    for (const one of known[side]) {
      const label = `${one.ours} | ${one.llhttp}`;
      const cases = found.find((other) => isSame(one, other))?.corpus ?? [];
      expect(one.corpus.toSorted(), label).toEqual(cases.toSorted());
    }
  });

  test("still differ where the corpus has no case", async () => {
    for (const { ours, llhttp, corpus, example } of known[side]) {
      expect(corpus.length > 0, `${ours}: either cases or an example`).toBe(example === undefined);
      if (example !== undefined) expect(await compare(side, example)).toEqual({ ours, llhttp });
    }
  });

  test("differ for a reason", () => {
    for (const { rfc, reason } of known[side]) {
      expect(rfc).toMatch(/^(?:911[012]|3986) \d+(?:\.\d+)*$/);
      expect(reason.length).toBeGreaterThan(20);
    }
  });

  test("are not accepted by us alone without the RFC on our side", () => {
    const alone = known[side].filter(({ ours, llhttp }) => ours.startsWith("accepts") && llhttp.startsWith("refuses"));
    expect(alone.filter(({ right }) => right === "llhttp")).toEqual([]);
  });
});

function isSame(one: Difference, other: Difference): boolean {
  return one.ours === other.ours && one.llhttp === other.llhttp;
}
