import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";

/** How slowly a peer may take our bytes. */
export interface WriteLimits {
  /** It must take something within this time. Milliseconds; 0 waits for ever. Without effect beside a rate. */
  readonly writeMs: number;
  /**
   * What it is given must be gone at this rate at least, in bytes a second, and a second is always allowed: so it may pause
   * for as long as that takes. 0: no rate is asked for.
   */
  readonly minSendBytesPerSecond: number;
}

/** How long a peer may take for `unsentBytes` if it takes nothing before. Milliseconds; 0: for ever. */
export function sendWindowMs(limits: WriteLimits, unsentBytes: number): number {
  const { writeMs, minSendBytesPerSecond: rate } = limits;
  return rate > 0 ? (Math.max(unsentBytes, rate) / rate) * 1000 : writeMs;
}

/** For the error of a peer that did not keep them. */
export function tooSlowly(limits: WriteLimits): string {
  const { writeMs, minSendBytesPerSecond: rate } = limits;
  return rate > 0 ? `took less than ${rate} bytes a second` : `took no bytes for ${writeMs} ms`;
}

/** What is written to. */
interface Written {
  /** Bytes taken by `write` and not yet handed to the system. */
  readonly writableLength: number;
}

/** Watches a stream that has more to send than the system takes, until it has sent it. */
export class WriteWatch {
  readonly #stream: Written;
  readonly #deadline: Deadline;
  readonly #onStalled: () => void;
  #limits: WriteLimits | undefined = undefined;
  #startedAtMs = 0;
  /** Bytes that were given to the stream since the watch began or was checked last. */
  #given = 0;
  /** Bytes that it held then. */
  #heldBefore = 0;
  /** Of those, the bytes that were with the system's queue. */
  #queuedBefore = 0;

  /** @param onStalled Called when the limits are not kept. */
  constructor(stream: Written, onStalled: () => void) {
    this.#stream = stream;
    this.#onStalled = onStalled;
    this.#deadline = new Deadline(() => this.#check());
  }

  /** Begins to watch, if it does not already: more bytes do not give the peer more time than their rate does. */
  start(limits: WriteLimits): void {
    if (this.#limits !== undefined) return;
    // Kept as they are now: whoever they belong to may be gone, and others follow, while these bytes are still leaving.
    const { writeMs, minSendBytesPerSecond } = limits;
    this.#limits = { writeMs, minSendBytesPerSecond };
    this.#startedAtMs = nowMs();
    this.#given = 0;
    this.#heldBefore = this.#stream.writableLength;
    this.#queuedBefore = queuedBytes(this.#stream);
    this.#deadline.set(sendWindowMs(limits, this.#heldBefore), this.#startedAtMs);
  }

  /** `bytes` more were given to the stream. */
  add(bytes: number): void {
    this.#given += bytes;
  }

  /** The limits that are watched; `undefined` while the peer keeps up. */
  get limits(): WriteLimits | undefined {
    return this.#limits;
  }

  stop(): void {
    this.#limits = undefined;
    this.#deadline.clear();
  }

  dispose(): void {
    this.#limits = undefined;
    this.#deadline.dispose();
  }

  #check(): void {
    const limits = this.#limits;
    if (limits === undefined) return;
    // A stream that was ended tells no more that it has drained.
    if (this.#stream.writableLength === 0) this.#limits = undefined;
    else if (limits.minSendBytesPerSecond > 0) this.#checkRate(limits);
    else this.#checkProgress(limits);
  }

  /** Not all is gone: is there time left for it? */
  #checkRate(limits: WriteLimits): void {
    const now = nowMs();
    const leftMs = this.#startedAtMs + sendWindowMs(limits, this.#heldBefore + this.#given) - now;
    // Timers may fire a little early.
    if (leftMs > 0.5) this.#deadline.set(leftMs, now);
    else this.#stalled();
  }

  #checkProgress(limits: WriteLimits): void {
    const held = this.#stream.writableLength;
    const queued = queuedBytes(this.#stream);
    // A stream counts a write as held until all of it has left; the queue shows how far a large one has come.
    const taken = Math.max(this.#heldBefore + this.#given - held, this.#queuedBefore - queued);
    if (taken < 1) {
      this.#stalled();
      return;
    }
    this.#given = 0;
    this.#heldBefore = held;
    this.#queuedBefore = queued;
    this.#deadline.set(limits.writeMs);
  }

  #stalled(): void {
    this.#onStalled();
    this.#limits = undefined;
  }
}

/** Bytes in the queue below a socket, which Node's own idle timer looks at too; 0 for streams without one. */
export function queuedBytes(stream: object): number {
  return (stream as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0;
}
