import { HpackError } from "./hpack-error.ts";
import { CODE_BITS, EOS, FIRST_CODE, FIRST_SYMBOL, MAX_CODE_BITS, SYMBOLS } from "./huffman-code.ts";

/** One look decides about so many bits: two characters of a usual text. */
const LOOK_BITS = 12;

/**
 * For each twelve bits, the one or two symbols that they begin with in the low 16 bits, how many they are from bit 16 on, and their
 * length from bit 18 on; 0: a longer code.
 */
const LOOKS: Int32Array = looks();

/** More bytes than this many coded ones can stand for (their shortest code has five bits), and one. */
export function maxDecodedBytes(codedBytes: number): number {
  return Math.ceil((codedBytes * 8) / 5) + 1;
}

/**
 * Decodes the bytes from `from` to `end` (RFC 7541, section 5.2) into `target`, which has room for {@link maxDecodedBytes}.
 * Gives how many came out.
 *
 * Bits are read where they stand, three bytes at a time, and two characters are written whether there are two or not: without a
 * branch that cannot be foreseen a text takes half the time that it takes by half bytes or by a store of bits. (A table of whole
 * bytes is as fast, and has 256 KB.)
 * @throws HpackError for EOS, a code that is cut off, and padding that is not a few ones.
 */
export function huffmanDecode(source: Buffer, from: number, end: number, target: Buffer): number {
  const lastLook = (end - 2) * 8;
  const last = end * 8;
  let at = from * 8;
  let out = 0;
  while (at < last) {
    const byte = at >>> 3;
    if (at < lastLook) {
      const bits = (source[byte]! << 16) | (source[byte + 1]! << 8) | source[byte + 2]!;
      const found = LOOKS[(bits >>> (LOOK_BITS - (at & 7))) & 0xfff]!;
      if (found !== 0) {
        target[out] = found;
        target[out + 1] = found >>> 8;
        out += (found >>> 16) & 3;
        at += found >>> 18;
        continue;
      }
    } else {
      // As if ones followed, which begin no code that is short enough to be found.
      const next = byte + 1 < end ? source[byte + 1]! : 0xff;
      const left = last - at;
      const found = LOOKS[(((source[byte]! << 16) | (next << 8) | 0xff) >>> (LOOK_BITS - (at & 7))) & 0xfff]!;
      if (found !== 0) {
        const bits = CODE_BITS[found & 0xff]!;
        if (bits > left) throw cutOff();
        target[out++] = found;
        at += bits;
        continue;
      }
      if (left < 8) {
        if (((source[end - 1]! + 1) & ((1 << left) - 1)) === 0) return out;
        throw cutOff();
      }
    }
    const code = longCode(source, at, last);
    target[out++] = code >>> 5;
    at += code & 31;
  }
  return out;
}

/** The symbol of the code at a bit of `source`, and its length in the low five bits. */
function longCode(source: Buffer, from: number, end: number): number {
  let code = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    const at = from + bits - 1;
    if (at >= end) throw cutOff();
    code = (code << 1) | ((source[at >>> 3]! >>> (7 - (at & 7))) & 1);
    const place = FIRST_SYMBOL[bits]! + code - FIRST_CODE[bits]!;
    if (place < FIRST_SYMBOL[bits + 1]!) {
      const symbol = SYMBOLS[place]!;
      if (symbol === EOS) break;
      return (symbol << 5) | bits;
    }
  }
  throw new HpackError("EOS in a Huffman-coded string");
}

function cutOff(): HpackError {
  return new HpackError("a Huffman-coded string that is cut off, or padding that is not up to seven ones");
}

function looks(): Int32Array {
  const table = new Int32Array(1 << LOOK_BITS);
  for (let bits = 0; bits < table.length; bits++) {
    const first = shortCode(bits, LOOK_BITS);
    if (first < 0) continue;
    const left = LOOK_BITS - CODE_BITS[first]!;
    const second = shortCode(bits, left);
    table[bits] =
      second < 0
        ? (CODE_BITS[first]! << 18) | (1 << 16) | first
        : ((CODE_BITS[first]! + CODE_BITS[second]!) << 18) | (2 << 16) | (second << 8) | first;
  }
  return table;
}

/** The symbol whose code the low `left` bits begin with; -1 if it needs more. */
function shortCode(bits: number, left: number): number {
  for (let length = 5; length <= left; length++) {
    const code = (bits >>> (left - length)) & ((1 << length) - 1);
    const place = FIRST_SYMBOL[length]! + code - FIRST_CODE[length]!;
    if (place < FIRST_SYMBOL[length + 1]!) return SYMBOLS[place]!;
  }
  return -1;
}
