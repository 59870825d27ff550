import type { ByteStream } from "../net/byte-stream.ts";
import { Deadline } from "../net/deadline.ts";

/** How slowly a peer may take our bytes. */
export interface WriteLimits {
  /** It must take something within this time. Milliseconds; 0 waits for ever. */
  readonly writeMs: number;
  /** Averaged over each `writeMs` in which it is behind, it must take at least this much. 0: anything will do. */
  readonly minBytesPerSecond: number;
}

/** Watches a stream that has more to send than the system takes, until it has sent it. */
export class WriteWatch {
  readonly #stream: ByteStream;
  readonly #deadline: Deadline;
  readonly #onStalled: () => void;
  #limits: WriteLimits | undefined = undefined;
  /** Bytes that were given to the stream since the watch began or was checked last. */
  #given = 0;
  /** Bytes that it held then. */
  #heldBefore = 0;
  /** Of those, the bytes that were with the system's queue. */
  #queuedBefore = 0;

  /** @param onStalled Called when the limits are not kept. */
  constructor(stream: ByteStream, onStalled: () => void) {
    this.#stream = stream;
    this.#onStalled = onStalled;
    this.#deadline = new Deadline(() => this.#check());
  }

  /** Begins to watch, if it does not already: more bytes do not give the peer more time. */
  start(limits: WriteLimits): void {
    if (this.#limits !== undefined) return;
    this.#limits = limits;
    this.#given = 0;
    this.#heldBefore = this.#stream.writableLength;
    this.#queuedBefore = queuedBytes(this.#stream);
    this.#deadline.set(limits.writeMs);
  }

  /** `bytes` more were given to the stream. */
  add(bytes: number): void {
    this.#given += bytes;
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
    const held = this.#stream.writableLength;
    const queued = queuedBytes(this.#stream);
    // A stream counts a write as held until all of it has left; the queue shows how far a large one has come.
    const taken = Math.max(this.#heldBefore + this.#given - held, this.#queuedBefore - queued);
    const wanted = Math.max(1, (limits.minBytesPerSecond * limits.writeMs) / 1000);
    if (taken < wanted) {
      this.#limits = undefined;
      this.#onStalled();
      return;
    }
    this.#given = 0;
    this.#heldBefore = held;
    this.#queuedBefore = queued;
    this.#deadline.set(limits.writeMs);
  }
}

/** Bytes in the queue below a socket, which Node's own idle timer looks at too; 0 for streams without one. */
function queuedBytes(stream: ByteStream): number {
  return (stream as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0;
}
