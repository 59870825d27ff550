/**
 * A turn of the event loop that was longer than this proves nothing: what is looked at is what had arrived when it began, and
 * more may have since.
 */
const QUIET_MS = 2;

/** Turns until it is done in any case: on a machine that is busy, none may be quiet. */
const MAX_TURNS = 50;

/** What is done in one turn before the sockets are read again. */
const SLICE_MS = 1;

/** Who reads sockets beside libuv; what has arrived there is read before a turn counts as over. */
const readers = new Set<{ readArrived(): void }>();

/** Sockets are read by `reader`, too. */
export function alsoReads(reader: { readArrived(): void }): void {
  readers.add(reader);
}

function readArrived(): void {
  for (const reader of readers) reader.readArrived();
}

const waiting: (() => void)[] = [];
let turns = 0;
let beganMs = 0;

/**
 * Calls `action` when all that has arrived on any socket is read, as well as we can know it: to close a socket with a request
 * unread would lose that (RFC 9112, section 9.6), and the system cannot be asked and told in one step. So it is done behind a
 * whole turn that was short, and many actions over several turns.
 */
export function afterQuietTurn(action: () => void): void {
  if (waiting.push(action) > 1) return;
  turns = 0;
  setImmediate(beginTurn);
}

/**
 * Calls `action` behind a whole turn of the event loop: when all that had arrived on any socket at the call is read. So that nobody is
 * taken for late whose answer is here, though this process stood still.
 */
export function behindWholeTurn(action: () => void): void {
  // The first may come in the turn that is under way, whose sockets were looked at before.
  setImmediate(() =>
    setImmediate(() => {
      readArrived();
      action();
    }),
  );
}

/** Resolves as {@link behindWholeTurn} calls. */
export function wholeTurn(): Promise<void> {
  return new Promise(behindWholeTurn);
}

/** Resolves behind a whole turn of the event loop: whether that was quiet. */
export async function turnWasQuiet(): Promise<boolean> {
  const fromMs = performance.now();
  await new Promise((resolve) => setImmediate(resolve));
  readArrived();
  return performance.now() - fromMs < QUIET_MS;
}

function beginTurn(): void {
  beganMs = performance.now();
  setImmediate(endTurn);
}

function endTurn(): void {
  readArrived();
  const nowMs = performance.now();
  turns++;
  if (nowMs - beganMs < QUIET_MS || turns >= MAX_TURNS) {
    let done = 0;
    while (done < waiting.length && performance.now() - nowMs < SLICE_MS) waiting[done++]!();
    waiting.splice(0, done);
  }
  if (waiting.length > 0) beginTurn();
}
