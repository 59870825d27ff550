/**
 * What is counted apart: an address, an API key, a user's number, the bytes of either.
 *
 * The three types never meet: `"7"`, `7` and the byte 7 are three keys. Strings are the same if `===` finds them so: no case
 * folding, no Unicode normalisation. `-0` and `0` are one number. Bytes are read during the call and not kept.
 * Any other value, and NaN, is a TypeError: most often a header field that was not there.
 */
export type LimitKey = string | number | Uint8Array;
