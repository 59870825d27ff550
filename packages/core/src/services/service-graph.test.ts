import { describe, expect, test } from "vitest";
import type { Service } from "./service.ts";
import { ServiceGraph } from "./service-graph.ts";

const service = (name: string): Service => ({ name, start: async () => undefined, stop: async () => undefined });

/** `name: what it waits for`, in order. */
function shown(graph: ServiceGraph): string[] {
  return [...graph.order()].map(([{ name }, after]) => `${name}: ${after.map((other) => other.name).join(" ")}`.trim());
}

const [a, b, c, d] = [service("a"), service("b"), service("c"), service("d")] as const;

test("each waits for those added before it, if nothing else is said", () => {
  const graph = new ServiceGraph();
  for (const one of [a, b, c]) graph.add(one);
  expect(shown(graph)).toEqual(["a:", "b: a", "c: a b"]);
});

test("one that says what it waits for waits for nothing else", () => {
  const graph = new ServiceGraph();
  graph.add(a);
  graph.add(b, []);
  graph.add(c, [b]);
  graph.add(d);
  expect(shown(graph)).toEqual(["a:", "b:", "c: b", "d: a b c"]);
});

test("one may wait for another that is added later", () => {
  const graph = new ServiceGraph();
  graph.add(a, [c]);
  graph.add(b);
  graph.add(c);
  expect(shown(graph)).toEqual(["c:", "a: c", "b: c a"]);
});

test("a diamond: the last waits for both, and they for the first", () => {
  const graph = new ServiceGraph();
  graph.add(d, [b, c]);
  graph.add(c, [a]);
  graph.add(b, [a]);
  graph.add(a);
  expect(shown(graph)).toEqual(["a:", "b: a", "c: a", "d: b c"]);
});

describe("a circle is refused, with the names", () => {
  test("of one", () => {
    const graph = new ServiceGraph();
    expect(() => graph.add(a, [a])).toThrow("circular service dependency: a -> a (each waits for the next)");
  });

  test("of three", () => {
    const graph = new ServiceGraph();
    graph.add(a, [b]);
    graph.add(b, [c]);
    graph.add(c);
    expect(() => graph.depend(c, a)).toThrow("circular service dependency: c -> a -> b -> c");
    // What was there before goes on to hold.
    expect(shown(graph)).toEqual(["c:", "b: c", "a: b"]);
  });
});

test("what is not there cannot be waited for, nor wait", () => {
  const graph = new ServiceGraph();
  expect(() => graph.depend(a, b)).toThrow("the service a is to wait for others and was not added");
  graph.add(a, [b]);
  expect(() => graph.order()).toThrow("the service a waits for b, which was not added");
  expect(() => graph.add(a)).toThrow("the service a was added twice");
});

test("what is waited for besides comes first, and closes circles as well", () => {
  const graph = new ServiceGraph();
  graph.add(a);
  graph.add(b, []);
  graph.add(c, []);
  const besides = (one: Service): Service[] => (one === a || one === b ? [c] : []);
  expect([...graph.order(besides)].map(([{ name }]) => name)).toEqual(["c", "a", "b"]);
  graph.depend(c, b);
  expect(() => graph.order(besides)).toThrow("circular service dependency: c -> b -> c");
});
