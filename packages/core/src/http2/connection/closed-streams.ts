/** How a stream came to its end, which decides what may still come on it (RFC 9113, section 5.1). */
export type StreamEnd = "ended" | "reset-by-us" | "reset-by-peer";

/** What comes late is of the last few round trips. */
const LEAST_KNOWN = 256;
/** To look for one among them takes 2 µs. */
const MOST_KNOWN = 8192;

/** The last streams that were closed: twice as many as may be open at a time, which one event can close together. */
export class ClosedStreams {
  readonly #known: number;
  readonly #ids: number[] = [];
  readonly #ends: StreamEnd[] = [];
  #next = 0;

  constructor(maxConcurrentStreams: number) {
    this.#known = Math.min(Math.max(LEAST_KNOWN, maxConcurrentStreams * 2), MOST_KNOWN);
  }

  add(streamId: number, end: StreamEnd): void {
    this.#ids[this.#next] = streamId;
    this.#ends[this.#next] = end;
    this.#next = (this.#next + 1) % this.#known;
  }

  /** `undefined`: it was closed long ago, or never opened. */
  endOf(streamId: number): StreamEnd | undefined {
    const at = this.#ids.lastIndexOf(streamId);
    return at < 0 ? undefined : this.#ends[at];
  }
}
