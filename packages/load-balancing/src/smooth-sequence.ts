/** The longest sequence that is built; 20 kB. */
const MAX_LENGTH = 10_000;

/**
 * The order of turns that gives each index its weight's share and spreads the turns of a heavy one between those of the
 * others, by nginx's method: weights 5, 1, 1 give `0 0 1 0 2 0 0`. As long as the sum of the weights over their greatest
 * common divisor.
 * @throws RangeError when that is more than 10,000.
 */
export function smoothSequence(weights: readonly number[]): Uint16Array {
  const divisor = weights.reduce(greatestCommonDivisor, 0);
  const shares = weights.map((weight) => weight / divisor);
  const length = shares.reduce((sum, share) => sum + share, 0);
  if (length > MAX_LENGTH) {
    throw new RangeError(
      `the weights add up to ${length} after division by their greatest common divisor; expected at most ${MAX_LENGTH}: use smaller or rounder weights`,
    );
  }
  const credit = shares.map(() => 0);
  const sequence = new Uint16Array(length);
  for (let turn = 0; turn < length; turn += 1) {
    let best = 0;
    for (let index = 0; index < shares.length; index += 1) {
      credit[index] = (credit[index] as number) + (shares[index] as number);
      if ((credit[index] as number) > (credit[best] as number)) best = index;
    }
    credit[best] = (credit[best] as number) - length;
    sequence[turn] = best;
  }
  return sequence;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
