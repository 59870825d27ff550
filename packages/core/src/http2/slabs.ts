/** As much as one read of an upstream brings. */
export const SLAB_BYTES = 65_536;
/** Beyond these the garbage collector gets them: 4 MB for the process. */
const MAX_FREE = 64;

const free: Buffer[] = [];

/** Memory to copy into what has to wait. */
export function takeSlab(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

/** Gives it back. Nobody may read it any more. */
export function giveSlab(slab: Buffer): void {
  if (free.length < MAX_FREE) free.push(slab);
}
