import { expect, test } from "vitest";
import { BodyPieces } from "./body-pieces.ts";

const READ_BYTES = 65_536;

/** The memory that the pieces hold, as far as it is not shared with others. */
function heldBytes({ pieces }: BodyPieces): number {
  return [...new Set(pieces.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

test("a large piece is kept where it is, a small one is copied, so that its memory can be used again", () => {
  const kept = new BodyPieces();
  const large = Buffer.alloc(16_384, "l");
  const small = Buffer.alloc(16_383, "s");
  expect([kept.add(large), kept.add(small)]).toEqual([true, false]);
  expect(kept.pieces[0]).toBe(large);
  small.fill("x");
  expect(kept.pieces[1]!.every((byte) => byte === 0x73)).toBe(true);
});

test("a body that comes byte by byte holds no more than twice its bytes, in few pieces", () => {
  const kept = new BodyPieces();
  for (let at = 0; at < 300_000; at++) kept.add(Buffer.from([at]));
  expect(heldBytes(kept)).toBeLessThan(2 * 300_000);
  expect(kept.pieces.length).toBeLessThan(20);
  expect(kept.join().every((byte, at) => byte === (at & 0xff))).toBe(true);
});

test("small pieces between large ones share their blocks", () => {
  const kept = new BodyPieces();
  for (let round = 0; round < 40; round++) {
    kept.add(Buffer.alloc(READ_BYTES));
    kept.add(Buffer.alloc(1000));
  }
  expect(heldBytes(kept)).toBeLessThan(1.1 * kept.bytes);
});

test("what was joined is there once, as the whole and as its parts", () => {
  const kept = new BodyPieces();
  for (let round = 0; round < 3; round++) kept.add(Buffer.alloc(50_000, round));
  const whole = kept.join();
  expect([whole.length, kept.bytes, kept.pieces.map(({ length }) => length)]).toEqual([
    150_000,
    150_000,
    [65_536, 65_536, 18_928],
  ]);
  for (const piece of kept.pieces) expect(piece.buffer).toBe(whole.buffer);
});

test("a single piece is joined without a copy", () => {
  const kept = new BodyPieces();
  const piece = Buffer.alloc(READ_BYTES);
  kept.add(piece);
  expect(kept.join()).toBe(piece);
  expect(kept.pieces).toHaveLength(1);
});

/** Numbers that look random, the same ones for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

test.each(Array.from({ length: 30 }, (_, seed) => seed))("pieces of any sizes stay in order (seed %d)", (seed) => {
  const next = numbers(seed);
  const kept = new BodyPieces();
  const all: Buffer[] = [];
  const joinAt = next(40);
  for (let at = 0; at < 40; at++) {
    const piece = Buffer.alloc([next(40), next(5000), 16_000 + next(50_000)][next(3)]!, at + 1);
    all.push(Buffer.from(piece));
    // Its memory is used for the next read.
    if (!kept.add(piece)) piece.fill(0);
    if (at === joinAt) kept.join();
  }
  const body = Buffer.concat(all);
  expect(kept.bytes).toBe(body.length);
  expect(Buffer.concat(kept.pieces).equals(body)).toBe(true);
  expect(kept.join().equals(body)).toBe(true);
});
