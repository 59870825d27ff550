import { describe, expect, test } from "vitest";
import { Sketch } from "./sketch.ts";

describe("the size", () => {
  test.each([0, -1, 1.5, 65, Number.NaN, undefined, "4"])("hashes cannot be %s", (hashes) => {
    expect(() => new Sketch("Test", { hashes: hashes as number, slots: 8 })).toThrow(
      new RangeError(`Test: hashes: expected an integer from 1 to 64, got ${String(hashes)}`),
    );
  });

  test.each([0, -1, 1.5, 2 ** 25 + 1, Number.NaN, Infinity, undefined, "8"])("slots cannot be %s", (slots) => {
    expect(() => new Sketch("Test", { hashes: 4, slots: slots as number })).toThrow(
      new RangeError(
        `Test: slots: expected an integer from 1 to 33554432, which is 1 GiB with 4 hashes, got ${String(slots)}`,
      ),
    );
  });

  test.each([1, 7, 1000])("a row of %i slots keeps to its own", (slots) => {
    const sketch = new Sketch("Test", { hashes: 3, slots });
    for (const half of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 0x12345678]) {
      for (const other of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
        expect(sketch.add(half, other, 1)).toBeGreaterThanOrEqual(1);
        sketch.subtract(half, other, 1);
        expect(sketch.get(half, other)).toBe(0);
      }
    }
  });
});

test("two keys that meet in one row are no likelier to meet in the next", () => {
  const pairs = new Int32Array(4000);
  let meetings = 0;
  for (let round = 0; round < 20; round += 1) {
    const sketch = new Sketch("Test", { hashes: 3, slots: 16 });
    crypto.getRandomValues(pairs);
    sketch.add(pairs[0]!, pairs[1]!, 1);
    for (let at = 2; at < pairs.length; at += 2) meetings += sketch.get(pairs[at]!, pairs[at + 1]!);
  }
  // Of 40,000 pairs, 40,000 / 16 ** 3 = 10 if rows are independent; 156 if the third follows from the first two.
  expect(meetings).toBeLessThan(70);
});

describe("raise", () => {
  test("adds to the count of a key as add does when no counter is shared", () => {
    const sketch = new Sketch("Test", { hashes: 8, slots: 4096 });
    expect([sketch.raise(1, 2, 3), sketch.raise(1, 2, 0), sketch.raise(1, 2, 4)]).toEqual([3, 3, 7]);
    expect(sketch.get(1, 2)).toBe(7);
    expect(sketch.get(2, 1)).toBe(0);
  });

  test("leaves counters alone that are high enough", () => {
    // With one slot all keys share all counters.
    const sketch = new Sketch("Test", { hashes: 2, slots: 1 });
    sketch.raise(1, 1, 5);
    expect(sketch.raise(2, 2, 1)).toBe(6);

    const rows = new Sketch("Test", { hashes: 4, slots: 64 });
    const adding = new Sketch("Test", { hashes: 4, slots: 64 });
    const keys = crypto.getRandomValues(new Int32Array(2000));
    let raised = 0;
    let added = 0;
    for (let at = 0; at < keys.length; at += 2) {
      raised += rows.raise(keys[at]!, keys[at + 1]!, 1);
      added += adding.add(keys[at]!, keys[at + 1]!, 1);
    }
    expect(raised).toBeLessThan(added);
  });
});
