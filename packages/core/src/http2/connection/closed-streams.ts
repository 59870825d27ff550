/** How a stream came to its end, which decides what may still come on it (RFC 9113, section 5.1). */
export type StreamEnd = "ended" | "reset-by-us" | "reset-by-peer";

/** As many as may be open at a time, and then some: what comes late is of the last few round trips. */
const MAX_KNOWN = 256;

/** The last streams that were closed. */
export class ClosedStreams {
  readonly #ids: number[] = [];
  readonly #ends: StreamEnd[] = [];
  #next = 0;

  add(streamId: number, end: StreamEnd): void {
    this.#ids[this.#next] = streamId;
    this.#ends[this.#next] = end;
    this.#next = (this.#next + 1) % MAX_KNOWN;
  }

  /** `undefined`: it was closed long ago, or never opened. */
  endOf(streamId: number): StreamEnd | undefined {
    const at = this.#ids.lastIndexOf(streamId);
    return at < 0 ? undefined : this.#ends[at];
  }
}
