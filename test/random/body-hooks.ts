import { setImmediate } from "node:timers/promises";
import type { BodyStep } from "../../packages/proxy/src/index.ts";
import type { Below } from "./random.ts";

/** What a hook does to a body. The first ones leave it as it is. */
export const KEEPING = [
  "nothing",
  "same",
  "copy",
  "split",
  "swallow until the end",
  "views",
  "delay",
  "delay a copy",
] as const;
export const CHANGING = ["xor", "prefix", "suffix", "drop"] as const;
export type BodyChange = (typeof KEEPING)[number] | (typeof CHANGING)[number];

type Given = Uint8Array | BodyStep | undefined;

const MARK = Buffer.from("<mark>");

/** The model: what becomes of a whole body. */
export function changed(change: BodyChange, body: Buffer): Buffer {
  switch (change) {
    case "xor":
      return xor(body);
    // Without a body there is no first piece.
    case "prefix":
      return body.length === 0 ? body : Buffer.concat([MARK, body]);
    case "suffix":
      return Buffer.concat([body, MARK]);
    case "drop":
      return Buffer.alloc(0);
    default:
      return body;
  }
}

/** Whether the length may be another, too. */
export function changesLength(change: BodyChange): boolean {
  return change === "prefix" || change === "suffix" || change === "drop";
}

/** The hook: what it gives for each piece, and for the end. */
export function bodyHook(change: BodyChange, below: Below): (piece: Uint8Array | undefined, end: boolean) => Given {
  const kept: Buffer[] = [];
  let pieces = 0;
  const takeKept = (): Buffer => Buffer.concat(kept.splice(0));
  return (piece, end) => {
    const first = piece !== undefined && piece.length > 0 && pieces++ === 0;
    switch (change) {
      case "nothing":
        return undefined;
      case "same":
      case "views":
        return piece?.subarray(0);
      case "copy":
        return piece === undefined ? undefined : Buffer.from(piece);
      case "split": {
        if (piece === undefined) return end ? takeKept() : undefined;
        const at = below(piece.length + 1);
        const front = Buffer.concat([takeKept(), piece.subarray(0, at)]);
        kept.push(Buffer.from(piece.subarray(at)));
        return front;
      }
      case "swallow until the end":
        if (piece === undefined) return takeKept();
        kept.push(Buffer.from(piece));
        return new Uint8Array(0);
      case "delay":
        return { delayMs: below(3) / 2 };
      case "delay a copy":
        return piece === undefined ? { delayMs: 1 } : { piece: Buffer.from(piece), delayMs: below(2) };
      case "xor":
        return piece === undefined ? undefined : xor(piece);
      case "prefix":
        return first ? Buffer.concat([MARK, piece]) : undefined;
      case "suffix":
        return end ? MARK : undefined;
      case "drop":
        return new Uint8Array(0);
    }
  };
}

/** The same of a hook that takes its time now and then, with the piece that it was lent. */
export function slowly<T>(below: Below, hook: () => T): T | Promise<T> {
  if (below(2) === 0) return hook();
  const turns = below(3);
  return (async () => {
    for (let turn = 0; turn < turns; turn++) await setImmediate();
    return hook();
  })();
}

function xor(piece: Uint8Array): Buffer {
  const other = Buffer.from(piece);
  for (let at = 0; at < other.length; at++) other[at]! ^= 0x5a;
  return other;
}
