import type { HeaderFields } from "@sluice/http";
import type { BodyIntake } from "./body-intake.ts";
import { BodyPieces } from "./body-pieces.ts";

/** Bytes of a request body that are kept for another attempt, as in Pingora. */
const MAX_BYTES = 65_536;

/** Keeps the start of a request body, in case that it must be sent again; all of one that a hook has read. */
export class RetryBuffer extends BodyPieces {
  /** More came than is kept, or some of it was lost: the body cannot be sent again. */
  truncated = false;
  /** The end of the body came, too. */
  ended = false;
  /** What followed the body, once it was read to its end. */
  trailers: HeaderFields | undefined = undefined;
  /** The first attempt has begun to send it. */
  begun = false;
  /** Where the modules have their place on the way; `undefined` without modules that would see it. */
  intake: BodyIntake | undefined = undefined;
  protected override mostBytes: number = MAX_BYTES;

  /** Returns whether the piece is kept in its own memory. */
  override add(piece: Uint8Array): boolean {
    if (this.truncated) return false;
    if (this.bytes + piece.length > this.mostBytes) {
      this.truncate();
      return false;
    }
    return super.add(piece);
  }

  /** The body is over. */
  end(trailers: HeaderFields | undefined): void {
    this.ended = true;
    this.trailers = trailers;
  }

  /** Gives up: the body can be sent once only. */
  truncate(): void {
    this.truncated = true;
    this.clear();
  }

  /** So many bytes are there anyway: what modules make of them is kept as well, if it is not more. */
  keepUpTo(bytes: number): void {
    this.mostBytes = Math.max(bytes, MAX_BYTES);
  }

  /** Takes over what was read of the body before it is sent. */
  adopt(read: BodyPieces): void {
    this.pieces = read.pieces;
    this.bytes = read.bytes;
  }
}
