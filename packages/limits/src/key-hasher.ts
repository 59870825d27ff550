import type { LimitKey } from "./limit-key.ts";

/** Which type a key has. Part of what is hashed, so that a string and a number with the same bytes stay apart. */
const BYTES = 0;
const STRING = 1;
const NUMBER = 2;

/** A number's bytes, to be hashed like any others. */
const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);

/** The state of the hash being computed: v0 to v3. One for all, as no hash is ever interrupted. */
const v = new Int32Array(4);

/**
 * Hashes keys to 64 bits under a secret of its own, by HalfSipHash-1-3.
 *
 * Keys come from clients. With a hash that anyone can compute, a client could choose keys that share every counter with
 * somebody else's, and so spend the other's limit. A seed alone does not help: for murmur3, keys are known that
 * collide under every seed. SipHash was made for this; HalfSipHash is its form for 32-bit words, the widest
 * that JavaScript multiplies, adds and rotates without allocating. One round a word and three at the end is what Linux uses
 * for hash tables. The result never leaves the process.
 *
 * Strings are hashed as UTF-16, little-endian, for that needs no encoder; numbers as the eight bytes of a double.
 * The cost grows with the length of the key.
 * @see https://eprint.iacr.org/2012/351 for SipHash, https://github.com/veorq/SipHash for the half.
 */
export class KeyHasher {
  readonly #owner: string;
  readonly #seed0: number;
  readonly #seed1: number;
  /** The two halves of the latest hash: here, since returning them would allocate. */
  readonly halves: Int32Array = new Int32Array(2);

  /**
   * @param owner Named in error messages.
   * @param seed Two words. Default: random, so that no two objects, and no two runs, collide alike.
   */
  constructor(owner: string, seed: Int32Array = crypto.getRandomValues(new Int32Array(2))) {
    this.#owner = owner;
    this.#seed0 = seed[0]!;
    this.#seed1 = seed[1]!;
  }

  /**
   * Hashes into {@link halves}.
   * @throws TypeError when `key` is no key.
   */
  hash(key: LimitKey): void {
    if (typeof key === "string") {
      this.#hashString(key);
    } else if (typeof key === "number" && !Number.isNaN(key)) {
      double[0] = key + 0; // -0 becomes 0
      this.#hashBytes(doubleBytes, NUMBER);
    } else if (key instanceof Uint8Array) {
      this.#hashBytes(key, BYTES);
    } else {
      throw new TypeError(
        `${this.#owner}: key: expected a string, a number or a Uint8Array, got ${String(key)}; ` +
          "skip what has no key, or count it under a name of its own",
      );
    }
  }
  #hashString(text: string): void {
    this.#begin();
    const { length } = text;
    const whole = length & ~1;
    for (let at = 0; at < whole; at += 2) absorb(text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16));
    const rest = length === whole ? 0 : text.charCodeAt(whole);
    absorb((length << 25) | rest); // the last word tells the length in bytes, modulo 256
    this.#finish(STRING);
  }

  #hashBytes(bytes: Uint8Array, kind: number): void {
    this.#begin();
    const { length } = bytes;
    const whole = length & ~3;
    for (let at = 0; at < whole; at += 4) {
      absorb(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    }
    let rest = 0;
    for (let at = length - 1; at >= whole; at -= 1) rest = (rest << 8) | bytes[at]!;
    absorb((length << 24) | rest);
    this.#finish(kind);
  }

  #begin(): void {
    v[0] = this.#seed0;
    v[1] = this.#seed1 ^ 0xee; // 0xee and 0xdd: the form with 64 bits of result
    v[2] = this.#seed0 ^ 0x6c796765;
    v[3] = this.#seed1 ^ 0x74656462;
  }

  #finish(kind: number): void {
    v[2]! ^= 0xee ^ (kind << 8); // bytes are hashed as the reference does it
    finalRounds();
    this.halves[0] = v[1]! ^ v[3]!;
    v[1]! ^= 0xdd;
    finalRounds();
    this.halves[1] = v[1]! ^ v[3]!;
  }
}

function finalRounds(): void {
  absorb(0);
  absorb(0);
  absorb(0);
}

/** One round over one word; a round that takes nothing in takes a 0. */
function absorb(word: number): void {
  let v0 = v[0]!;
  let v1 = v[1]!;
  let v2 = v[2]!;
  let v3 = v[3]! ^ word;
  v0 = (v0 + v1) | 0;
  v1 = rotate(v1, 5) ^ v0;
  v0 = rotate(v0, 16);
  v2 = (v2 + v3) | 0;
  v3 = rotate(v3, 8) ^ v2;
  v0 = (v0 + v3) | 0;
  v3 = rotate(v3, 7) ^ v0;
  v2 = (v2 + v1) | 0;
  v1 = rotate(v1, 13) ^ v2;
  v2 = rotate(v2, 16);
  v[0] = v0 ^ word;
  v[1] = v1;
  v[2] = v2;
  v[3] = v3;
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
