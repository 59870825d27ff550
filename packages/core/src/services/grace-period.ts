import { MAX_TIMER_MS } from "../net/deadline.ts";

/** How long what is in flight may go on: begins when it is limited for the first time, and can only become shorter. */
export class GracePeriod {
  readonly #over = new AbortController();
  readonly #shortened = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #endsAt = Number.POSITIVE_INFINITY;
  readonly #failureMs: number;

  /** @param failureMs What is left when the server cannot start. Default 0: nobody has relied on it. */
  constructor(failureMs: number = 0) {
    this.#failureMs = failureMs;
  }

  /** Aborts at its end. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Infinity before it has begun. */
  get leftMs(): number {
    return Math.max(this.#endsAt - performance.now(), 0);
  }

  /** From now on; 0: it is over. */
  limit(ms: number): void {
    const endsAt = performance.now() + ms;
    if (endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    clearTimeout(this.#timer);
    if (ms <= 0) this.#over.abort();
    else this.#timer = setTimeout(() => this.#over.abort(), Math.min(ms, MAX_TIMER_MS));
    for (const listener of this.#shortened) listener();
  }

  /** The server cannot start. */
  failed(): void {
    this.limit(this.#failureMs);
  }

  /** Calls `listener` whenever the end comes nearer than it was. */
  onShortened(listener: () => void): void {
    this.#shortened.add(listener);
  }

  /** Nothing is in flight any more. Whoever limits it later sets no timer, for that would hold the process. */
  dispose(): void {
    this.#endsAt = Number.NEGATIVE_INFINITY;
    clearTimeout(this.#timer);
    this.#shortened.clear();
  }
}
