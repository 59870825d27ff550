import { createHash } from "node:crypto";

/** A prime: where it repeats never lines up with buffers or chunks, so that bytes lost, doubled or moved are seen. */
const BLOCK_BYTES = 65_521;

/** Bytes that look random and are the same for the same `seed`, in every process. */
export function* patternPieces(seed: string, size: number): Generator<Buffer> {
  const block = blockOf(seed);
  for (let at = 0; at < size; at += BLOCK_BYTES) yield block.subarray(0, Math.min(BLOCK_BYTES, size - at));
}

/** All of it at once, for small ones. */
export function pattern(seed: string, size: number): Buffer {
  return Buffer.concat([...patternPieces(seed, size)]);
}

/** What a hash of all pieces must be. */
export function patternHash(seed: string, size: number): string {
  const hash = createHash("sha256");
  for (const piece of patternPieces(seed, size)) hash.update(piece);
  return hash.digest("hex");
}

const blocks = new Map<string, Buffer>();

function blockOf(seed: string): Buffer {
  let block = blocks.get(seed);
  if (block === undefined) {
    block = createHash("shake256", { outputLength: BLOCK_BYTES }).update(seed).digest();
    blocks.set(seed, block);
  }
  return block;
}
