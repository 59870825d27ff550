import { describe, expect, test } from "vitest";
import { bytesLeftOf } from "../../test/heap.ts";
import { Roster } from "./roster.ts";

interface BigMember {
  rosterPlace: number;
  readonly bulk: readonly number[];
}

const member = (name: string): { name: string; rosterPlace: number } => ({ name, rosterPlace: -1 });

describe("a roster", () => {
  test("has who came and did not leave", () => {
    const roster = new Roster<ReturnType<typeof member>>();
    const [a, b, c] = [member("a"), member("b"), member("c")];
    for (const one of [a, b, c, a]) roster.add(one);
    expect(roster.size).toBe(3);
    expect(roster.delete(a)).toBe(true);
    expect(roster.delete(a)).toBe(false);
    expect([roster.has(a), roster.has(b), roster.has(c)]).toEqual([false, true, true]);
    expect(new Set(roster)).toEqual(new Set([b, c]));
    roster.add(a);
    expect(roster.delete(b) && roster.delete(c) && roster.delete(a)).toBe(true);
    expect([...roster]).toEqual([]);
  });

  test("does not know one who is in another", () => {
    const [one, other] = [new Roster<ReturnType<typeof member>>(), new Roster<ReturnType<typeof member>>()];
    const a = member("a");
    one.add(a);
    other.add(member("b"));
    expect([other.has(a), other.delete(a)]).toEqual([false, false]);
    expect(one.has(a)).toBe(true);
  });

  test("is gone through without those who leave meanwhile, and those who come", () => {
    const roster = new Roster<ReturnType<typeof member>>();
    const members = ["a", "b", "c", "d"].map(member);
    for (const one of members) roster.add(one);
    const seen: string[] = [];
    for (const { name } of roster) {
      seen.push(name);
      if (name !== "a") continue;
      roster.delete(members[0]!);
      roster.delete(members[2]!);
      roster.add(member("e"));
    }
    expect(seen).toEqual(["a", "b", "d"]);
  });
});

// If the half about the Set fails, V8 has learnt to drop what obsolete tables name, and a Roster is of no more use.
test("who has left one that is old is collected with the young, unlike with a Set", async () => {
  const left = async (members: Pick<Roster<BigMember>, "add" | "delete">): Promise<number> => {
    const here: BigMember[] = [];
    const come = (count: number): void => {
      for (let n = 0; n < count; n++) {
        const one = { rosterPlace: -1, bulk: Array.from({ length: 1000 }, () => n) };
        members.add(one);
        if (here.push(one) > 4) members.delete(here.shift()!);
      }
    };
    come(10);
    return await bytesLeftOf(() => come(1000));
  };
  const set = new Set<BigMember>();
  expect(await left(new Roster())).toBeLessThan(1_000_000);
  expect(await left({ add: (one) => void set.add(one), delete: (one) => set.delete(one) })).toBeGreaterThan(2_000_000);
});
