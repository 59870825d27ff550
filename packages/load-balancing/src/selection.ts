import type { Backend } from "./backend.ts";

/**
 * A way to choose: builds a {@link Selector} for a set of backends. Called whenever the set changes; may take a while.
 * The list is never empty and has no address twice. Throwing refuses the set, and the old one stays.
 */
export type Selection = (backends: readonly Backend[]) => Selector;

/** Chooses among the backends it was built from, which it names by their index. Knows nothing of their health. */
export interface Selector {
  /**
   * The first choice. Called for each request: must be quick, and should not allocate.
   * @param key What the choice may depend on, such as a path or a client address; `""` if the caller gave none.
   */
  first(key: string): number;
  /**
   * The other choices, for when the first is not ready or was not accepted: each of the other backends once, best
   * first. `first` is what {@link first} returned for `key`.
   */
  fallbacks(key: string, first: number): Fallbacks;
}

/** A walk over the choices after the first. */
export interface Fallbacks {
  /** The index of the next choice. Asked at most as often as there are other backends. */
  next(): number;
}
