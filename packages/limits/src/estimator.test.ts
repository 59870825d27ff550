import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Estimator } from "./estimator.ts";
import type { LimitKey } from "./limit-key.ts";

const KEYS: readonly LimitKey[] = ["a", "b", "c", "198.51.100.7", 1, 2, Uint8Array.of(1), Uint8Array.of(2)];
const key = fc.constantFrom(...KEYS);

describe("what Pingora's tests say", () => {
  test("increments give the new count", () => {
    const estimator = new Estimator({ hashes: 8, slots: 8 });
    expect([estimator.incr("a", 1), estimator.incr("b", 1)]).toEqual([1, 1]);
    expect([estimator.incr("a", 2), estimator.incr("b", 2)]).toEqual([3, 3]);
  });

  test("decrements take back", () => {
    const estimator = new Estimator({ hashes: 8, slots: 8 });
    for (const each of ["a", "b"]) estimator.incr(each, 3);
    for (const each of ["a", "b"]) estimator.decr(each, 1);
    expect([estimator.get("a"), estimator.get("b")]).toEqual([2, 2]);
  });

  test("reset forgets", () => {
    const estimator = new Estimator({ hashes: 8, slots: 8 });
    estimator.incr("a", 3);
    estimator.reset();
    expect([estimator.get("a"), estimator.get("b")]).toEqual([0, 0]);
  });
});

describe("with hardly any room", () => {
  const size = fc.record({ hashes: fc.integer({ min: 1, max: 4 }), slots: fc.integer({ min: 1, max: 4 }) });
  const step = fc.record({ key, value: fc.nat(1000), undo: fc.boolean() });

  test("an estimate is never too low, nor above the total, and 0 again when all is taken back", () => {
    fc.assert(
      fc.property(size, fc.array(step, { maxLength: 60 }), (options, steps) => {
        const estimator = new Estimator(options);
        const counts = new Map<LimitKey, number>(KEYS.map((each) => [each, 0]));
        let total = 0;
        for (const { key: each, value, undo } of steps) {
          const count = counts.get(each)!;
          const change = undo ? -Math.min(value, count) : value;
          counts.set(each, count + change);
          total += change;
          if (undo) estimator.decr(each, -change);
          else expect(estimator.incr(each, value)).toBe(estimator.get(each));
          for (const [known, exact] of counts) {
            const estimate = estimator.get(known);
            expect(estimate).toBeGreaterThanOrEqual(exact);
            expect(estimate).toBeLessThanOrEqual(total);
          }
        }
        for (const [known, exact] of counts) estimator.decr(known, exact);
        for (const known of KEYS) expect(estimator.get(known)).toBe(0);
      }),
    );
  });
});

test("is exact with room for all", () => {
  // Fifty keys share all of eight counters in 4,096 with a probability below 1e-13.
  const estimator = new Estimator({ hashes: 8, slots: 4096 });
  for (let each = 0; each < 50; each += 1) estimator.incr(`key ${each}`, each);
  for (let each = 0; each < 50; each += 1) expect(estimator.get(`key ${each}`)).toBe(each);
});

test("counts one when no value is given, and nothing for 0", () => {
  const estimator = new Estimator({ hashes: 2, slots: 8 });
  expect([estimator.incr("a"), estimator.incr("a"), estimator.incr("a", 0)]).toEqual([1, 2, 2]);
  estimator.decr("a");
  expect(estimator.get("a")).toBe(1);
});

test("counts bytes far above 2^32", () => {
  const estimator = new Estimator({ hashes: 2, slots: 8 });
  estimator.incr("a", 2 ** 52);
  expect(estimator.incr("a", 1)).toBe(2 ** 52 + 1);
});

describe("misuse", () => {
  test("taking back what was not counted throws, and changes nothing", () => {
    const estimator = new Estimator({ hashes: 2, slots: 8 });
    estimator.incr("a", 2);
    expect(() => estimator.decr("a", 3)).toThrow(
      new RangeError(
        "Estimator.decr: value: expected at most 2, the estimate for this key, got 3; take back what incr counted, once",
      ),
    );
    expect(estimator.get("a")).toBe(2);
  });

  test.each([-1, 0.5, Number.NaN, Infinity, 2 ** 53, "1"])("%s is no value", (value) => {
    const estimator = new Estimator({ hashes: 2, slots: 8 });
    const say = (where: string): RangeError =>
      new RangeError(`${where}: expected an integer of 0 or more, got ${String(value)}`);
    expect(() => estimator.incr("a", value as number)).toThrow(say("Estimator.incr: value"));
    expect(() => estimator.decr("a", value as number)).toThrow(say("Estimator.decr: value"));
    expect(estimator.get("a")).toBe(0);
  });

  test("a key or a size that is none is named", () => {
    const estimator = new Estimator({ hashes: 2, slots: 8 });
    const none = undefined as unknown as string;
    for (const call of [() => estimator.incr(none), () => estimator.decr(none), () => estimator.get(none)]) {
      expect(call).toThrow(TypeError);
    }
    expect(() => estimator.get(none)).toThrow(/^Estimator: key: /);
    expect(() => new Estimator({ hashes: 0, slots: 8 })).toThrow(/^Estimator: hashes: /);
    expect(() => new Estimator({ hashes: 4, slots: 0 })).toThrow(/^Estimator: slots: /);
  });
});
