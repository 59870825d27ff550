import { hookError, lateHookError } from "./hook-errors.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";

/**
 * One direction on its way. What comes passes one hook after the other, in order; while a hook takes its time, or has asked
 * for a delay, the side that it comes from is stopped, and what comes all the same waits for its turn.
 */
export abstract class Pipe {
  /** Something takes its time. */
  waiting = false;
  /** Fulfilled when the hook that takes its time is through; it never fails. */
  pending: Promise<void> | undefined = undefined;
  #queue: (() => void)[] | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;

  protected abstract get session(): Session;
  /** Nothing that still happens has an effect. */
  protected abstract get over(): boolean;
  /** A hook failed: the one that the session's phase names, or this error does. */
  protected abstract failed(thrown: unknown): void;
  /** Reads no more from the side that this direction comes from. */
  protected abstract stop(): void;
  /** Nothing waits any more: reads on, and sends what is held. */
  protected abstract goOn(): void;

  /** Goes on with `next` once the hook is through. What it fails with names it, whatever the other side has done meanwhile. */
  protected waitFor<T>(phase: Phase, hook: PromiseLike<T>, next: (value: T) => void): void {
    this.waiting = true;
    this.stop();
    this.pending = Promise.resolve(hook).then(
      (value) => {
        this.pending = undefined;
        if (this.over) return;
        this.enterPhase("exchange");
        this.#continue(() => next(value));
      },
      (thrown: unknown) => {
        this.pending = undefined;
        if (this.over) {
          lateHookError(this.session, phase, thrown);
          return;
        }
        this.enterPhase(phase);
        this.failed(hookError(this.session, phase, thrown));
      },
    );
  }

  /** Goes on with `next` after so many milliseconds. */
  protected delay(ms: number, next: () => void): void {
    this.waiting = true;
    this.stop();
    this.#timer = setTimeout(() => {
      this.session.times.delayedMs += ms;
      this.#continue(next);
    }, ms);
  }

  /** A hook that took its time is through. */
  protected enterPhase(phase: Phase): void {
    this.session.phase = phase;
  }

  /** Does it now, or when everything that waits is through. */
  protected inTurn(next: () => void): void {
    if (this.over) return;
    if (this.waiting) (this.#queue ??= []).push(next);
    else this.#attempt(next);
  }

  /** What waits has no effect any more. */
  dispose(): void {
    clearTimeout(this.#timer);
    this.#queue = undefined;
  }

  #continue(next: () => void): void {
    this.waiting = false;
    this.#attempt(next);
    while (!this.waiting && !this.over && this.#queue !== undefined && this.#queue.length > 0) {
      this.#attempt(this.#queue.shift()!);
    }
    if (!this.waiting && !this.over) this.goOn();
  }

  #attempt(next: () => void): void {
    try {
      next();
    } catch (error) {
      this.failed(error);
    }
  }
}
