import { CODE_BITS, CODES } from "./huffman-code.ts";

/** For each byte whose code is no longer than a byte, the code, and its length in the low four bits; 0: a longer one. */
const SHORT: Int32Array = CODES.map((code, symbol) => (CODE_BITS[symbol]! <= 8 ? (code << 4) | CODE_BITS[symbol]! : 0));

/** Bytes that the text takes when it is coded (RFC 7541, section 5.2). */
export function huffmanBytes(text: string): number {
  let bits = 7;
  for (let at = 0; at < text.length; at++) bits += CODE_BITS[text.charCodeAt(at) & 0xff]!;
  return Math.floor(bits / 8);
}

/** Writes the code of the text, which has one character a byte. Gives where it ends. */
export function huffmanEncode(text: string, target: Buffer, from: number): number {
  let to = from;
  let waiting = 0;
  let bits = 0;
  for (let at = 0; at < text.length; at++) {
    const symbol = text.charCodeAt(at) & 0xff;
    const short = SHORT[symbol]!;
    if (short !== 0) {
      const length = short & 15;
      waiting = (waiting << length) | (short >>> 4);
      bits += length;
      // The byte is written whether it is whole or not.
      target[to] = (waiting << 8) >>> bits;
      to += bits >>> 3;
      bits &= 7;
      continue;
    }
    let code = CODES[symbol]!;
    let length = CODE_BITS[symbol]!;
    if (length > 16) {
      // With what waits it would not fit into a number.
      length -= 16;
      waiting = (waiting << length) | (code >>> 16);
      for (bits += length; bits >= 8;) target[to++] = waiting >>> (bits -= 8);
      code &= 0xffff;
      length = 16;
    }
    waiting = (waiting << length) | code;
    for (bits += length; bits >= 8;) target[to++] = waiting >>> (bits -= 8);
  }
  // RFC 7541, section 5.2: filled up with the beginning of EOS.
  if (bits > 0) target[to++] = (waiting << (8 - bits)) | (0xff >>> bits);
  return to;
}
