import * as fc from "fast-check";
import { expect, test } from "vitest";
import { SLAB_BYTES } from "../slabs.ts";
import { SendQueue } from "./send-queue.ts";

/** Takes up to `most` bytes of the first chunk. */
function takeOne(queue: SendQueue, most: number): Buffer {
  const { first, at } = queue;
  const end = Math.min(first.length, at + most);
  const taken = Buffer.from(first.subarray(at, end));
  queue.sentUpTo(end);
  return taken;
}

test("gives what it was given, however it came and is taken, and the memory back at once", () => {
  const sizes = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: SLAB_BYTES }));
  const step = fc.record({
    bytes: sizes,
    skip: fc.integer({ min: 0, max: 3 }),
    take: fc.integer({ min: 0, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const queue = new SendQueue();
      const given: Buffer[] = [];
      const taken: Buffer[] = [];
      for (const [index, { bytes, skip, take }] of steps.entries()) {
        const from = Math.min(skip, bytes - 1);
        const chunk = Buffer.alloc(bytes, index + 1);
        given.push(Buffer.from(chunk.subarray(from)));
        queue.add(chunk, from);
        chunk.fill(0);
        if (take > 0) taken.push(takeOne(queue, take));
        if (queue.bytes === 0) continue;
        expect(queue.at).toBeLessThan(queue.first.length);
      }
      expect(queue.lent).toBe(false);
      while (queue.bytes > 0) taken.push(takeOne(queue, 16_384));
      expect(Buffer.concat(taken).equals(Buffer.concat(given))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("many small chunks are few large ones", () => {
  const queue = new SendQueue();
  for (let count = 0; count < 65_536; count++) queue.add(Buffer.from("a"), 0);
  let frames = 0;
  for (; queue.bytes > 0; frames++) takeOne(queue, 16_384);
  expect(frames).toBeLessThan(8);
});

test("a chunk that is larger than any read is held, in its turn", () => {
  const queue = new SendQueue();
  const large = Buffer.alloc(SLAB_BYTES + 1, "b");
  for (const chunk of [Buffer.from("a"), large, Buffer.from("c")]) queue.add(chunk, 0);
  expect(queue.lent).toBe(true);
  expect(takeOne(queue, 10).toString()).toBe("a");
  takeOne(queue, SLAB_BYTES + 1);
  expect(queue.lent).toBe(false);
  expect(takeOne(queue, 10).toString()).toBe("c");
  expect(queue.bytes).toBe(0);
});
