/** Byte classes of RFC 9110 section 5.5 and 5.6.2 and RFC 9112 section 3, one bit each. */
export const TOKEN = 1;
export const FIELD_VALUE = 2;
export const TARGET = 4;
export const DIGIT = 8;
/** Space and tab (RFC 9110, section 5.6.3). */
export const OWS = 16;

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;

/** The classes of every byte; one load and one test decide whether a byte may stand where it is. */
export const CLASS: Uint8Array = classes();

/** The value of a hexadecimal digit, or -1. */
export const HEX: Int8Array = hexValues();

function classes(): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const visible = byte > 0x20 && byte !== 0x7f;
    if (visible || byte === SP || byte === HTAB) table[byte]! |= FIELD_VALUE;
    // Bytes above 0x7F are no URI characters, but clients send them and origins understand them: passed unharmed.
    // A fragment never belongs into a request (RFC 9112, section 3.2).
    if (visible && byte !== 0x23) table[byte]! |= TARGET;
    if (byte >= 0x30 && byte <= 0x39) table[byte]! |= DIGIT;
    if (byte === SP || byte === HTAB) table[byte]! |= OWS;
    if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(byte))) table[byte]! |= TOKEN;
  }
  return table;
}

function hexValues(): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (const digit of "0123456789abcdefABCDEF") table[digit.charCodeAt(0)] = Number.parseInt(digit, 16);
  return table;
}
