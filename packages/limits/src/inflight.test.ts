import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Inflight, type InflightGuard } from "./inflight.ts";

test("what Pingora's tests say", () => {
  const inflight = new Inflight();
  const first = inflight.incr("a", 1);
  expect(first.count).toBe(1);
  const second = inflight.incr("a", 2);
  expect(second.count).toBe(3);
  first.release();
  expect(second.get()).toBe(2);
  second.release();
  expect(inflight.incr("a", 1).count).toBe(1);
});

describe("a guard", () => {
  test("is released at the end of its block, also when that ends by a throw", () => {
    const inflight = new Inflight();
    const work = (): void => {
      using guard = inflight.incr("a", 2);
      expect(guard.get()).toBe(2);
      throw new Error("failed");
    };
    expect(work).toThrow("failed");
    expect(inflight.get("a")).toBe(0);
  });

  test("takes back once, however often it is released", () => {
    const inflight = new Inflight();
    const other = inflight.incr("a", 1);
    const guard = inflight.incr("a", 1);
    guard.release();
    guard.release();
    guard[Symbol.dispose]();
    expect(other.get()).toBe(1);
  });

  test("counts its value again, and takes back all of it", () => {
    const inflight = new Inflight();
    const guard = inflight.incr("a", 3);
    expect([guard.incr(), guard.incr(), guard.count]).toEqual([6, 9, 3]);
    guard.release();
    expect(inflight.get("a")).toBe(0);
  });

  test("does not count after its release, but still tells the count", () => {
    const inflight = new Inflight();
    const guard = inflight.incr("a", 0);
    guard.release();
    const message = "InflightGuard.incr: this guard was released; make another by Inflight.incr";
    expect(() => guard.incr()).toThrow(new TypeError(message));
    inflight.incr("a", 4);
    expect(guard.get()).toBe(4);
  });

  test("takes back from the key it counted, though its bytes have changed since", () => {
    const inflight = new Inflight();
    const bytes = Uint8Array.of(1, 2);
    const guard = inflight.incr(bytes);
    bytes[0] = 9;
    guard.release();
    expect([inflight.get(bytes), inflight.get(Uint8Array.of(1, 2))]).toEqual([0, 0]);
  });
});

test("counts are never too low, and 0 when every guard was released, in any order", () => {
  const size = fc.record({ hashes: fc.integer({ min: 1, max: 3 }), slots: fc.integer({ min: 1, max: 4 }) });
  const step = fc.oneof(
    fc.record({ key: fc.integer({ min: 0, max: 5 }), value: fc.nat(5) }),
    fc.record({ release: fc.nat(), again: fc.boolean() }),
  );
  fc.assert(
    fc.property(size, fc.array(step, { maxLength: 60 }), (options, steps) => {
      const inflight = new Inflight(options);
      const guards: { guard: InflightGuard; key: number; value: number; held: number }[] = [];
      const exact = (key: number): number =>
        guards.reduce((sum, entry) => sum + (entry.key === key ? entry.held : 0), 0);
      for (const one of steps) {
        if ("key" in one) {
          const guard = inflight.incr(one.key, one.value);
          guards.push({ guard, ...one, held: one.value });
          expect(guard.count).toBe(guard.get());
        } else if (guards.length > 0) {
          const entry = guards[one.release % guards.length]!;
          if (one.again && entry.held > 0) {
            entry.guard.incr();
            entry.held += entry.value;
          } else {
            entry.guard.release();
            entry.held = 0;
          }
        }
        for (const { guard, key } of guards) expect(guard.get()).toBeGreaterThanOrEqual(exact(key));
      }
      for (const { guard } of guards) guard.release();
      for (let key = 0; key <= 5; key += 1) expect(inflight.get(key)).toBe(0);
    }),
  );
});

describe("misuse", () => {
  test.each([-1, 0.5, Number.NaN, "1"])("%s is no value", (value) => {
    const inflight = new Inflight();
    expect(() => inflight.incr("a", value as number)).toThrow(
      new RangeError(`Inflight.incr: value: expected an integer of 0 or more, got ${String(value)}`),
    );
    expect(inflight.get("a")).toBe(0);
  });

  test("a key or a size that is none is named", () => {
    const inflight = new Inflight();
    expect(() => inflight.incr(undefined as unknown as string)).toThrow(/^Inflight: key: /);
    expect(() => new Inflight({ hashes: 0 })).toThrow(/^Inflight: hashes: /);
    expect(() => new Inflight({ slots: 0.5 })).toThrow(/^Inflight: slots: /);
  });
});
