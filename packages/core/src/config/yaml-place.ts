import {
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  visit,
  type Document,
  type Node,
  type Pair,
} from "yaml";
import type { KeyPath } from "./key-path.ts";

/** Which side of `key: value` is meant. */
export type Side = "key" | "value";

/**
 * The offset in the text to show for `path`: the value if it is written beside its key, else the key. Where the path
 * leads to nothing (a key that is missing), the nearest parent there is.
 */
export function offsetOf(document: Document, path: KeyPath, side: Side): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of path.entries()) {
    const container = isAlias(node) ? node.resolve(document) : node;
    const wanted = index === path.length - 1 ? side : "value";
    if (isMap(container)) {
      const pair = container.items.find((item) => keyName(item.key) === String(step));
      if (pair === undefined) return offset;
      offset = offsetOfPair(pair, wanted) ?? offset;
      node = pair.value;
    } else if (isSeq(container)) {
      node = container.items[Number(step)];
      if (node === undefined) return offset;
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

/** The path of the key that begins at `offset`; empty if none does. */
export function pathOfKeyAt(document: Document, offset: number): KeyPath {
  let found: KeyPath = [];
  visit(document, {
    Pair(_index, pair, ancestors) {
      if (startOf(pair.key) !== offset) return undefined;
      found = [...pathOf(ancestors), keyName(pair.key)];
      return visit.BREAK;
    },
  });
  return found;
}

function pathOf(ancestors: readonly unknown[]): PropertyKey[] {
  return ancestors.flatMap((node, index): PropertyKey[] => {
    if (isPair(node)) return [keyName(node.key)];
    return isSeq(node) && index + 1 < ancestors.length ? [node.items.indexOf(ancestors[index + 1])] : [];
  });
}

function offsetOfPair(pair: Pair, side: Side): number | undefined {
  const empty = pair.value === null || (isScalar(pair.value) && pair.value.value === null);
  const beside = side === "value" && !empty && !isCollection(pair.value);
  return (beside ? startOf(pair.value) : undefined) ?? startOf(pair.key);
}

function keyName(key: unknown): string {
  return String(isScalar(key) ? key.value : key);
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}
