import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { proportionalRateEstimate, Rate, type RateComponents, type RateOptions } from "./rate.ts";

/** A rate over windows of 1 s, and the hand of its clock. */
function rateAt(options: Partial<RateOptions> = {}): { rate: Rate; clock: { ms: number } } {
  const clock = { ms: 5_000_000.25 };
  return { rate: new Rate({ intervalMs: 1000, now: () => clock.ms, ...options }), clock };
}

const components = (rate: Rate, key: string | number): RateComponents => rate.rateWith(key, (given) => given);

describe("what Pingora's tests say", () => {
  test("observe tells the current window, rate the last one", () => {
    const { rate, clock } = rateAt();
    expect([rate.observe(1, 3), rate.observe(1, 2), rate.rate(1)]).toEqual([3, 5, 0]);
    clock.ms += 1000;
    expect([rate.observe(1, 4), rate.rate(1)]).toEqual([4, 5]);
    clock.ms += 1000;
    expect(rate.rate(1)).toBe(4);
    clock.ms += 1000;
    expect(rate.rate(1)).toBe(0);
  });

  test("an estimate of one's own", () => {
    const { rate, clock } = rateAt();
    const mixed = (): number =>
      rate.rateWith(1, ({ prevSamples, currSamples }) => prevSamples * 0.1 + currSamples * 0.9);
    rate.observe(1, 5);
    expect(mixed()).toBeCloseTo(4.5);
    clock.ms += 1000;
    rate.observe(1, 4);
    expect(mixed()).toBeCloseTo(0.5 + 3.6);
    clock.ms += 1000;
    expect(mixed()).toBeCloseTo(0.4);
    clock.ms += 1000;
    expect(mixed()).toBe(0);
  });

  test("the proportional estimate slides from window to window", () => {
    const { rate, clock } = rateAt();
    const estimate = (): number => rate.rateWith(1, proportionalRateEstimate);
    rate.observe(1, 5);
    expect(estimate()).toBe(5);
    clock.ms += 500;
    expect([estimate(), rate.rate(1)]).toEqual([5, 0]);
    clock.ms += 500;
    rate.observe(1, 4);
    expect(estimate()).toBe(9);
    clock.ms += 750;
    expect(estimate()).toBe(5 * 0.25 + 4);
    clock.ms += 250;
    expect([estimate(), rate.rate(1)]).toEqual([4, 4]);
    clock.ms += 500;
    expect([estimate(), rate.rate(1)]).toEqual([2, 4]);
    clock.ms += 1000;
    expect(estimate()).toBe(0);
  });
});

