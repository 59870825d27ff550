import { nowMs, type ServerSession } from "@sluice/core";

/**
 * When what happened to a request, in `performance.now()` milliseconds; `undefined` for what has not happened. What concerns an
 * upstream is that of the latest attempt. All that one read from a socket causes has the time of that read.
 */
export interface Timing {
  /** The client's connection was accepted, which may be many requests ago. */
  readonly acceptedAtMs: number;
  /** The request's head was there, whole: the request begins. */
  readonly headReadAtMs: number;
  /** `upstreamPeer` had given the peer. */
  readonly peerChosenAtMs: number | undefined;
  /** There was a connection, from the pool or a new one. */
  readonly connectedAtMs: number | undefined;
  /** The head was given to the upstream's connection. */
  readonly requestHeadSentAtMs: number | undefined;
  /** So was the end of the body. */
  readonly requestSentAtMs: number | undefined;
  /** The upstream's final head had come. */
  readonly responseHeadAtMs: number | undefined;
  /** The end of the upstream's response was given to the client's connection. */
  readonly responseEndAtMs: number | undefined;
  /** All was done but `logging`: the end of the response, or of what the client was told instead, or of the tunnel. */
  readonly endedAtMs: number | undefined;
  /** What it took to open the connection; 0 for one from the pool. */
  readonly connectMs: number | undefined;
  /** For how long the body had to wait, in sum, for an upstream that took no bytes. */
  readonly upstreamWritePendingMs: number;
  /** The delays that body filters asked for and that passed, in sum. */
  readonly delayedMs: number;
}

/** Where the times of a request are noted. */
export class RequestTimes {
  connectedAtMs: number | undefined = undefined;
  requestHeadSentAtMs: number | undefined = undefined;
  requestSentAtMs: number | undefined = undefined;
  responseHeadAtMs: number | undefined = undefined;
  responseEndAtMs: number | undefined = undefined;
  endedAtMs: number | undefined = undefined;
  delayedMs = 0;
  #peerChosenAtMs: number | undefined = undefined;
  #pendingMs = 0;
  #pendingSinceMs: number | undefined = undefined;

  /** Another attempt begins: what the one before took does not count any more. */
  beginAttempt(): void {
    this.connectedAtMs = undefined;
    this.requestHeadSentAtMs = undefined;
    this.requestSentAtMs = undefined;
    this.responseHeadAtMs = undefined;
    this.#peerChosenAtMs = undefined;
    this.#pendingMs = 0;
    this.delayedMs = 0;
  }

  get peerChosen(): boolean {
    return this.#peerChosenAtMs !== undefined;
  }

  /** A connection is about to be opened. With one from the pool that is no moment of its own. */
  connecting(): void {
    this.#peerChosenAtMs = nowMs();
  }

  connected(): void {
    this.connectedAtMs = nowMs();
    this.#peerChosenAtMs ??= this.connectedAtMs;
  }

  /** The upstream takes no more bytes for now. */
  upstreamFull(): void {
    this.#pendingSinceMs ??= nowMs();
  }

  /** It takes bytes again, or nobody wants it to. */
  upstreamTakes(): void {
    if (this.#pendingSinceMs === undefined) return;
    this.#pendingMs += nowMs() - this.#pendingSinceMs;
    this.#pendingSinceMs = undefined;
  }

  read({ digest, headReadAtMs }: ServerSession): Timing {
    const peerChosenAtMs = this.#peerChosenAtMs;
    const { connectedAtMs } = this;
    const pendingMs = this.#pendingSinceMs === undefined ? 0 : nowMs() - this.#pendingSinceMs;
    return {
      acceptedAtMs: digest.establishedAtMs,
      headReadAtMs,
      peerChosenAtMs,
      connectedAtMs,
      requestHeadSentAtMs: this.requestHeadSentAtMs,
      requestSentAtMs: this.requestSentAtMs,
      responseHeadAtMs: this.responseHeadAtMs,
      responseEndAtMs: this.responseEndAtMs,
      endedAtMs: this.endedAtMs,
      connectMs: connectedAtMs === undefined ? undefined : connectedAtMs - peerChosenAtMs!,
      upstreamWritePendingMs: this.#pendingMs + pendingMs,
      delayedMs: this.delayedMs,
    };
  }
}
