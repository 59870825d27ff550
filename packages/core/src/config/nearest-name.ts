/**
 * The one of `names` that `name` was probably meant to be; `undefined` when none is near. Near means: a third of the
 * letters, at least one, inserted, left out, replaced or swapped with their neighbour; case and `-` for `_` count nothing.
 */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  const given = folded(name);
  let nearest: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const candidate of names) {
    const distance = editDistance(given, folded(candidate), least);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

function folded(name: string): string {
  return name.toLowerCase().replaceAll("-", "_");
}

/** Edits between two words, a swap of neighbours counted as one; `limit` when there are that many or more. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let edits = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) edits = Math.min(edits, beforeLast[column - 2]! + 1);
      current.push(edits);
    }
    beforeLast = last;
    last = current;
  }
  return Math.min(last[to.length]!, limit);
}
