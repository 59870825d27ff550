import type { X509Certificate } from "node:crypto";

/** More time than this is more than an authority may take to tell that a certificate is valid no more. */
const MAX_AGE_MS = 3_600_000;

/** A session that can be resumed. */
export interface KeptSession {
  readonly session: Buffer;
  /** What the peer has shown when it began: it does not show it again. */
  readonly certificate: X509Certificate | undefined;
  /** In `Date.now()` milliseconds. */
  readonly validUntilMs: number;
}

/**
 * Sessions with upstreams, to be resumed: the latest of each peer. What is resumed was verified when it began, so that all that
 * verification depends on must be in the key, and it ends with the certificate.
 */
export class SessionCache {
  readonly #max: number;
  /** In the order of use. */
  readonly #sessions = new Map<string, KeptSession>();

  /** @param max An integer of at least 0. */
  constructor(max: number) {
    this.#max = max;
  }

  get enabled(): boolean {
    return this.#max > 0;
  }

  get(key: string): KeptSession | undefined {
    const kept = this.#sessions.get(key);
    if (kept === undefined) return undefined;
    this.#sessions.delete(key);
    if (kept.validUntilMs <= Date.now()) return undefined;
    this.#sessions.set(key, kept);
    return kept;
  }

  /** @param certificate Of the peer; the session ends with it. */
  set(key: string, session: Buffer, certificate: X509Certificate | undefined): void {
    this.#sessions.delete(key);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size < this.#max) break;
      this.#sessions.delete(oldest);
    }
    const certificateEndsMs = certificate?.validToDate.getTime() ?? Number.POSITIVE_INFINITY;
    const validUntilMs = Math.min(Date.now() + MAX_AGE_MS, certificateEndsMs);
    this.#sessions.set(key, { session, certificate, validUntilMs });
  }

  /** What was kept cannot be used. */
  delete(key: string): void {
    this.#sessions.delete(key);
  }
}
