import { nowMs } from "../../net/clock.ts";
import { ENHANCE_YOUR_CALM } from "../error-codes.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";

/** How much a peer may send that is worth nothing, within ten seconds. */
export interface FloodLimits {
  /** Streams that end by a reset that is not our decision. */
  readonly maxResets: number;
  /** Frames that carry nothing; each head, each piece of a body either way, and each KiB that we send allow four more. */
  readonly maxControlFrames: number;
}

/** What is counted within. */
const WINDOW_MS = 10_000;
/**
 * Frames without content that each piece of content allows: gRPC measures the connection by a PING beside its data. Of those that
 * we send, each KiB counts as a piece more: whoever reads them gives both windows back in the steps in which it reads.
 */
const FRAMES_PER_PIECE = 4;

/** Counts what a peer sends that costs us something and carries nothing, in windows of ten seconds. */
export class FloodGuard {
  readonly #limits: FloodLimits;
  /** From the beginning of the connection. */
  #pieces = 0;
  #windowEndsAtMs = 0;
  #resets = 0;
  #controlFrames = 0;
  /** When this window began, and the one before: what was sent at its end is answered in this. */
  #piecesAtWindow = 0;
  #piecesAtLastWindow = 0;

  constructor(limits: FloodLimits) {
    this.#limits = limits;
  }

  /** A head, or a piece of a body, either way. @param sentBytes Of a piece that we sent. */
  allow(sentBytes: number): void {
    this.#pieces += 1 + (sentBytes >> 10);
  }

  /**
   * A stream ended by a reset that was not our decision.
   * @throws Http2ConnectionError ENHANCE_YOUR_CALM
   */
  reset(): void {
    this.#turnWindow();
    const { maxResets } = this.#limits;
    if (++this.#resets > maxResets) throw flood("maxResets", `more than ${maxResets} streams were reset`);
  }

  /**
   * A frame came that carries nothing.
   * @throws Http2ConnectionError ENHANCE_YOUR_CALM
   */
  controlFrame(): void {
    this.#turnWindow();
    const { maxControlFrames } = this.#limits;
    const pieces = this.#pieces - this.#piecesAtLastWindow;
    if (++this.#controlFrames > maxControlFrames + pieces * FRAMES_PER_PIECE) {
      throw flood("maxControlFrames", `more than ${maxControlFrames} frames without content`);
    }
  }

  #turnWindow(): void {
    const now = nowMs();
    if (now < this.#windowEndsAtMs) return;
    this.#windowEndsAtMs = now + WINDOW_MS;
    this.#resets = 0;
    this.#controlFrames = 0;
    this.#piecesAtLastWindow = this.#piecesAtWindow;
    this.#piecesAtWindow = this.#pieces;
  }
}

function flood(limit: keyof FloodLimits, what: string): Http2ConnectionError {
  return new Http2ConnectionError(ENHANCE_YOUR_CALM, `${what} within ${WINDOW_MS / 1000} s`, { limit });
}
