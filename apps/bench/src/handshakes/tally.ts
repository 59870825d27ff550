/** What the program that makes handshakes counts, and prints as JSON. */
export interface Tally {
  /** Right answers that came whole, each on a connection of its own. */
  readonly answered: number;
  /** How many of these connections went on with an earlier session. */
  readonly resumed: number;
  readonly wrong: Failures;
  /** Connections that broke, or whose certificate was not the one expected. */
  readonly failed: Failures;
  /** From the start of a connection to its end, for each answer. */
  readonly latenciesMs: readonly number[];
  readonly bytesRead: number;
  readonly seconds: number;
}

interface Failures {
  readonly count: number;
  /** The first. */
  readonly sample: string;
}
