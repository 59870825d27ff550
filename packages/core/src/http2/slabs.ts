import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/** As much as one read of an upstream brings, and room for a head and the heads of its frames beside it. */
export const SLAB_BYTES = 69_632;
/** Beyond these the garbage collector gets them: 4 MB for the process. */
const MAX_FREE = 64;

const free: Buffer[] = [];

/** Memory to write into, for as long as it takes until the system has it. */
export function takeSlab(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

/** Gives it back. Nobody may read it any more. */
export function giveSlab(slab: Buffer): void {
  if (free.length < MAX_FREE) free.push(slab);
}
