import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Http2Stream } from "./http2-stream.ts";
import { OpenStreams } from "./open-streams.ts";

const stream = (id: number): Http2Stream => ({ id }) as unknown as Http2Stream;

const ids = (streams: Iterable<Http2Stream>): number[] => [...streams].map(({ id }) => id).toSorted((a, b) => a - b);

test("finds what a Map would, whatever is opened and closed, and however long some stay", () => {
  const step = fc.oneof(
    // Numbers go up by two, with gaps where streams were refused.
    fc.record({ open: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ close: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 300 }), (odd, steps) => {
      const streams = new OpenStreams();
      const model = new Map<number, Http2Stream>();
      let next = odd ? 1 : 2;
      for (const one of steps) {
        if ("open" in one) {
          next += 2 * (one.open > 20 ? 1 : one.open);
          const opened = stream(next);
          streams.add(opened);
          model.set(next, opened);
        } else if (model.size > 0) {
          const closed = [...model.values()][one.close % model.size]!;
          streams.delete(closed);
          model.delete(closed.id);
          expect(streams.get(closed.id)).toBeUndefined();
        }
        expect(streams.size).toBe(model.size);
      }
      for (const [id, opened] of model) expect(streams.get(id)).toBe(opened);
      expect(streams.get(next + 2)).toBeUndefined();
      expect(ids(streams)).toEqual(ids(model.values()));
    }),
  );
});

test("to close one that is not there changes nothing", () => {
  const streams = new OpenStreams();
  const open = stream(1);
  streams.add(open);
  streams.delete(stream(33));
  streams.delete(stream(3));
  expect([streams.size, streams.get(1)]).toEqual([1, open]);
});

test("is gone through without those that are closed meanwhile", () => {
  const streams = new OpenStreams();
  const all = [1, 3, 5].map(stream);
  for (const one of all) streams.add(one);
  const seen: number[] = [];
  for (const { id } of streams) {
    seen.push(id);
    if (id === 1) streams.delete(all[1]!);
  }
  expect(seen).toEqual([1, 5]);
});
