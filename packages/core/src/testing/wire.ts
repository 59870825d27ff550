import type { MemoryStream } from "./memory-stream.ts";

/** How one direction of a {@link streamPair} behaves. */
export interface DirectionOptions {
  /** Delivers pieces of at most so many bytes. Default: as they were written. */
  pieceBytes?: number;
  /** Positions, counted in bytes from the first one, at which a piece ends. */
  cuts?: readonly number[];
  /** Bytes that fit between the two ends; what is beyond waits at the writer. Default 65,536. */
  windowBytes?: number;
  /** After so many bytes the connection breaks: the reader gets them, then ECONNRESET; the writer gets EPIPE. */
  failAfterBytes?: number;
}

const DEFAULT_WINDOW_BYTES = 65_536;

/** One direction between two ends: bytes on their way, then perhaps an end. */
export class Wire {
  reader!: MemoryStream;
  writer!: MemoryStream;
  readonly #options: DirectionOptions;
  readonly #onMovable: () => void;
  /** On the way, not yet given to the reader. */
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Bytes that the reader got. */
  #deliveredBytes = 0;
  /** Bytes that the writer may still send before the connection breaks. */
  #untilFailure: number;
  /** What found no room yet. */
  #waiting: { chunk: Buffer; done: (error?: Error) => void } | undefined = undefined;
  #wanted = true;
  /** What comes after the last byte. */
  #after: "nothing" | "end" | "failure" = "nothing";
  #resetDue = false;
  #readerGone = false;
  #finished = false;

  /** @param onMovable Called when {@link step} may have something to do. */
  constructor(options: DirectionOptions, onMovable: () => void) {
    this.#options = options;
    this.#onMovable = onMovable;
    this.#untilFailure = options.failAfterBytes ?? Number.POSITIVE_INFINITY;
    if (this.#untilFailure === 0) this.#after = "failure";
  }

  /** Bytes are on their way that the reader never got. */
  get unread(): boolean {
    return this.#queuedBytes > 0;
  }

  /** {@link step} would do something. */
  get movable(): boolean {
    if (this.#finished) return false;
    return this.#resetDue || (this.#wanted && (this.#queue.length > 0 || this.#after !== "nothing"));
  }

  send(chunk: Buffer, done: (error?: Error) => void): void {
    if (this.#readerGone) {
      // The other system answers with a reset.
      done();
      queueMicrotask(() => this.writer.destroy(systemError("ECONNRESET", "write")));
      return;
    }
    this.#waiting = { chunk, done };
    this.#fill();
    this.#onMovable();
  }

  end(): void {
    if (this.#after === "nothing") this.#after = "end";
    this.#onMovable();
  }

  /** The writer closed: what is on the way arrives, then an end. */
  abandon(): void {
    this.#waiting = undefined;
    this.end();
  }

  /** The writer broke off: what is on the way is lost. */
  reset(): void {
    this.#waiting = undefined;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#resetDue = true;
    this.#onMovable();
  }

  readerGone(): void {
    this.#readerGone = true;
    this.#finished = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.send(waiting.chunk, waiting.done);
  }

  wanted(): void {
    this.#wanted = true;
    this.#onMovable();
  }

  /** Moves one piece, or what comes after the last. */
  step(): boolean {
    if (!this.movable) return false;
    if (this.#resetDue) {
      this.#finished = true;
      this.reader.destroy(systemError("ECONNRESET", "read"));
      return true;
    }
    const next = this.#queue.shift();
    if (next !== undefined) {
      this.#deliver(next);
      return true;
    }
    this.#finished = true;
    if (this.#after === "failure") {
      this.reader.destroy(systemError("ECONNRESET", "read"));
      this.writer.destroy(systemError("EPIPE", "write"));
    } else {
      this.reader.push(null);
      // As net.Socket does: an end with nothing before it is told even to a paused reader.
      this.reader.read(0);
    }
    return true;
  }

  #deliver(next: Buffer): void {
    const size = this.#pieceSize(next.length);
    if (size < next.length) this.#queue.unshift(next.subarray(size));
    this.#deliveredBytes += size;
    this.#queuedBytes -= size;
    if (!this.reader.push(next.subarray(0, size))) this.#wanted = false;
    this.#fill();
  }

  #pieceSize(available: number): number {
    let size = Math.min(available, this.#options.pieceBytes ?? available);
    for (const cut of this.#options.cuts ?? []) {
      const ahead = cut - this.#deliveredBytes;
      if (ahead > 0 && ahead < size) size = ahead;
    }
    return size;
  }

  /** Takes from the writer what there is room for. */
  #fill(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const room = (this.#options.windowBytes ?? DEFAULT_WINDOW_BYTES) - this.#queuedBytes;
    const taken = Math.min(room, waiting.chunk.length, this.#untilFailure);
    if (taken > 0) {
      // As a system does: when it has them, their memory is the writer's again.
      this.#queue.push(Buffer.from(waiting.chunk.subarray(0, taken)));
      this.#queuedBytes += taken;
      this.#untilFailure -= taken;
      waiting.chunk = waiting.chunk.subarray(taken);
    }
    if (this.#untilFailure === 0) {
      this.#after = "failure";
      this.#waiting = undefined;
    } else if (waiting.chunk.length === 0) {
      this.#waiting = undefined;
      waiting.done();
    }
  }
}

function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}
