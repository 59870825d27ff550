/** Requests under way at a time, whatever the protocol. */
export const IN_FLIGHT = 64;

/** A workload made ready for the program that sends it. */
export interface Load {
  /** Sends requests from the load core. Rejects when `signal` aborts or nothing is listening. */
  run(run: LoadRun): Promise<LoadResult>;
}

interface LoadRun {
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** What the program counted in one run. */
export interface LoadResult {
  /** Answers that came whole. */
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  /** Latency that 99 % of the requests stayed under. Milliseconds. */
  readonly p99Ms: number;
  /** Bytes received, heads included where they are not compressed. wrk rounds to about three digits. */
  readonly bytesRead: number;
  /** Answers of another class than 2xx and 3xx. */
  readonly badStatuses: number;
  /** Failed connects, reads and writes, and answers that took too long. */
  readonly socketErrors: number;
  /** What else shows that this was not the load meant. */
  readonly faults?: readonly string[];
}
