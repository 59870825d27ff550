/** Set while a read event runs. */
let inTurn = false;
/** The time that was read in this turn; 0: not yet. */
let turnMs = 0;

/**
 * `performance.now()`, read once while one read event of a socket is handled: a request asks nine times for it, at 40 ns each,
 * and all that one event causes may as well have happened at one moment.
 */
export function nowMs(): number {
  if (!inTurn) return performance.now();
  if (turnMs === 0) turnMs = performance.now();
  return turnMs;
}

/** A read event begins. */
export function beginTurn(): void {
  inTurn = true;
  turnMs = 0;
}

/** What follows, such as the rest of an asynchronous function, may come much later. */
export function endTurn(): void {
  inTurn = false;
}
