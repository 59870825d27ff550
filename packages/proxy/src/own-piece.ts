import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/** To this size a copy is cheaper than the new memory that the next read needs when this one's is given away: 64 KiB. */
const MAX_COPIED_BYTES = 32_768;

/**
 * A piece of a body for hooks and modules, which may keep it as long as they like. (With a body filter that does nothing, giving
 * away the memory of every read cost 25 µs a request of 13 bytes.)
 * @param source Who read it.
 */
export function ownPiece(chunk: Buffer, source: { keepChunk(): void }): Buffer {
  if (chunk.length <= MAX_COPIED_BYTES) return Buffer.from(chunk);
  source.keepChunk();
  return chunk;
}
