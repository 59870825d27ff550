import { behindWholeTurn, nowMs, Roster, type RosterMember } from "@sluice/core";

/** Ends a handshake with the reason that its promise rejects with. */
export type Cut = (reason: unknown) => void;

/** Ends handshakes from outside. */
export interface HandshakeWatch {
  /** Begins to watch one. Its signal is not aborted yet. Gives what to call once it is over. */
  add(cut: Cut): () => void;
}

/** A handshake that goes on. */
interface Watched extends RosterMember {
  readonly cut: Cut;
  /** Until when it has time, by `nowMs()`. */
  readonly dueMs: number;
}

/** Watches a single handshake. */
export class SingleHandshake implements HandshakeWatch {
  readonly #limitMs: number;
  readonly #late: () => Error;
  readonly #signal: AbortSignal | undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #onAbort: (() => void) | undefined = undefined;
  #over = false;

  /**
   * @param limitMs Milliseconds it may take; 0: any time.
   * @param late What it fails with then.
   */
  constructor(limitMs: number, late: () => Error, signal: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#late = late;
    this.#signal = signal;
  }

  add(cut: Cut): () => void {
    const cutIfLate = (): void => void (this.#over || cut(this.#late()));
    // What came in time is read first, though this process stood still.
    const expire = (): void => behindWholeTurn(cutIfLate);
    if (this.#limitMs > 0) this.#timer = setTimeout(expire, this.#limitMs).unref();
    this.#onAbort = () => cut(this.#signal?.reason);
    this.#signal?.addEventListener("abort", this.#onAbort);
    return () => this.#end();
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}

/**
 * Watches handshakes that have the same time and the same signal, by one timer and one listener for all of them: a pair for each
 * costs several microseconds.
 */
export class SharedHandshakeWatch implements HandshakeWatch {
  readonly #limitMs: number;
  readonly #late: () => Error;
  readonly #watched = new Roster<Watched>();
  #timer: NodeJS.Timeout | undefined = undefined;

  /**
   * @param limitMs Milliseconds each may take; 0: any time.
   * @param late What one fails with then.
   */
  constructor(limitMs: number, late: () => Error, signal: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#late = late;
    signal?.addEventListener("abort", () => {
      for (const { cut } of this.#watched) cut(signal.reason);
    });
  }

  add(cut: Cut): () => void {
    const limited = this.#limitMs > 0;
    const watched = { cut, dueMs: limited ? nowMs() + this.#limitMs : Number.POSITIVE_INFINITY, rosterPlace: -1 };
    this.#watched.add(watched);
    if (limited && this.#timer === undefined) this.#arm(this.#limitMs);
    return () => void this.#watched.delete(watched);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.ceil(ms)).unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = nowMs();
    let leftMs = Number.POSITIVE_INFINITY;
    for (const watched of this.#watched) {
      // Timers may fire a little early.
      if (watched.dueMs - now > 0.5) {
        leftMs = Math.min(leftMs, watched.dueMs - now);
        continue;
      }
      this.#watched.delete(watched);
      watched.cut(this.#late());
    }
    // All are looked at each time: where thousands are late, one behind the other, not for each of them.
    if (leftMs !== Number.POSITIVE_INFINITY) this.#arm(Math.max(leftMs, this.#limitMs / 100));
  }
}

/** The watches of a listener: one for all of its connections, whose service has one signal. */
export class ListenerWatches {
  readonly #limitMs: number;
  readonly #late: () => Error;
  /** For those with the signal that was given last. */
  #last: { readonly signal: AbortSignal | undefined; readonly watch: SharedHandshakeWatch } | undefined = undefined;

  /**
   * @param limitMs Milliseconds each handshake may take; 0: any time.
   * @param late What one fails with then.
   */
  constructor(limitMs: number, late: () => Error) {
    this.#limitMs = limitMs;
    this.#late = late;
  }

  for(signal: AbortSignal | undefined): SharedHandshakeWatch {
    if (this.#last === undefined || this.#last.signal !== signal) {
      this.#last = { signal, watch: new SharedHandshakeWatch(this.#limitMs, this.#late, signal) };
    }
    return this.#last.watch;
  }
}
