import type { Http2Stream } from "./http2-stream.ts";

/** A power of two. */
const LEAST_SLOTS = 16;

/**
 * The streams of a connection that are open, by their number. No `Map`, which would keep them: see `Roster`.
 *
 * A stream stands in the slot that its number says, or in the next that is free. Numbers go up by two, so that slots are shared only while
 * some stream is open for very long.
 */
export class OpenStreams implements Iterable<Http2Stream> {
  #slots: (Http2Stream | undefined)[] = emptySlots(LEAST_SLOTS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Http2Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = (id >> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** Its number must not be there. */
  add(stream: Http2Stream): void {
    // Half of the slots stay free: searches end at a free one.
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    put(this.#slots, stream);
  }

  delete(stream: Http2Stream): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let free = (stream.id >> 1) & mask;
    while (slots[free] !== stream) {
      if (slots[free] === undefined) return;
      free = (free + 1) & mask;
    }
    this.#size--;
    // Those behind it that would stand at the free slot or before move up, so that no search ends before them.
    for (let at = (free + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const home = (slots[at]!.id >> 1) & mask;
      if (((at - home) & mask) < ((at - free) & mask)) continue;
      slots[free] = slots[at];
      free = at;
    }
    slots[free] = undefined;
  }

  /** Those that are open now, in any order, without those that are closed meanwhile; one that is opened meanwhile is not among them. */
  *[Symbol.iterator](): Iterator<Http2Stream> {
    for (const stream of this.#slots.slice()) {
      if (stream !== undefined && this.get(stream.id) === stream) yield stream;
    }
  }

  #grow(): void {
    const grown = emptySlots(this.#slots.length * 2);
    for (const stream of this.#slots) if (stream !== undefined) put(grown, stream);
    this.#slots = grown;
  }
}

function emptySlots(count: number): (Http2Stream | undefined)[] {
  return Array.from({ length: count }, () => undefined);
}

function put(slots: (Http2Stream | undefined)[], stream: Http2Stream): void {
  const mask = slots.length - 1;
  let at = (stream.id >> 1) & mask;
  while (slots[at] !== undefined) at = (at + 1) & mask;
  slots[at] = stream;
}
