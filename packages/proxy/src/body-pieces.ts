import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/** A smaller piece is copied: kept where it is, it would hold all the memory that one read of a socket takes, 64 KiB. */
const KEPT_FROM_BYTES = 16_384;
/** Small pieces are put together into blocks of up to this size, so that a body sent byte by byte costs no more than another. */
const MAX_BLOCK_BYTES = 65_536;
const MIN_BLOCK_BYTES = 1024;

/** A body, piece by piece as it came, in little more memory than it has bytes. */
export class BodyPieces {
  /** In order; together they are the body. */
  pieces: Uint8Array[] = [];
  bytes = 0;
  /** More than that will never be added. */
  protected mostBytes: number = Number.POSITIVE_INFINITY;
  /** Where small pieces go. */
  #block: Buffer | undefined = undefined;
  #blockUsed = 0;
  /** Where in the block the last of {@link pieces} begins; -1: it is no part of it. */
  #lastFrom = -1;

  /** Returns whether the memory of `piece` itself is kept, so that it must not be used again. */
  add(piece: Uint8Array): boolean {
    this.bytes += piece.length;
    if (piece.length >= KEPT_FROM_BYTES) {
      this.pieces.push(piece);
      this.#lastFrom = -1;
      return true;
    }
    if (piece.length > 0) this.#copy(piece);
    return false;
  }

  /** All of it as one, in place of the pieces, which become parts of it: no byte is there twice. */
  join(): Buffer {
    const whole = this.pieces.length === 1 ? asBuffer(this.pieces[0]!) : Buffer.concat(this.pieces, this.bytes);
    this.clear();
    this.bytes = whole.length;
    for (let at = 0; at < whole.length; at += MAX_BLOCK_BYTES) {
      this.pieces.push(whole.subarray(at, at + MAX_BLOCK_BYTES));
    }
    return whole;
  }

  /** Forgets all. */
  clear(): void {
    this.pieces.length = 0;
    this.bytes = 0;
    this.#block = undefined;
    this.#lastFrom = -1;
  }

  #copy(piece: Uint8Array): void {
    const block = this.#blockWithRoomFor(piece.length);
    const from = this.#lastFrom < 0 ? this.#blockUsed : this.#lastFrom;
    block.set(piece, this.#blockUsed);
    this.#blockUsed += piece.length;
    const last = block.subarray(from, this.#blockUsed);
    if (this.#lastFrom < 0) this.pieces.push(last);
    else this.pieces[this.pieces.length - 1] = last;
    this.#lastFrom = from;
  }

  #blockWithRoomFor(bytes: number): Buffer {
    if (this.#block !== undefined && this.#block.length - this.#blockUsed >= bytes) return this.#block;
    // The first piece is often the only one; later, as much room again as there is body.
    const room = this.pieces.length === 0 ? bytes : Math.min(Math.max(this.bytes, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES);
    const mayCome = bytes + this.mostBytes - this.bytes;
    this.#block = Buffer.allocUnsafe(Math.max(bytes, Math.min(room, mayCome)));
    this.#blockUsed = 0;
    this.#lastFrom = -1;
    return this.#block;
  }
}

function asBuffer(piece: Uint8Array): Buffer {
  return Buffer.isBuffer(piece) ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
}
