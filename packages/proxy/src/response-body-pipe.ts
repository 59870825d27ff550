import type { HttpModuleContext, ResponseEnd } from "@sluice/core";
import type { HeaderFields } from "@sluice/http";
import { bytesOf, delayOf, pieceOf } from "./body-step.ts";
import type { Exchange } from "./exchange.ts";
import { isPromise, refusePromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import { Pipe } from "./pipe.ts";
import type { Session } from "./session.ts";

// The way down. What waits at one stage goes on from the next.
export const ADJUST = 0;
export const UPSTREAM_MODULES = 1;
export const UPSTREAM_FILTER = 2;
export const FILTER = 3;
const TRAILERS = 4;
export const MODULES = 5;
export const CLIENT = 6;

/**
 * The body of a response, on its way through whoever has to do with it: the upstream's modules, the filters, the client's
 * modules.
 *
 * What waits is in functions of its own: one that has a closure pays for it also where it makes none.
 */
export abstract class ResponseBodyPipe<Ctx> extends Pipe {
  protected readonly exchange: Exchange<Ctx>;
  /** The client takes no more for now: nothing more is read from the upstream. */
  protected full = false;
  /** Some filter or module has to do with the body, its length or its end. Known when the final head goes down. */
  protected changesBody = false;
  #upstreamModules: HttpModuleContext | undefined = undefined;
  #modules: HttpModuleContext | undefined = undefined;

  constructor(exchange: Exchange<Ctx>) {
    super();
    this.exchange = exchange;
  }

  protected get session(): Session {
    return this.exchange.session;
  }

  protected get over(): boolean {
    return this.exchange.over;
  }

  protected failed(thrown: unknown): void {
    this.exchange.hookFailed(thrown);
  }

  protected stop(): void {
    const { upstream, downstream } = this.exchange;
    upstream.pause();
    // What has come this far goes on. A head alone is kept for a moment: it leaves with its first bytes.
    if (downstream.responseBodyBytes > 0) downstream.flush();
  }

  protected goOn(): void {
    if (!this.full) this.exchange.upstream.resume();
    this.flushDown();
  }

  protected override delay(ms: number, next: () => void): void {
    super.delay(ms, next);
    this.exchange.downstream.flush();
  }

  /** Sends what is held, unless more is about to join it. */
  protected flushDown(): void {
    if (!this.over && !this.waiting) this.exchange.downstream.flush();
  }

  /**
   * Who has to do with the body, now that the last head has passed.
   * @param endMayFail Also where nobody has: the client is told a length, and the end may fail behind it.
   */
  protected lookForChanges(endMayFail: boolean): void {
    const { app, session } = this.exchange;
    const { ownModules } = session;
    this.changesBody =
      endMayFail || app.upstreamResponseBodyFilter !== undefined || app.responseBodyFilter !== undefined;
    if (ownModules !== undefined) {
      this.#upstreamModules = this.#ifChanging(ownModules.upstream, UPSTREAM_FILTER);
      this.#modules = this.#ifChanging(ownModules.downstream, CLIENT);
    }
    // What fails at the end of the body must show, also where a Content-Length tells the client its end.
    if (this.changesBody) this.exchange.downstream.holdsEnd = true;
  }

  #ifChanging(modules: HttpModuleContext | undefined, next: number): HttpModuleContext | undefined {
    if (modules?.hasResponseBody !== true) return undefined;
    this.changesBody = true;
    // A module may say so in the middle of its own work.
    modules.onFlushWanted = () => queueMicrotask(() => this.inTurn(() => this.#flushModules(modules, next)));
    return modules;
  }

  protected passPiece(given: Uint8Array, from: number): void {
    const { app, session, ctx } = this.exchange;
    let piece: Uint8Array | undefined = given;
    if (from <= UPSTREAM_MODULES && this.#upstreamModules !== undefined) {
      session.phase = "upstreamModules";
      const result = this.#upstreamModules.responseBody(piece);
      if (isPromise(result)) return this.#pieceLater("upstreamModules", result, UPSTREAM_FILTER);
      piece = result;
      // Swallowed.
      if (piece.length === 0) return;
    }
    if (from <= UPSTREAM_FILTER && app.upstreamResponseBodyFilter !== undefined) {
      session.phase = "upstreamResponseBodyFilter";
      const result = app.upstreamResponseBodyFilter(session, piece, false, ctx);
      piece = pieceOf(session, result, piece)!;
      const delayMs = delayOf(result);
      if (delayMs > 0) return this.#pieceDelayed(delayMs, piece, FILTER);
    }
    if (from <= FILTER && app.responseBodyFilter !== undefined) {
      session.phase = "responseBodyFilter";
      const result = app.responseBodyFilter(session, piece, false, ctx);
      piece = pieceOf(session, result, piece)!;
      const delayMs = delayOf(result);
      if (delayMs > 0) return this.#pieceDelayed(delayMs, piece, MODULES);
    }
    if (from <= MODULES && this.#modules !== undefined && piece.length > 0) {
      session.phase = "responseModules";
      const result = this.#modules.responseBody(piece);
      if (isPromise(result)) return this.#pieceLater("responseModules", result, CLIENT);
      piece = result;
    }
    session.phase = "exchange";
    this.write(piece);
  }

  #pieceLater(phase: Phase, waiting: PromiseLike<Uint8Array>, from: number): void {
    this.waitFor(phase, waiting, (piece) => this.passPiece(piece, from));
  }

  #pieceDelayed(ms: number, piece: Uint8Array, from: number): void {
    this.session.phase = "exchange";
    this.delay(ms, () => this.passPiece(piece, from));
  }

  protected pieceInTurn(piece: Uint8Array, from: number): void {
    this.inTurn(() => this.passPiece(piece, from));
  }

  /** @param given Between the filters and the trailers: the last piece that the filters gave. */
  protected passEnd(given: Uint8Array | undefined, trailers: HeaderFields | undefined, from: number): void {
    const { app, session, ctx } = this.exchange;
    let piece = given;
    if (from <= UPSTREAM_MODULES && this.#upstreamModules !== undefined) {
      return this.#endUpstreamModules(this.#upstreamModules, trailers);
    }
    if (from <= UPSTREAM_FILTER && app.upstreamResponseBodyFilter !== undefined) {
      session.phase = "upstreamResponseBodyFilter";
      const result = app.upstreamResponseBodyFilter(session, undefined, true, ctx);
      const last = pieceOf(session, result, undefined);
      const delayMs = delayOf(result);
      if (delayMs > 0) return this.#lastDelayed(delayMs, last, trailers);
      if (last !== undefined) return this.#passLast(last, trailers);
    }
    if (from <= FILTER && app.responseBodyFilter !== undefined) {
      session.phase = "responseBodyFilter";
      const result = app.responseBodyFilter(session, undefined, true, ctx);
      piece = pieceOf(session, result, undefined);
      const delayMs = delayOf(result);
      if (delayMs > 0) return this.#endDelayed(delayMs, piece, trailers);
    }
    if (trailers !== undefined && app.upstreamResponseTrailerFilter !== undefined) {
      session.phase = "upstreamResponseTrailerFilter";
      const result = app.upstreamResponseTrailerFilter(session, trailers, ctx);
      refusePromise(session, "upstreamResponseTrailerFilter", result);
    }
    if (trailers !== undefined && app.responseTrailerFilter !== undefined) {
      session.phase = "responseTrailerFilter";
      const result: unknown = app.responseTrailerFilter(session, trailers, ctx);
      if (isPromise(result)) return this.#trailersLater(result, piece, trailers);
      return this.#trailersFiltered(result, piece, trailers);
    }
    session.phase = "exchange";
    this.#sendEnd(piece, undefined, trailers);
  }

  #endDelayed(ms: number, piece: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    this.session.phase = "exchange";
    this.delay(ms, () => this.passEnd(piece, trailers, TRAILERS));
  }

  /** What the upstream's filter still gives is a piece like others for the next one, before the end. */
  #passLast(last: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    if (last !== undefined && last.length > 0) this.passPiece(last, FILTER);
    this.endInTurn(trailers, FILTER);
  }

  #lastDelayed(ms: number, last: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    this.session.phase = "exchange";
    this.delay(ms, () => this.#passLast(last, trailers));
  }

  protected endInTurn(trailers: HeaderFields | undefined, from: number): void {
    this.inTurn(() => this.passEnd(undefined, trailers, from));
  }

  /** What the upstream's modules still give is a piece like others, before the end. */
  #endUpstreamModules(modules: HttpModuleContext, trailers: HeaderFields | undefined): void {
    this.session.phase = "upstreamModules";
    const result = modules.responseEnd(trailers);
    const next = ({ body, trailers: left }: ResponseEnd): void => {
      if (body !== undefined && body.length > 0) this.passPiece(body, UPSTREAM_FILTER);
      this.endInTurn(left, UPSTREAM_FILTER);
    };
    if (isPromise(result)) this.waitFor("upstreamModules", result, next);
    else next(result);
  }

  #trailersLater(result: PromiseLike<unknown>, piece: Uint8Array | undefined, trailers: HeaderFields): void {
    this.waitFor("responseTrailerFilter", result, (given) => this.#trailersFiltered(given, piece, trailers));
  }

  #trailersFiltered(given: unknown, piece: Uint8Array | undefined, trailers: HeaderFields): void {
    const { session } = this;
    session.phase = "responseTrailerFilter";
    const instead = bytesOf(session, "responseTrailerFilter", given);
    session.phase = "exchange";
    this.#sendEnd(piece, instead, instead === undefined ? trailers : undefined);
  }

  /** The last pieces that the filters gave, and the end, through the client's modules. */
  #sendEnd(piece: Uint8Array | undefined, more: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    if (piece !== undefined) this.passPiece(piece, MODULES);
    if (this.#modules !== undefined) {
      this.#sendEndInTurn(this.#modules, more, trailers);
      return;
    }
    if (more !== undefined) this.passPiece(more, MODULES);
    this.finish(trailers);
  }

  #sendEndInTurn(modules: HttpModuleContext, more: Uint8Array | undefined, trailers: HeaderFields | undefined): void {
    if (more !== undefined) this.pieceInTurn(more, MODULES);
    this.inTurn(() => this.#endModules(modules, trailers));
  }

  #endModules(modules: HttpModuleContext, trailers: HeaderFields | undefined): void {
    this.session.phase = "responseModules";
    const result = modules.responseEnd(trailers);
    const next = ({ body, trailers: left }: ResponseEnd): void => {
      this.session.phase = "exchange";
      if (body !== undefined) this.write(body);
      this.finish(left);
    };
    if (isPromise(result)) this.waitFor("responseModules", result, next);
    else next(result);
  }

  /** What modules have kept back and can give now. */
  #flushModules(modules: HttpModuleContext, next: number): void {
    const phase = next === CLIENT ? "responseModules" : "upstreamModules";
    this.session.phase = phase;
    const result = modules.flushResponse();
    const pass = (piece: Uint8Array | undefined): void => {
      this.session.phase = "exchange";
      if (piece !== undefined && piece.length > 0) this.passPiece(piece, next);
      this.flushDown();
    };
    if (isPromise(result)) this.waitFor(phase, result, pass);
    else pass(result);
  }

  protected write(piece: Uint8Array): void {
    if (!this.exchange.downstream.writeBody(piece)) this.stopForClient();
  }

  protected stopForClient(): void {
    const { downstream, upstream } = this.exchange;
    this.full = true;
    upstream.pause();
    // What it holds back is a piece that is gone by the time it takes more.
    downstream.flush();
  }

  protected finish(trailers: HeaderFields | undefined): void {
    this.exchange.downstream.finish(trailers);
    this.exchange.responseEnded();
  }
}
