import { expect, test } from "vitest";
import { RetryBuffer } from "./retry-buffer.ts";

test("keeps pieces up to 64 KiB together, and nothing of more", () => {
  const buffer = new RetryBuffer();
  const pieces = [Buffer.alloc(65_535), Buffer.alloc(1)];
  for (const piece of pieces) buffer.add(piece);
  expect(buffer.pieces).toEqual(pieces);
  expect(buffer.truncated).toBe(false);
  buffer.add(Buffer.alloc(1));
  expect([buffer.pieces.length, buffer.truncated]).toEqual([0, true]);
  buffer.add(Buffer.alloc(1));
  expect(buffer.pieces).toEqual([]);
});
