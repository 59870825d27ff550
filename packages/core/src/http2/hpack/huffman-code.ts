/** The length in bits of each byte's code, and of EOS at the end (RFC 7541, appendix B). The code is canonical: the lengths say all. */
const LENGTHS: readonly number[] = [
  [13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  [28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  [5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  [7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  [6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  [20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  [24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  [22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  [21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  [26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  [19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  [20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  [26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  [30],
].flat();

/** The symbol that stands for no byte. */
export const EOS = 256;
/** The longest code. */
export const MAX_CODE_BITS = 30;

/** The length of each symbol's code in bits. */
export const CODE_BITS: Uint8Array = Uint8Array.from(LENGTHS);
/** The code of each symbol, in its low bits. */
export const CODES: Int32Array = new Int32Array(LENGTHS.length);
/** All symbols in the order of their codes: shorter ones first, and of one length by number. */
export const SYMBOLS: Uint16Array = Uint16Array.from(
  LENGTHS.map((_, symbol) => symbol).toSorted((a, b) => LENGTHS[a]! - LENGTHS[b]! || a - b),
);
/** For each length, the first code of that length; what is no such code may be one of a greater length. */
export const FIRST_CODE: Int32Array = new Int32Array(MAX_CODE_BITS + 1);
/** For each length, where its symbols begin in {@link SYMBOLS}. */
export const FIRST_SYMBOL: Int32Array = new Int32Array(MAX_CODE_BITS + 2);

build();

function build(): void {
  let code = 0;
  let at = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    code <<= 1;
    FIRST_CODE[bits] = code;
    FIRST_SYMBOL[bits] = at;
    while (at < SYMBOLS.length && CODE_BITS[SYMBOLS[at]!] === bits) CODES[SYMBOLS[at++]!] = code++;
  }
  FIRST_SYMBOL[MAX_CODE_BITS + 1] = at;
}
