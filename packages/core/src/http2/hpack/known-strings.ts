import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.

/*
 * Strings that came before, by the bytes that they came in: nginx, for one, sends every field of every response as a literal. To compare 22
 * bytes takes a fifth of the time that it takes to decode them and to make a string of them, and the same string again is found faster
 * where it goes next. One store for the process, of 40 KB. A text gets its place in it when it comes twice in a row for that place, so
 * that texts that are ever new only cost a look.
 */

const PLACES = 512;
/** Longer texts are not kept. */
export const MAX_KNOWN_BYTES = 64;

const bytesOf = Buffer.alloc(PLACES * MAX_KNOWN_BYTES);
/** Bytes of the text in each place; 0: there is none. */
const lengths = new Uint8Array(PLACES);
/** Tells what came last for each place from most others. */
const prints = new Int32Array(PLACES);
const texts: string[] = Array.from({ length: PLACES }, () => "");
const marks = new Uint16Array(PLACES);

/** Where {@link rememberText} puts the text that was not found; -1: nowhere. Read at once. */
let freePlace = -1;

/**
 * The place of a text, or -1.
 * @param end At least 1 and at most 64 bytes behind `from`.
 * @param coded By the Huffman code.
 */
export function findText(bytes: Buffer, from: number, end: number, coded: boolean): number {
  const length = end - from;
  const print = printOf(bytes, from, end, coded);
  const place = (print ^ (print >>> 9) ^ (print >>> 18)) & (PLACES - 1);
  freePlace = -1;
  if (prints[place] !== print) {
    prints[place] = print;
    lengths[place] = 0;
    return -1;
  }
  const start = place * MAX_KNOWN_BYTES;
  if (lengths[place] === length) {
    let at = 0;
    while (at < length && bytesOf[start + at] === bytes[from + at]) at++;
    if (at === length) return place;
  }
  freePlace = place;
  return -1;
}

/** After {@link findText} did not find it. */
export function rememberText(bytes: Buffer, from: number, end: number, text: string, mark: number): void {
  if (freePlace < 0) return;
  bytes.copy(bytesOf, freePlace * MAX_KNOWN_BYTES, from, end);
  lengths[freePlace] = end - from;
  texts[freePlace] = text;
  marks[freePlace] = mark;
}

export function textAt(place: number): string {
  return texts[place]!;
}

/** What it says as a value. */
export function markAt(place: number): number {
  return marks[place]!;
}

/** Differs for the same bytes by `coded`. */
function printOf(bytes: Buffer, from: number, end: number, coded: boolean): number {
  const length = end - from;
  let print = length + (coded ? 128 : 0);
  print = Math.imul(print, 0x9e35) + bytes[from]!;
  print = Math.imul(print, 0x9e35) + bytes[from + (length >> 1)]!;
  print = Math.imul(print, 0x9e35) + bytes[end - 1]!;
  print = Math.imul(print, 0x9e35) + bytes[end - 1 - (length >> 2)]!;
  return print | 0;
}
