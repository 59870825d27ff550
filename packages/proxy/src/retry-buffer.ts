import type { HeaderFields } from "@sluice/http";

/** Bytes of a request body that are kept for another attempt, as in Pingora. */
const MAX_BYTES = 65_536;

/** Keeps the start of a request body, in case that it must be sent again. */
export class RetryBuffer {
  readonly pieces: Buffer[] = [];
  /** More came than is kept: the body cannot be sent again. */
  truncated = false;
  /** What followed the body, once it was read to its end. */
  trailers: HeaderFields | undefined = undefined;
  #bytes = 0;

  /** Returns whether the piece is kept. */
  add(piece: Buffer): boolean {
    if (this.truncated) return false;
    this.#bytes += piece.length;
    if (this.#bytes > MAX_BYTES) {
      this.truncated = true;
      this.pieces.length = 0;
      return false;
    }
    this.pieces.push(piece);
    return true;
  }
}
