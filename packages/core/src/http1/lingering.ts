import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import type { Deadline } from "../net/deadline.ts";
import { sendWindowMs, type WriteLimits } from "./write-watch.ts";

/** More than this may stand before a client that reads slowly, in the buffers of both systems, when it has left us. */
export const LARGE_BYTES = 65_536;

/** How long it may stand there without a word of the client, if `writeMs` sets no less. */
const MAX_UNHEARD_MS = 60_000;

/** Whether a client may still be reading what left us at `leftAtMs`. */
export function mayStillRead(leftAtMs: number, { writeMs }: Pick<WriteLimits, "writeMs">): boolean {
  return nowMs() - leftAtMs < Math.min(writeMs || MAX_UNHEARD_MS, MAX_UNHEARD_MS);
}

/**
 * The end of a connection whose client may still be sending: our direction ends, and we read on for a while. Closing with
 * unread bytes would reset the connection, and the client could lose the response (RFC 9112, section 9.6).
 */
export class Lingering {
  readonly #stream: ByteStream;
  readonly #deadline: Deadline;
  readonly #limits: WriteLimits;
  readonly #cut: () => void;
  /** The bytes of the response that had not left when its time was over. */
  #unsentBytes = 0;

  /**
   * @param lingerMs How long what the client sends is read.
   * @param limits How slowly it may take what it was sent before.
   * @param cut Closes, whatever has not left.
   */
  constructor(stream: ByteStream, deadline: Deadline, lingerMs: number, limits: WriteLimits, cut: () => void) {
    this.#stream = stream;
    this.#deadline = deadline;
    this.#limits = limits;
    this.#cut = cut;
    deadline.set(lingerMs);
  }

  /** The time that was set last is over. */
  onTimeout(): void {
    // Long enough: nothing that was promised is lost.
    if (!this.#takesBytes()) this.#cut();
    else this.#deadline.set(sendWindowMs(this.#limits, this.#unsentBytes));
  }

  /** The response is still leaving, and the client has taken enough of it since it was asked last. */
  #takesBytes(): boolean {
    const before = this.#unsentBytes;
    this.#unsentBytes = this.#stream.writableLength;
    if (this.#unsentBytes === 0) return false;
    return before === 0 || (this.#limits.minSendBytesPerSecond === 0 && this.#unsentBytes < before);
  }
}
