/** When unexpected bytes were noticed: while idle, at the moment of storing, or at the moment of handing out. */
export type UnexpectedDataPhase = "idle" | "release" | "pickup";

/**
 * How many connections were dropped because their peer spoke out of turn. Counts only grow.
 *
 * A steady rise means an upstream that answers more than it was asked, such as a body after a HEAD: a desynchronised
 * connection in the making. All phases count; Pingora's one counter misses those noticed while idle.
 */
export interface UnexpectedDataCounts {
  readonly idle: number;
  readonly release: number;
  readonly pickup: number;
  readonly total: number;
}

/** The counts of one pool, live. */
export class UnexpectedDataCounter implements UnexpectedDataCounts {
  idle = 0;
  release = 0;
  pickup = 0;

  get total(): number {
    return this.idle + this.release + this.pickup;
  }
}
