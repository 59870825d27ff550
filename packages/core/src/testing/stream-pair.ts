import { MemoryStream, type StreamAddresses } from "./memory-stream.ts";
import { Wire, type DirectionOptions } from "./wire.ts";

export interface StreamPairOptions {
  /** What the remote end writes. */
  toLocal?: DirectionOptions;
  /** What the local end writes. */
  toRemote?: DirectionOptions;
  /** Bytes in an end's buffers at which `write` says `false`, and above which it takes no more to read. Default 65,536. */
  highWaterMark?: number;
  /** Nothing moves but by {@link StreamPair.step} and {@link StreamPair.flush}. Default: a piece moves with each microtask. */
  manual?: boolean;
  /** The addresses that the local end shows. */
  addresses?: StreamAddresses;
}

/** Two ends of a connection in memory. */
export interface StreamPair {
  /** For the code under test. */
  readonly local: MemoryStream;
  /** For the test, which plays the peer. */
  readonly remote: MemoryStream;
  /** Moves one piece in each direction, at once; tells whether anything moved. */
  step(): boolean;
  /** Moves all that can move, piece by piece, and lets everything happen that each piece causes. */
  flush(): Promise<void>;
}

const DEFAULT_HIGH_WATER_MARK = 65_536;

/**
 * A connection in memory for tests of protocol code: both ends are half-open and behave like `net.Socket` in what a
 * `ByteStream` promises. No time passes in it: a test decides how bytes are cut, when they move and where it breaks.
 */
export function streamPair(options: StreamPairOptions = {}): StreamPair {
  const toLocal: Wire = new Wire(options.toLocal ?? {}, () => schedule());
  const toRemote: Wire = new Wire(options.toRemote ?? {}, () => schedule());
  const highWaterMark = options.highWaterMark ?? DEFAULT_HIGH_WATER_MARK;
  const local = new MemoryStream(toLocal, toRemote, highWaterMark, options.addresses ?? {});
  const remote = new MemoryStream(toRemote, toLocal, highWaterMark, {});
  let scheduled = false;

  const step = (): boolean => {
    const moved = toLocal.step();
    return toRemote.step() || moved;
  };
  const schedule = (): void => {
    if (options.manual || scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      if (step()) schedule();
    });
  };
  const flush = async (): Promise<void> => {
    // What moved may have woken somebody who needs a turn to answer.
    for (let quietTurns = 0; quietTurns < 2; quietTurns++) {
      await turn();
      if (step() || toLocal.movable || toRemote.movable) quietTurns = -1;
    }
  };
  return { local, remote, step, flush };
}

// Taken before a test replaces the clock: a turn of the event loop is no time.
const realSetImmediate = setImmediate;

/** Resolves when everything is done that was already due: microtasks, ticks, events. Works with fake timers. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    realSetImmediate(resolve);
  });
}
