import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/** Stands in the place of bytes that were lent, for whoever looks at them later. */
const NOTICE: Buffer = Buffer.alloc(4096, "[lent for the call of a hook, and kept without a copy] ");

/** Writes over the first `bytes` of `buffer`, which were lent: what was kept of them shows that it was. */
export function writeOver(buffer: Buffer, bytes: number): void {
  for (let at = 0; at < bytes; at += NOTICE.length) NOTICE.copy(buffer, at, 0, Math.min(NOTICE.length, bytes - at));
}

/**
 * The same for memory that is no part of a larger one, of any size at one price: whatever views there are of it are empty from now
 * on. (Writing over 64 KiB takes 4.8 µs, this 0.4 µs.)
 * @returns The memory, to be used again.
 */
export function takeBack(buffer: Buffer): Buffer {
  return Buffer.from((buffer.buffer as ArrayBuffer).transfer());
}
