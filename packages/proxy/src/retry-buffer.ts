/** Bytes of a request body that are kept for another attempt, as in Pingora. */
const MAX_BYTES = 65_536;

/** Keeps the start of a request body, in case that it must be sent again. */
export class RetryBuffer {
  readonly pieces: Buffer[] = [];
  /** More came than is kept: the body cannot be sent again. */
  truncated = false;
  #bytes = 0;

  add(piece: Buffer): void {
    if (this.truncated) return;
    this.#bytes += piece.length;
    if (this.#bytes > MAX_BYTES) {
      this.truncated = true;
      this.pieces.length = 0;
      return;
    }
    this.pieces.push(piece);
  }
}
