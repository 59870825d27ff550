import { nowMs } from "./clock.ts";

/** Who has something to write that may wait for what others have. */
export interface LateWriter {
  /** Writes it, unless it has left meanwhile. */
  writeLate(): void;
}

/** What has waited so long leaves when the next read event begins. */
const MAX_WAIT_MS = 0.5;

// Taken before a test replaces the clock, which would forget it when it is put back: a turn of the event loop is no time.
const behindEvents = setImmediate;

let waiting: LateWriter[] = [];
/** Since when the first waits. */
let sinceMs = 0;
let scheduled = false;
let atExit = false;

/**
 * Lets `writer` write behind the last event of this turn of the event loop, together with all others; in a longer turn before the first
 * read event that begins half a millisecond later.
 *
 * A write wakes whoever reads at the other end. One that finds them asleep costs 7 µs more than one that finds them at work, which they
 * are for the second and all that follow. (64 clients with 1 KB: 36.5 to 34.3 µs a request; with the heads of a browser 41.8 to 38. One
 * client, for whom every turn has one event: 49.6 to 50.3.)
 */
export function writeLater(writer: LateWriter): void {
  if (waiting.push(writer) > 1) return;
  sinceMs = nowMs();
  if (scheduled) return;
  scheduled = true;
  behindEvents(endTurn);
  if (atExit) return;
  atExit = true;
  // A process that ends in this turn, by `process.exit` or an error that nobody caught, has told its responses as sent.
  process.on("exit", writeWaiting);
}

/**
 * A read event begins: what has waited long enough leaves.
 * @param reading Whoever is told next what was read. Its own waits on: a write that fails has it read what else the system has for it, and
 * that comes behind.
 */
export function writeOverdue(reading?: object): void {
  if (waiting.length === 0 || nowMs() - sinceMs < MAX_WAIT_MS) return;
  const at = waiting.findIndex((writer) => writer === reading);
  const own = at < 0 ? undefined : waiting.splice(at, 1)[0];
  writeWaiting();
  if (own !== undefined) writeLater(own);
}

function endTurn(): void {
  scheduled = false;
  writeWaiting();
}

function writeWaiting(): void {
  const writers = waiting;
  waiting = [];
  let done = 0;
  try {
    while (done < writers.length) writers[done++]!.writeLate();
  } finally {
    // Nobody is to throw; if one does, the others' responses do not stay here for ever.
    for (const writer of writers.slice(done)) writeLater(writer);
  }
}
