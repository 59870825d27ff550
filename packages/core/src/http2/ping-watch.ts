import type { Http2Session } from "node:http2";
import { Deadline } from "../net/deadline.ts";

/** How long a PING may stay unanswered, in milliseconds; that of Pingora. */
const PONG_MS = 5000;

/**
 * Asks by PING whether the other side is still there (RFC 9113, section 6.7): once an interval has passed since the last answer,
 * and when somebody doubts it. One that is not answered within 5 s, or fails, tells `onMissed`.
 */
export class PingWatch {
  readonly #session: Http2Session;
  readonly #intervalMs: number;
  readonly #onMissed: (waitedMs: number) => void;
  readonly #deadline: Deadline;
  #asking = false;
  #doubted = false;

  /** @param intervalMs 0: only when {@link doubt} is called. */
  constructor(session: Http2Session, intervalMs: number, onMissed: (waitedMs: number) => void) {
    this.#session = session;
    this.#intervalMs = intervalMs;
    this.#onMissed = onMissed;
    this.#deadline = new Deadline(() => this.#onDeadline());
    this.#deadline.set(intervalMs);
  }

  /** Somebody has doubted, and there is no answer yet. */
  get doubted(): boolean {
    return this.#doubted;
  }

  /** Something gives reason to ask now. */
  doubt(): void {
    this.#doubted = true;
    this.#ask();
  }

  dispose(): void {
    this.#deadline.dispose();
  }

  #ask(): void {
    if (this.#asking || this.#session.destroyed) return;
    // One that is closing has others to wait for, and Node answers for it.
    if (this.#session.closed) return;
    this.#asking = true;
    this.#deadline.set(PONG_MS);
    this.#session.ping((error) => this.#onAnswer(error));
  }

  #onAnswer(error: Error | null): void {
    if (error !== null || !this.#asking) return;
    this.#asking = false;
    this.#doubted = false;
    if (!this.#session.destroyed) this.#deadline.set(this.#intervalMs);
  }

  #onDeadline(): void {
    if (this.#asking) this.#onMissed(PONG_MS);
    else this.#ask();
  }
}
