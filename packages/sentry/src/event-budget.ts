/** Others than these look all alike. */
const MAX_KINDS = 1000;
const WINDOW_MS = 60_000;

/** How many reports there may be in a minute, in all and of each kind: a fault that strikes each request is to be told a few times. */
export class EventBudget {
  readonly #maxEvents: number;
  readonly #maxAlike: number;
  readonly #now: () => number;
  readonly #byKind = new Map<string, number>();
  #events = 0;
  #windowEndsAt = 0;
  #suppressed = 0;

  constructor(maxEvents: number, maxAlike: number, now: () => number = () => performance.now()) {
    this.#maxEvents = maxEvents;
    this.#maxAlike = maxAlike;
    this.#now = now;
  }

  /** Whether there may be one of that kind now; if so, it is counted. */
  take(kind: string): boolean {
    const now = this.#now();
    if (now >= this.#windowEndsAt) {
      this.#windowEndsAt = now + WINDOW_MS;
      this.#events = 0;
      this.#byKind.clear();
    }
    const known = this.#byKind.has(kind) || this.#byKind.size < MAX_KINDS ? kind : "";
    const alike = this.#byKind.get(known) ?? 0;
    if (this.#events >= this.#maxEvents || alike >= this.#maxAlike) {
      this.#suppressed++;
      return false;
    }
    this.#events++;
    this.#byKind.set(known, alike + 1);
    return true;
  }

  /** How many there were no room for since it was asked last. */
  takeSuppressed(): number {
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}
