import { nowMs } from "../net/clock.ts";
import type { Http2ServerOptions } from "./server-options.ts";

type FloodLimits = Pick<Http2ServerOptions, "maxResets" | "maxControlFrames">;

/** What is counted within. */
const WINDOW_MS = 10_000;
/** Frames without content that each piece of content allows: gRPC measures the connection by a PING beside its data. */
const FRAMES_PER_PIECE = 4;
/** Bytes around its content: of a piece of 64 KiB, the head of each of its frames, and a WINDOW_UPDATE or two for each. */
const BYTES_PER_PIECE = 256;
/** What a frame that carries nothing is taken to have. */
const BYTES_PER_FRAME = 64;

/**
 * Counts what a client sends that costs us something and carries nothing. Frames of which Node tells are counted one by one; of
 * the others, such as WINDOW_UPDATE and padding, the bytes are; both in windows of ten seconds.
 */
export class FloodGuard {
  readonly #limits: FloodLimits;
  readonly #onFlood: (what: string) => void;
  /** From the beginning of the connection. */
  #pieces = 0;
  #contentBytes = 0;
  #windowEndsAtMs = 0;
  #resets = 0;
  #controlFrames = 0;
  #piecesAtWindow = 0;
  /** The same for what is looked at now and then. */
  #lookEndsAtMs = 0;
  #piecesAtLook = 0;
  #contentBytesAtLook = 0;
  #bytesAtLook = 0;

  /** @param onFlood Called when there is too much of something. */
  constructor(limits: FloodLimits, onFlood: (what: string) => void) {
    this.#limits = limits;
    this.#onFlood = onFlood;
  }

  /** A request, or a piece of a body either way. @param bytes Of content that came with it. */
  allow(bytes = 0): void {
    this.#pieces++;
    this.#contentBytes += bytes;
  }

  /** A stream ended by a reset that was not our decision. */
  reset(): void {
    this.#turnWindow();
    if (++this.#resets <= this.#limits.maxResets) return;
    this.#onFlood(`more than ${this.#limits.maxResets} streams were reset within ${WINDOW_MS / 1000} s`);
  }

  /** A frame came that carries nothing. */
  controlFrame(): void {
    this.#turnWindow();
    const pieces = this.#pieces - this.#piecesAtWindow;
    if (++this.#controlFrames <= this.#limits.maxControlFrames + pieces * FRAMES_PER_PIECE) return;
    this.#onFlood(`more than ${this.#limits.maxControlFrames} frames without content within ${WINDOW_MS / 1000} s`);
  }

  /** Looks how much more came than there was content. @param bytesRead From the beginning of the connection. */
  look(bytesRead: number): void {
    const content = this.#contentBytes - this.#contentBytesAtLook;
    const around = (this.#pieces - this.#piecesAtLook) * BYTES_PER_PIECE;
    const allowed = this.#limits.maxControlFrames * BYTES_PER_FRAME + around;
    const useless = bytesRead - this.#bytesAtLook - content;
    if (useless > allowed) {
      this.#onFlood(`${useless} bytes of frames without content within ${WINDOW_MS / 1000} s, of ${allowed} allowed`);
      return;
    }
    const now = nowMs();
    if (now < this.#lookEndsAtMs) return;
    this.#lookEndsAtMs = now + WINDOW_MS;
    this.#piecesAtLook = this.#pieces;
    this.#contentBytesAtLook = this.#contentBytes;
    this.#bytesAtLook = bytesRead;
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
