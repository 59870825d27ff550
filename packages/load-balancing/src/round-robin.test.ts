import { describe, expect, test } from "vitest";
import { Backend } from "./backend.ts";
import { roundRobin } from "./round-robin.ts";
import type { Selector } from "./selection.ts";
import { smoothSequence } from "./smooth-sequence.ts";

function weighted(...weights: number[]): Selector {
  return roundRobin(weights.map((weight, index) => new Backend({ address: `10.0.0.${index}:80`, weight })));
}

function firsts(selector: Selector, count: number): number[] {
  return Array.from({ length: count }, () => selector.first(""));
}

function fallbacksOf(selector: Selector, first: number, count: number): number[] {
  const fallbacks = selector.fallbacks("", first);
  return Array.from({ length: count }, () => fallbacks.next());
}

describe("first choices", () => {
  test("take turns in the order given, without end", () => {
    expect(firsts(weighted(1, 1, 1), 7)).toEqual([0, 1, 2, 0, 1, 2, 0]);
    expect(firsts(weighted(7, 7), 3)).toEqual([0, 1, 0]);
    expect(firsts(weighted(3), 3)).toEqual([0, 0, 0]);
  });

  test("weights are interleaved, where Pingora gives 0 0 0 0 0 1 2", () => {
    expect(firsts(weighted(5, 1, 1), 14)).toEqual([0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
  });

  test("the share of each is exact in each round", () => {
    const counts = [0, 0, 0];
    for (const index of firsts(weighted(8, 1, 1), 1000)) counts[index] = (counts[index] ?? 0) + 1;
    expect(counts).toEqual([800, 100, 100]);
  });

  test("are not disturbed by fallbacks, as they are in Pingora", () => {
    const selector = weighted(1, 1, 1);
    expect(selector.first("")).toBe(0);
    fallbacksOf(selector, 0, 2);
    expect(firsts(selector, 3)).toEqual([1, 2, 0]);
  });
});

describe("fallbacks", () => {
  test("are all others, once, in order, whatever their weight", () => {
    expect(fallbacksOf(weighted(8, 1, 1), 0, 2)).toEqual([1, 2]);
    expect(fallbacksOf(weighted(1, 1, 1, 1), 2, 3)).toEqual([3, 0, 1]);
    expect(fallbacksOf(weighted(1, 1), 1, 1)).toEqual([0]);
  });

  test("begin elsewhere each time, so that the next one does not carry the load of the one that is down", () => {
    const selector = weighted(1, 1, 1, 1);
    expect(Array.from({ length: 4 }, () => fallbacksOf(selector, 0, 3))).toEqual([
      [1, 2, 3],
      [2, 3, 1],
      [3, 1, 2],
      [1, 2, 3],
    ]);
  });
});

describe("the sequence", () => {
  test("is as short as the common divisor allows", () => {
    expect([...smoothSequence([100, 50])]).toEqual([0, 1, 0]);
    expect([...smoothSequence([4, 4, 4])]).toEqual([0, 1, 2]);
    expect(smoothSequence([9999, 1])).toHaveLength(10_000);
  });

  test("longer than 10,000 is refused", () => {
    expect(() => smoothSequence([10_000, 1])).toThrow(/add up to 10001 .* at most 10000/);
  });

  test("is not needed for equal weights: any number of backends will do", () => {
    const many = roundRobin(
      Array.from({ length: 20_000 }, (_, index) => new Backend({ address: `b${index}:80`, weight: 3 })),
    );
    expect(firsts(many, 20_001).at(-2)).toBe(19_999);
    expect(many.first("")).toBe(1);
  });

  test.each([[[3, 2, 1]], [[7, 3, 2, 1]], [[1, 10]]])("%j: no backend waits much longer than its share", (weights) => {
    const sequence = [...smoothSequence(weights)];
    const twice = [...sequence, ...sequence];
    const gaps = weights.map((weight, index) => {
      const places = twice.flatMap((turn, place) => (turn === index ? [place] : []));
      const longest = Math.max(...places.slice(1).map((place, at) => place - (places[at] as number)));
      return longest / (sequence.length / weight);
    });
    expect(Math.max(...gaps)).toBeLessThan(2);
  });
});
