// Distinguished encoding of what certificates are made of (ITU-T X.690).

/** A value with its tag and length. */
export function tagged(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(tag), lengthOf(content.length), content]);
}

function lengthOf(bytes: number): Buffer {
  if (bytes < 0x80) return Buffer.of(bytes);
  const digits = bytes.toString(16);
  const big = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.of(0x80 | big.length), big]);
}

export function sequence(...items: readonly Uint8Array[]): Buffer {
  return tagged(0x30, ...items);
}

export function set(...items: readonly Uint8Array[]): Buffer {
  return tagged(0x31, ...items);
}

/** A number that fits into a byte, or bytes of which the first is from 0x01 to 0x7f. */
export function integer(value: number | Uint8Array): Buffer {
  return tagged(0x02, typeof value === "number" ? Buffer.of(value) : value);
}

export function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.of(value ? 0xff : 0));
}

/** @param unused Bits at the end that do not count. */
export function bitString(bytes: Uint8Array, unused: number = 0): Buffer {
  return tagged(0x03, Buffer.of(unused), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return tagged(0x04, bytes);
}

export function utf8(text: string): Buffer {
  return tagged(0x0c, Buffer.from(text));
}

export const NULL: Buffer = Buffer.of(0x05, 0x00);

/** `1.2.840.113549.1.1.11`. */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128))
    digits.unshift((left & 0x7f) | 0x80);
  return digits;
}

/** RFC 5280, section 4.1.2.5: two digits for the year until 2049. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().replaceAll(/\D/g, "").slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}
