import type { Backend } from "./backend.ts";
import type { Fallbacks, Selector } from "./selection.ts";
import { smoothSequence } from "./smooth-sequence.ts";

/**
 * In turn, by weight, without regard to the key. It starts with the first backend given, and again when the set changes.
 *
 * Turns are interleaved smoothly: with weights 5, 1, 1 the first backend does not get its five requests in a row (in
 * Pingora it does). Fallbacks go round the other backends in the order given, whatever their weight, each time from
 * another starting point: so the share of a backend that is down spreads over all others instead of doubling the load of
 * its neighbour. Falling back does not disturb the turns of first choices (in Pingora it does).
 * @throws RangeError when weights differ and add up to more than 10,000, after division by their common divisor.
 */
export function roundRobin(backends: readonly Backend[]): Selector {
  return new RoundRobin(backends);
}

class RoundRobin implements Selector {
  readonly #count: number;
  /** `undefined` when all weights are equal: the turn is then the index, for any number of backends. */
  readonly #sequence: Uint16Array | undefined;
  readonly #length: number;
  #turn = 0;
  #fallbackTurn = 0;

  constructor(backends: readonly Backend[]) {
    this.#count = backends.length;
    const equal = backends.every((backend) => backend.weight === backends[0]?.weight);
    this.#sequence = equal ? undefined : smoothSequence(backends.map((backend) => backend.weight));
    this.#length = this.#sequence?.length ?? this.#count;
  }

  first(): number {
    const turn = this.#turn;
    this.#turn = turn + 1 === this.#length ? 0 : turn + 1;
    return this.#sequence === undefined ? turn : (this.#sequence[turn] as number);
  }

  fallbacks(_key: string, first: number): Fallbacks {
    const others = this.#count - 1;
    const start = this.#fallbackTurn;
    this.#fallbackTurn = start + 1 >= others ? 0 : start + 1;
    return new OthersInOrder(first, start, this.#count);
  }
}

/** The indexes other than `first`, in a circle that begins `start` places after it. */
class OthersInOrder implements Fallbacks {
  readonly #first: number;
  readonly #count: number;
  #step: number;

  constructor(first: number, start: number, count: number) {
    this.#first = first;
    this.#count = count;
    this.#step = start;
  }

  next(): number {
    const step = this.#step;
    this.#step = step + 1 === this.#count - 1 ? 0 : step + 1;
    return (this.#first + 1 + step) % this.#count;
  }
}
