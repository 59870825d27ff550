/** How long an origin is taken for one of HTTP/1, in milliseconds: it may be given HTTP/2 any day. */
const REMEMBERED_MS = 300_000;
/** Origins remembered; beyond, the one that was learnt first is forgotten. */
const MAX_ORIGINS = 1000;

/**
 * Origins that could have been spoken to by HTTP/2 and are not: they chose HTTP/1 by ALPN, or said that they want it. For five minutes
 * nobody waits for another to find out the same. (Pingora remembers for ever, and without bound.)
 */
export class Http1Origins {
  readonly #untilMs = new Map<string, number>();
  readonly #now: () => number;

  /** @param now Milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param key Of the pool. */
  add(key: string): void {
    this.#untilMs.delete(key);
    this.#untilMs.set(key, this.#now() + REMEMBERED_MS);
    if (this.#untilMs.size > MAX_ORIGINS) this.#untilMs.delete(this.#untilMs.keys().next().value!);
  }

  has(key: string): boolean {
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return false;
    if (untilMs > this.#now()) return true;
    this.#untilMs.delete(key);
    return false;
  }
}
