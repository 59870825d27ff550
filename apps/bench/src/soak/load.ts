import { HABITS } from "./habits.ts";

/** What the clients of a soak saw. */
export interface LoadCounts {
  /** Times each habit went as it should. */
  readonly done: Map<string, number>;
  /** What went wrong, and how often. */
  readonly failures: Map<string, number>;
}

/** Lets `clients` behave as they like until `seconds` have passed, each one thing after another. Adds to `counts`. */
export async function load(
  port: number,
  clients: number,
  seconds: number,
  counts: LoadCounts,
  signal: AbortSignal,
): Promise<void> {
  const endsAt = performance.now() + seconds * 1000;
  const habits = Object.entries(HABITS);
  const client = async (seed: number): Promise<void> => {
    const random = seededRandom(seed);
    while (performance.now() < endsAt && !signal.aborted) {
      const [name, habit] = habits[Math.floor(random() * habits.length)]!;
      try {
        await habit(port, random);
        count(counts.done, name);
      } catch (error) {
        count(counts.failures, `${name}: ${(error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index + 1)));
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** A linear congruential generator: the same clients do the same in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