describe("windows", () => {
  test("begin every intervalMs from the start, not with the first call after the last one", () => {
    const { rate, clock } = rateAt();
    rate.observe("a", 1);
    clock.ms += 1900;
    expect(components(rate, "a")).toMatchObject({ prevSamples: 1, currSamples: 0 });
    expect(components(rate, "a").currentIntervalFraction).toBeCloseTo(0.9);
    rate.observe("a", 2);
    clock.ms += 100;
    expect(components(rate, "a")).toEqual({
      prevSamples: 2,
      currSamples: 0,
      intervalMs: 1000,
      currentIntervalFraction: 0,
    });
  });

  test("the call that changes the window reports the same fraction as the next", () => {
    const { rate, clock } = rateAt();
    clock.ms += 1300;
    const first = components(rate, "a").currentIntervalFraction;
    expect(first).toBeCloseTo(0.3);
    expect(components(rate, "a").currentIntervalFraction).toBe(first);
  });

  test("a clock that goes back counts on in the latest window", () => {
    const { rate, clock } = rateAt();
    clock.ms += 1500;
    rate.observe("a", 1);
    clock.ms -= 1400;
    expect(rate.observe("a", 1)).toBe(2);
    expect(components(rate, "a").currentIntervalFraction).toBe(0);
    clock.ms += 1950;
    expect(rate.rate("a")).toBe(2);
  });

  test("may have any length from 1 ms, and rates are per second", () => {
    const { rate, clock } = rateAt({ intervalMs: 62.5 });
    rate.observe("a", 3);
    clock.ms += 62.5;
    expect(rate.rate("a")).toBe(48);
    expect(rate.rateWith("a", proportionalRateEstimate)).toBe(48);
    const minutes = rateAt({ intervalMs: 60_000 });
    minutes.rate.observe("a", 90);
    minutes.clock.ms += 60_000;
    expect(minutes.rate.rate("a")).toBe(1.5);
  });

  const step = fc.record({
    waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3000 }), fc.constantFrom(999, 1000, 1001, 2000)),
    key: fc.constantFrom("a", "b", "c"),
    events: fc.nat(100),
  });

  /** Runs `steps`, and hands what each key has to `check` after each. */
  function replay(
    rate: Rate,
    clock: { ms: number },
    steps: readonly { waitMs: number; key: string; events: number }[],
    check: (key: string, previous: number, current: number, fraction: number, observed: number | undefined) => void,
  ): void {
    const counts = new Map<string, number>();
    let passedMs = 0;
    for (const { waitMs, key, events } of steps) {
      clock.ms += waitMs;
      passedMs += waitMs;
      const window = Math.floor(passedMs / 1000);
      const observed = rate.observe(key, events);
      counts.set(`${window} ${key}`, (counts.get(`${window} ${key}`) ?? 0) + events);
      for (const each of ["a", "b", "c"]) {
        const previous = counts.get(`${window - 1} ${each}`) ?? 0;
        const current = counts.get(`${window} ${each}`) ?? 0;
        check(each, previous, current, (passedMs % 1000) / 1000, each === key ? observed : undefined);
      }
    }
  }

  test("hold what happened in them", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { rate, clock } = rateAt({ hashes: 8 });
        replay(rate, clock, steps, (key, prevSamples, currSamples, fraction, observed) => {
          if (observed !== undefined) expect(observed).toBe(currSamples);
          expect(rate.rate(key)).toBe(prevSamples);
          const given = components(rate, key);
          expect(given).toMatchObject({ prevSamples, currSamples, intervalMs: 1000 });
          expect(given.currentIntervalFraction).toBeCloseTo(fraction, 9);
          expect(given.currentIntervalFraction).toBeLessThan(1);
        });
      }),
    );
  });

  test("with hardly any room, hold at least that", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (steps, slots) => {
        const { rate, clock } = rateAt({ hashes: 2, slots });
        replay(rate, clock, steps, (key, previous, current, _fraction, observed) => {
          if (observed !== undefined) expect(observed).toBeGreaterThanOrEqual(current);
          expect(components(rate, key).currSamples).toBeGreaterThanOrEqual(current);
          expect(rate.rate(key)).toBeGreaterThanOrEqual(previous);
        });
      }),
    );
  });
});

test("counts one when no number is given, and nothing for 0", () => {
  const { rate } = rateAt();
  expect([rate.observe("a"), rate.observe("a"), rate.observe("a", 0)]).toEqual([1, 2, 2]);
});

test("reads the clock of the process unless told otherwise", () => {
  const rate = new Rate({ intervalMs: 3_600_000 });
  expect([rate.observe("a"), rate.observe("a"), rate.rate("a")]).toEqual([1, 2, 0]);
  expect(components(rate, "a").currentIntervalFraction).toBeLessThan(1);
});

describe("misuse", () => {
  test.each([0, 0.5, -1, Number.NaN, Infinity, undefined, "1000"])("intervalMs cannot be %s", (intervalMs) => {
    expect(() => new Rate({ intervalMs: intervalMs as number })).toThrow(
      new RangeError(`Rate: intervalMs: expected a number of milliseconds, 1 or more, got ${String(intervalMs)}`),
    );
  });

  test.each([-1, 0.5, Number.NaN, "1"])("%s is no number of events", (events) => {
    const { rate } = rateAt();
    expect(() => rate.observe("a", events as number)).toThrow(
      new RangeError(`Rate.observe: events: expected an integer of 0 or more, got ${String(events)}`),
    );
    expect(rate.observe("a", 0)).toBe(0);
  });

  test("a key, a size or a clock that is none is named", () => {
    const { rate } = rateAt();
    const none = undefined as unknown as string;
    for (const call of [() => rate.observe(none), () => rate.rate(none), () => rate.rateWith(none, () => 0)]) {
      expect(call).toThrow(/^Rate: key: /);
    }
    expect(() => rateAt({ hashes: 0 })).toThrow(/^Rate: hashes: /);
    expect(() => rateAt({ slots: 0 })).toThrow(/^Rate: slots: /);
    expect(() => rateAt({ now: 5 as unknown as () => number })).toThrow(
      new TypeError("Rate: now: expected a function, got number"),
    );
  });
});
