import { shown } from "@sluice/core";
import { dropPromise, isPromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";

/**
 * What a body filter may return instead of bytes: the same, later. This is how bandwidth is limited. What follows waits, too;
 * the other direction goes on, and so does the watch over the client, unless more of its body has come and waits unread.
 */
export interface BodyStep {
  /** What goes on instead of the piece; `undefined` passes the piece on. */
  piece?: Uint8Array | undefined;
  /**
   * How long to wait before it goes on. Milliseconds, from 0 to 2,147,483,647. The side that the piece came from is not
   * read meanwhile, and none of its time limits runs. That a client left while more of its body was waiting shows only when
   * reading goes on.
   */
  delayMs: number;
}

/** The longest wait of a Node timer; a longer one would fire at once. */
const MAX_DELAY_MS = 2_147_483_647;

/**
 * What goes on instead of `piece`, as a body filter gave it.
 * @throws TypeError for anything but bytes, a step or nothing: it would be framed by a length that it has not.
 */
export function pieceOf(session: Session, given: unknown, piece: Uint8Array | undefined): Uint8Array | undefined {
  if (given === undefined || given === null) return piece;
  if (given instanceof Uint8Array) return given;
  if (isStep(given)) return pieceOf(session, given.piece, piece);
  dropPromise(session, session.phase, given);
  throw new TypeError(
    `a body filter must return a Uint8Array, { piece, delayMs } or nothing; it returned ${shown(given)}`,
  );
}

/** What a hook gave that may give bytes. @throws TypeError for anything but bytes or nothing. */
export function bytesOf(session: Session, hook: Phase, given: unknown): Uint8Array | undefined {
  if (given === undefined || given === null) return undefined;
  if (given instanceof Uint8Array) return given;
  dropPromise(session, hook, given);
  throw new TypeError(`${hook} must return a Uint8Array or nothing; it returned ${shown(given)}`);
}

/** How long to wait before it does. @throws RangeError for what is no time. */
export function delayOf(given: unknown): number {
  if (!isStep(given)) return 0;
  const { delayMs } = given;
  if (typeof delayMs === "number" && delayMs >= 0 && delayMs <= MAX_DELAY_MS) return delayMs;
  throw new RangeError(`a body filter's delayMs must be from 0 to ${MAX_DELAY_MS}; it is ${shown(delayMs)}`);
}

function isStep(given: unknown): given is BodyStep {
  return typeof given === "object" && given !== null && "delayMs" in given && !isPromise(given);
}
