import { expect, test } from "vitest";
import { HTTP1 } from "./wire.ts";
import type { Availability, Contender } from "./contender.ts";
import { checkNames, chooseLineup } from "./lineup.ts";

function contender(name: string, availability: Availability): Contender {
  const start = (): Promise<never> => Promise.reject(new Error("not here"));
  return { name, hooks: false, wire: HTTP1, available: () => availability, start };
}

const ALL = [
  contender("a", { kind: "available", version: "1.0" }),
  contender("b", { kind: "missing", reason: "apt-get install b" }),
  contender("c", { kind: "available", version: "2.0" }),
];

test("skips by name what is not installed", async () => {
  const { present, skipped } = await chooseLineup(ALL, undefined);
  expect(present.map(({ contender: { name }, version }) => `${name} ${version}`)).toEqual(["a 1.0", "c 2.0"]);
  expect([...skipped]).toEqual([["b", "apt-get install b"]]);
});

test("takes only those asked for", async () => {
  const { present, skipped } = await chooseLineup(ALL, ["c"]);
  expect(present.map(({ contender: { name } }) => name)).toEqual(["c"]);
  expect(skipped.size).toBe(0);
});

test("a name nobody has in any list is an error that lists the names", () => {
  const more = [contender("d", { kind: "missing", reason: "apt-get install d" })];
  expect(() => checkNames([ALL, more], ["a", "d"])).not.toThrow();
  expect(() => checkNames([ALL, more], undefined)).not.toThrow();
  expect(() => checkNames([ALL, more], ["a", "x"])).toThrow(
    'nobody is called "x"; with these protocols there are a, b, c, d',
  );
});
