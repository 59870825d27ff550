import { HeaderFields } from "@sluice/http";
import { delayOf, pieceOf } from "./body-step.ts";
import type { Exchange } from "./exchange.ts";
import { isPromise } from "./hook.ts";
import { Pipe } from "./pipe.ts";
import type { RetryBuffer } from "./retry-buffer.ts";
import type { Session } from "./session.ts";

/** The request body of one attempt, on its way through the filters to the upstream. */
export class RequestPipe<Ctx> extends Pipe {
  readonly #exchange: Exchange<Ctx>;
  /** The upstream takes no more for now: nothing more is read from the client. */
  #full = false;
  /** What is kept of the body, as long as not all of it was sent in this attempt. */
  #kept: RetryBuffer | undefined = undefined;
  /** How many of its pieces were. */
  #keptSent = 0;

  constructor(exchange: Exchange<Ctx>) {
    super();
    this.#exchange = exchange;
  }

  /** Sends what is kept first, as {@link readOn} goes on. */
  resend(kept: RetryBuffer): void {
    this.#kept = kept;
  }

  /** Not all that is kept was sent. */
  get resending(): boolean {
    return this.#kept !== undefined;
  }

  /** A piece, or the end with the trailers if there are any. */
  take(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    // It is kept, too, and has its turn.
    if (this.#kept === undefined) this.#pass(piece, end, trailers);
  }

  #pass(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    if (this.over) return;
    if (this.waiting) {
      this.#takeInTurn(piece, end, trailers);
      return;
    }
    try {
      this.#filter(piece, end, trailers);
    } catch (error) {
      this.failed(error);
    }
  }

  // A function of its own: one that has a closure pays for it also where it makes none.
  #takeInTurn(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    this.inTurn(() => this.#filter(piece, end, trailers));
  }

  /** The upstream takes no more for now. */
  onFull(): void {
    if (this.#full) return;
    this.#full = true;
    this.session.times.upstreamFull();
    this.#exchange.downstream.pauseBody();
  }

  /** The upstream can take bytes again. */
  onWritable(): void {
    this.#full = false;
    this.session.times.upstreamTakes();
    this.readOn();
  }

  override dispose(): void {
    super.dispose();
    this.session.times.upstreamTakes();
  }

  /** Goes on with what is kept, then with what the client sends, unless somebody on the way has enough to do. */
  readOn(): void {
    const exchange = this.#exchange;
    const { downstream, intake } = exchange;
    let sent = false;
    while (!this.#stopped && (this.#sendKept() || intake?.takeRead() === true)) sent = true;
    if (sent && !exchange.over) exchange.flushUp();
    if (!this.#stopped) downstream.resumeBody();
  }

  protected get session(): Session {
    return this.#exchange.session;
  }

  protected get over(): boolean {
    return this.#exchange.over;
  }

  protected failed(thrown: unknown): void {
    this.#exchange.hookFailed(thrown);
  }

  protected stop(): void {
    this.#exchange.downstream.pauseBody();
  }

  protected goOn(): void {
    this.#exchange.readOn();
  }

  get #stopped(): boolean {
    const exchange = this.#exchange;
    return exchange.over || this.waiting || this.#full || exchange.intake?.waiting === true;
  }

  /** Sends the next of what is kept; `false` if that was all. */
  #sendKept(): boolean {
    const kept = this.#kept;
    if (kept === undefined) return false;
    if (kept.truncated) {
      // While it was being sent again the modules made more of it.
      this.#exchange.failTruncated();
    } else if (this.#keptSent < kept.pieces.length) {
      const piece = kept.pieces[this.#keptSent++];
      // What is still to come may be kept in the memory of this piece, and is passed as it comes.
      if (this.#keptSent === kept.pieces.length && !kept.ended) this.#kept = undefined;
      this.#pass(piece, false, undefined);
    } else {
      this.#kept = undefined;
      if (!kept.ended) return false;
      this.#pass(undefined, true, kept.trailers);
    }
    return true;
  }

  #filter(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    if (this.#exchange.app.requestBodyFilter === undefined) this.#send(piece, end, trailers);
    else this.#runFilter(piece, end, trailers);
  }

  #runFilter(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    const { app, session, ctx } = this.#exchange;
    session.phase = "requestBodyFilter";
    const given: unknown = app.requestBodyFilter!(session, piece, end, ctx);
    if (isPromise(given)) {
      this.waitFor("requestBodyFilter", given, (result) => this.#filtered(result, piece, end, trailers));
    } else {
      this.#filtered(given, piece, end, trailers);
    }
  }

  #filtered(given: unknown, piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    const { session } = this.#exchange;
    session.phase = "requestBodyFilter";
    const next = pieceOf(session, given, piece);
    const delayMs = delayOf(given);
    session.phase = "exchange";
    if (delayMs > 0) this.delay(delayMs, () => this.#send(next, end, trailers));
    else this.#send(next, end, trailers);
  }

  #send(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    const exchange = this.#exchange;
    const { downstream } = exchange;
    if (piece !== undefined && piece.length > 0 && downstream.requestBodyEmpty && !exchange.tunnel) {
      throw new RangeError(
        "a body filter or module gave bytes for a request without a body; its head has gone up already",
      );
    }
    if (piece !== undefined && !exchange.upstream.writeBody(piece)) this.onFull();
    if (!end) return;
    if (trailers === undefined || exchange.app.requestTrailerFilter === undefined) this.#finish(trailers);
    else this.#filterTrailers(trailers);
  }

  #filterTrailers(trailers: HeaderFields): void {
    const { app, session, ctx } = this.#exchange;
    // What one attempt does to them must not show in the next.
    const own = HeaderFields.from(trailers);
    session.phase = "requestTrailerFilter";
    const waiting = app.requestTrailerFilter!(session, own, ctx);
    if (isPromise(waiting)) {
      this.waitFor("requestTrailerFilter", waiting, () => this.#finish(own));
      return;
    }
    session.phase = "exchange";
    this.#finish(own);
  }

  #finish(trailers: HeaderFields | undefined): void {
    this.#exchange.endRequest(trailers);
  }
}
