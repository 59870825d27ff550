import { nowMs } from "../net/clock.ts";
import type { Http2ServerOptions } from "./server-options.ts";

/** What {@link FloodGuard} counts within. */
const WINDOW_MS = 10_000;
/** Frames without content that each piece of content allows: gRPC measures the connection by a PING beside its data. */
const FRAMES_PER_PIECE = 4;

/** Counts what a client sends that costs us something and carries nothing; windows begin anew when the last is over. */
export class FloodGuard {
  readonly #limits: Pick<Http2ServerOptions, "maxResets" | "maxControlFrames">;
  readonly #onFlood: (what: string) => void;
  #windowEndsAtMs = 0;
  #resets = 0;
  #controlFrames = 0;
  #pieces = 0;

  /** @param onFlood Called when there is too much of something. */
  constructor(limits: Pick<Http2ServerOptions, "maxResets" | "maxControlFrames">, onFlood: (what: string) => void) {
    this.#limits = limits;
    this.#onFlood = onFlood;
  }

  /** A request, or a piece of a body. */
  allow(): void {
    this.#pieces++;
  }

  /** A stream ended by a reset that was not our decision. */
  reset(): void {
    this.#turnWindow();
    if (++this.#resets <= this.#limits.maxResets) return;
    this.#onFlood(`more than ${this.#limits.maxResets} streams were reset within ${WINDOW_MS / 1000} s`);
  }

  /** A frame that carries nothing. */
  controlFrame(): void {
    this.#turnWindow();
    if (++this.#controlFrames <= this.#limits.maxControlFrames + this.#pieces * FRAMES_PER_PIECE) return;
    this.#onFlood(`more than ${this.#limits.maxControlFrames} frames without content within ${WINDOW_MS / 1000} s`);
  }

  #turnWindow(): void {
    const now = nowMs();
    if (now < this.#windowEndsAtMs) return;
    this.#windowEndsAtMs = now + WINDOW_MS;
    this.#resets = 0;
    this.#controlFrames = 0;
    this.#pieces = 0;
  }
}
