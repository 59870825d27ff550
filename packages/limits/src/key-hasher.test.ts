import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KeyHasher } from "./key-hasher.ts";
import type { LimitKey } from "./limit-key.ts";

const SEED = Int32Array.of(0x03020100, 0x07060504);
const BYTES = 0;
const STRING = 1;
const NUMBER = 2;

function hash(key: LimitKey, seed: Int32Array = SEED): string {
  const hasher = new KeyHasher("Test", seed);
  hasher.hash(key);
  return hex(hasher.halves);
}

function hex(halves: Int32Array): string {
  return Buffer.from(halves.buffer).toString("hex");
}

/** HalfSipHash with 64 bits of result, by the letter of its description: what the fast one is compared with. */
function halfSipHash(bytes: Uint8Array, rounds: { word: number; end: number }, kind: number = BYTES): string {
  const v = Int32Array.of(SEED[0]!, SEED[1]! ^ 0xee, SEED[0]! ^ 0x6c796765, SEED[1]! ^ 0x74656462);
  const addTo = (a: number, b: number, left: number, leftSum: number): void => {
    v[a]! += v[b]!;
    v[b] = ((v[b]! << left) | (v[b]! >>> (32 - left))) ^ v[a]!;
    if (leftSum > 0) v[a] = (v[a]! << leftSum) | (v[a]! >>> (32 - leftSum));
  };
  const round = (): void => {
    addTo(0, 1, 5, 16);
    addTo(2, 3, 8, 0);
    addTo(0, 3, 7, 0);
    addTo(2, 1, 13, 16);
  };
  const repeat = (times: number): void => {
    for (let count = 0; count < times; count += 1) round();
  };

  const padded = new Uint8Array(Math.floor(bytes.length / 4) * 4 + 4);
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 4) {
    const word = view.getInt32(at, true);
    v[3]! ^= word;
    repeat(rounds.word);
    v[0]! ^= word;
  }
  v[2]! ^= 0xee ^ (kind << 8);
  repeat(rounds.end);
  const first = v[1]! ^ v[3]!;
  v[1]! ^= 0xdd;
  repeat(rounds.end);
  return hex(Int32Array.of(first, v[1]! ^ v[3]!));
}

const ONE_THREE = { word: 1, end: 3 };

describe("the hash", () => {
  test.each([
    [0, "218d1f59b9b83cc8"],
    [3, "ce0f1a45f7060679"],
    [8, "edfee820bce4858c"],
    [63, "2ea63c71bf326087"],
  ])("what the next tests compare with gives the published HalfSipHash-2-4 of %i bytes", (length, expected) => {
    const bytes = Uint8Array.from({ length }, (_, index) => index);
    expect(halfSipHash(bytes, { word: 2, end: 4 })).toBe(expected);
  });

  test("of bytes is HalfSipHash-1-3", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(hash(bytes)).toBe(halfSipHash(bytes, ONE_THREE));
      }),
    );
  });

  test("of a string is that of its UTF-16, apart from bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        expect(hash(text)).toBe(halfSipHash(Buffer.from(text, "utf16le"), ONE_THREE, STRING));
      }),
    );
  });

  test("of a number is that of its double, apart from bytes", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (number) => {
        const bytes = new Uint8Array(Float64Array.of(number === 0 ? 0 : number).buffer);
        expect(hash(number)).toBe(halfSipHash(bytes, ONE_THREE, NUMBER));
      }),
    );
  });
});

describe("keys", () => {
  test("of different type or content are different", () => {
    const keys: LimitKey[] = ["", "7", "7\0", "07", 7, 7.5, -7, Infinity, Uint8Array.of(), Uint8Array.of(7), "\u0637"];
    keys.push(Uint8Array.of(7, 0), Buffer.from("7"), Buffer.from("7", "utf16le"), "ab", "ba", "\u{1F600}", "\uD83D");
    expect(new Set(keys.map((key) => hash(key))).size).toBe(keys.length);
  });

  test("of the same content are the same", () => {
    expect(hash(-0)).toBe(hash(0));
    expect(hash(Buffer.from("abc"))).toBe(hash(Uint8Array.of(0, 97, 98, 99).subarray(1)));
    expect(hash(["1", "2"].join("."))).toBe(hash("1.2"));
  });

  test.each([
    [undefined, "undefined"],
    [null, "null"],
    [Number.NaN, "NaN"],
    [true, "true"],
    [7n, "7"],
    [{}, "[object Object]"],
    [["a"], "a"],
  ])("%o is none", (key, shown) => {
    expect(() => hash(key as LimitKey)).toThrow(
      new TypeError(
        `Test: key: expected a string, a number or a Uint8Array, got ${shown}; ` +
          "skip what has no key, or count it under a name of its own",
      ),
    );
  });
});

test("each hasher has a seed of its own", () => {
  const hashes = Array.from({ length: 20 }, () => {
    const hasher = new KeyHasher("Test");
    hasher.hash("198.51.100.7");
    return hex(hasher.halves);
  });
  expect(new Set(hashes).size).toBe(20);
});
