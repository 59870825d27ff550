import { readSync } from "node:fs";
import type { ByteStream } from "./byte-stream.ts";

const PIECE_BYTES = 65_536;
/** An answer is short; who sends faster than we read must not keep us here. */
const MAX_PIECES = 16;

/**
 * Reads, at once, what the system has received for a plaintext socket that failed to write and is about to be closed by Node:
 * closing throws it away. An origin that refuses an upload, answers and closes has often said why when writing fails.
 *
 * How the peer ended behind it cannot be told: a reset whose error the failed write has taken reads as an end.
 * @returns Pieces in order, each of its own memory; none for streams that are no sockets of the system.
 */
export function readRest(stream: ByteStream): Buffer[] {
  const { _handle: handle, encrypted } = stream as { _handle?: { fd?: number } | null; encrypted?: boolean };
  const fd = handle?.fd ?? -1;
  const pieces: Buffer[] = [];
  // What lies there for TLS means nothing to us.
  if (fd < 0 || encrypted === true) return pieces;
  try {
    while (pieces.length < MAX_PIECES) {
      const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
      const bytes = readSync(fd, piece, 0, PIECE_BYTES, null);
      if (bytes === 0) return pieces;
      pieces.push(piece.subarray(0, bytes));
    }
    return pieces;
  } catch {
    // EAGAIN: there is no more. Anything else tells no more than that writing failed.
    return pieces;
  }
}
