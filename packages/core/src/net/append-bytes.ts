/** Buffers made here: behind what was put into them is room that nobody else knows of. */
const roomy = new WeakSet<Buffer>();

/** Room for this much at least, and for half of what is there. */
const LEAST_BYTES = 1024;

/**
 * Puts the first `count` bytes of `more` behind those of `buffer` from `from` to `end`. Copying all of them each time would
 * take quadratic time when they come one by one, so room is left for those to come.
 * @returns `buffer` itself, where they stand from `end` on; or another buffer that begins with the bytes from `from` on.
 */
export function appendBytes(buffer: Buffer, from: number, end: number, more: Buffer, count: number): Buffer {
  if (roomy.has(buffer) && end + count <= buffer.length) {
    more.copy(buffer, end, 0, count);
    return buffer;
  }
  const bytes = end - from;
  // Not from Node's pool, which would be held by it.
  const larger = Buffer.allocUnsafeSlow(bytes + count + Math.max(LEAST_BYTES, (bytes + count) >> 1));
  buffer.copy(larger, 0, from, end);
  more.copy(larger, bytes, 0, count);
  roomy.add(larger);
  return larger;
}
