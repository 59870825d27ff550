import { nowMs } from "../../net/clock.ts";
import { ENHANCE_YOUR_CALM } from "../error-codes.ts";
import { Http2ConnectionError } from "./http2-connection-error.ts";

/** How much a peer may send that is worth nothing, within ten seconds. */
export interface FloodLimits {
  /** Streams that end by a reset that is not our decision. */
  readonly maxResets: number;
  /** Frames that carry nothing; each request, and each piece of a body either way, allows four more. */
  readonly maxControlFrames: number;
}

/** What is counted within. */
const WINDOW_MS = 10_000;
/** Frames without content that each piece of content allows: gRPC measures the connection by a PING beside its data. */
const FRAMES_PER_PIECE = 4;

/** Counts what a peer sends that costs us something and carries nothing, in windows of ten seconds. */
export class FloodGuard {
  readonly #limits: FloodLimits;
  /** From the beginning of the connection. */
  #pieces = 0;
  #windowEndsAtMs = 0;
  #resets = 0;
  #controlFrames = 0;
  #piecesAtWindow = 0;

  constructor(limits: FloodLimits) {
    this.#limits = limits;
  }

  /** A head, or a piece of a body, either way. */
  allow(): void {
    this.#pieces++;
  }

  /**
   * A stream ended by a reset that was not our decision.
   * @throws Http2ConnectionError ENHANCE_YOUR_CALM
   */
  reset(): void {
    this.#turnWindow();
    const { maxResets } = this.#limits;
    if (++this.#resets > maxResets) throw flood(`more than ${maxResets} streams were reset`);
  }

  /**
   * A frame came that carries nothing.
   * @throws Http2ConnectionError ENHANCE_YOUR_CALM
   */
  controlFrame(): void {
    this.#turnWindow();
    const { maxControlFrames } = this.#limits;
    const pieces = this.#pieces - this.#piecesAtWindow;
    if (++this.#controlFrames > maxControlFrames + pieces * FRAMES_PER_PIECE) {
      throw flood(`more than ${maxControlFrames} frames without content`);
    }
  }

  #turnWindow(): void {
    const now = nowMs();
    if (now < this.#windowEndsAtMs) return;
    this.#windowEndsAtMs = now + WINDOW_MS;
    this.#resets = 0;
    this.#controlFrames = 0;
    this.#piecesAtWindow = this.#pieces;
  }
}

function flood(what: string): Http2ConnectionError {
  return new Http2ConnectionError(ENHANCE_YOUR_CALM, `${what} within ${WINDOW_MS / 1000} s`);
}
