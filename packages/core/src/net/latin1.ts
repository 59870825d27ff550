/** The bytes from `from` to `end` as a string of one character a byte. */
export function latin1(buffer: Buffer, from: number, end: number): string {
  return buffer.toString("latin1", from, end);
}
