import { Deadline } from "../net/deadline.ts";

/** Whoever sends a PING; the answer is told by {@link PingWatch.onPong}. */
interface Pinger {
  ping(): void;
  /** Nothing goes any more. */
  readonly finished: boolean;
}

/** How long a PING may stay unanswered, in milliseconds; that of Pingora. */
const PONG_MS = 5000;

/**
 * Asks by PING whether the other side is still there (RFC 9113, section 6.7): once an interval has passed since the last answer,
 * and when somebody doubts it. One that is not answered within 5 s tells `onMissed`.
 */
export class PingWatch {
  readonly #pinger: Pinger;
  readonly #intervalMs: number;
  readonly #onMissed: (waitedMs: number) => void;
  readonly #deadline: Deadline;
  #asking = false;
  #doubted = false;

  /** @param intervalMs 0: only when {@link doubt} is called. */
  constructor(pinger: Pinger, intervalMs: number, onMissed: (waitedMs: number) => void) {
    this.#pinger = pinger;
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

  /** A PING was answered. */
  onPong(): void {
    if (!this.#asking) return;
    this.#asking = false;
    this.#doubted = false;
    this.#deadline.set(this.#intervalMs);
  }

  dispose(): void {
    this.#deadline.dispose();
  }

  #ask(): void {
    if (this.#asking || this.#pinger.finished) return;
    this.#asking = true;
    this.#deadline.set(PONG_MS);
    this.#pinger.ping();
  }

  #onDeadline(): void {
    if (this.#asking) this.#onMissed(PONG_MS);
    else this.#ask();
  }
}
