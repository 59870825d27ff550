import {
  removeHopByHop,
  type ClientSession,
  type ClientSessionEvents,
  type ServerSession,
  type ServerSessionEvents,
} from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { hookError, isPromise, nameOf, notPromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import type { Awaitable, ProxyHttp } from "./proxy-http.ts";
import type { RetryBuffer } from "./retry-buffer.ts";
import type { Session } from "./session.ts";
import { requestBodyKind } from "./upstream-request.ts";

/**
 * One attempt's traffic: the request body goes up, the response comes down, at the same time, each at the pace of whoever
 * takes it. Everything happens inside the events of the two sessions; a hook that returns a promise pauses the side that
 * it belongs to.
 */
export class Exchange<Ctx> implements ServerSessionEvents, ClientSessionEvents {
  readonly #app: ProxyHttp<Ctx>;
  readonly #session: Session;
  readonly #ctx: Ctx;
  readonly #downstream: ServerSession;
  readonly #upstream: ClientSession;
  readonly #retryBuffer: RetryBuffer | undefined;
  /** `requestBodyFilter` is busy: nothing more is read from the client. */
  #requestWaits = false;
  /** What came all the same: the end, or the pieces of an earlier attempt. */
  readonly #requestQueue: [piece: Buffer | undefined, end: boolean, trailers: HeaderFields | undefined][] = [];
  /** The upstream takes no more for now: nothing more is read from the client. */
  #upstreamFull = false;
  /** A response filter is busy: nothing more is read from the upstream. */
  #responseWaits = false;
  #requestSent = false;
  /** The protocol was changed: the attempt is over when both sides have ended. */
  #tunnel = false;
  #responseEnded = false;
  /** Ends {@link run}; `undefined` when the attempt is over, after which events have no effect. */
  #settle: ((error: ProxyError | undefined) => void) | undefined = undefined;

  constructor(
    app: ProxyHttp<Ctx>,
    session: Session,
    ctx: Ctx,
    upstream: ClientSession,
    retryBuffer: RetryBuffer | undefined,
  ) {
    this.#app = app;
    this.#session = session;
    this.#ctx = ctx;
    this.#downstream = session.downstream;
    this.#upstream = upstream;
    this.#retryBuffer = retryBuffer;
  }

  /**
   * Sends `outgoing` and passes everything on. Resolves with nothing when the response was delivered whole, or with the
   * error that ended the attempt. Both sessions are left then: the upstream's released or destroyed.
   */
  run(outgoing: RequestHeader): Promise<ProxyError | undefined> {
    const done = new Promise<ProxyError | undefined>((resolve) => (this.#settle = resolve));
    this.#session.phase = "exchange";
    const bodyEmpty = this.#downstream.requestBodyEmpty;
    this.#upstream.writeRequest(outgoing, requestBodyKind(outgoing, bodyEmpty), this);
    if (bodyEmpty) {
      this.#requestSent = true;
      if (this.#app.requestBodyFilter === undefined) this.#upstream.flush();
      else this.#filterRequest(undefined, true, undefined);
      // From here on the client is watched, so that one who leaves is noticed.
      this.#downstream.events = this;
    } else {
      this.#sendBody();
    }
    return done;
  }

  // From the client.

  onRequestData(chunk: Buffer): void {
    const kept = this.#retryBuffer?.add(chunk) === true;
    this.#filterRequest(chunk, false, undefined);
    // A filter may have kept the chunk, and a slow upstream's is still to be sent.
    if (kept || this.#app.requestBodyFilter !== undefined || this.#upstream.holdsBytes) this.#downstream.keepChunk();
  }

  onRequestEnd(trailers: HeaderFields | undefined): void {
    if (this.#retryBuffer !== undefined) this.#retryBuffer.trailers = trailers;
    this.#filterRequest(undefined, true, trailers);
  }

  onRequestBatch(): void {
    if (this.#settle !== undefined) this.#upstream.flush();
  }

  onDownstreamWritable(): void {
    if (!this.#responseWaits && this.#settle !== undefined) this.#upstream.resume();
  }

  onDownstreamError(error: ProxyError): void {
    this.#fail(error);
  }

  // From the upstream.

  onUpstreamWritable(): void {
    this.#upstreamFull = false;
    this.#resumeBody();
  }

  onInformational(header: ResponseHeader): void {
    this.#filterHead(header, false);
  }

  onResponseHeader(header: ResponseHeader, end: boolean): void {
    this.#filterHead(header, end);
  }

  onResponseData(chunk: Buffer): void {
    this.#session.upstreamBodyBytes += chunk.length;
    try {
      const filtered = this.#filterResponseBody(chunk, false);
      const writable = this.#downstream.writeBody(filtered ?? chunk);
      // A filter may have kept the chunk, and a slow client's is still to be sent.
      if (filtered !== undefined || this.#downstream.holdsBytes) this.#upstream.keepChunk();
      if (!writable) this.#upstream.pause();
    } catch (error) {
      this.#fail(this.#hookFailed(error));
    }
  }

  onResponseEnd(trailers: HeaderFields | undefined): void {
    try {
      const last = this.#filterResponseBody(undefined, true);
      if (last !== undefined) this.#downstream.writeBody(last);
      this.#downstream.finish(trailers);
      this.#responseEnded = true;
    } catch (error) {
      this.#fail(this.#hookFailed(error));
      return;
    }
    if (!this.#tunnel || this.#requestSent) this.#finish();
  }

  onResponseBatch(): void {
    if (this.#settle !== undefined && !this.#responseWaits) this.#downstream.flush();
  }

  onUpstreamError(error: ProxyError): void {
    this.#fail(error);
  }

  /** Sends what an earlier attempt read of the body, then lets the rest come. */
  #sendBody(): void {
    const pieces = this.#retryBuffer?.pieces ?? [];
    const wasDone = this.#downstream.requestBodyDone;
    for (const piece of pieces.slice()) this.#filterRequest(piece, false, undefined);
    if (wasDone) this.#filterRequest(undefined, true, this.#retryBuffer?.trailers);
    this.#downstream.events = this;
    this.onRequestBatch();
    // An earlier attempt may have ended while it had the client paused.
    this.#resumeBody();
  }

  /** Runs the filter on a piece, or on the end, and sends what it gives; in order, also when it takes its time. */
  #filterRequest(piece: Buffer | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    if (this.#settle === undefined) return;
    const app = this.#app;
    if (app.requestBodyFilter === undefined) {
      this.#sendUp(piece, end, trailers);
      return;
    }
    if (this.#requestWaits) {
      this.#requestQueue.push([piece, end, trailers]);
      return;
    }
    try {
      this.#session.phase = "requestBodyFilter";
      const result = app.requestBodyFilter(this.#session, piece, end, this.#ctx);
      if (!isPromise(result)) {
        const given = bytesOf(result);
        this.#session.phase = "exchange";
        this.#sendUp(given ?? piece, end, trailers);
        return;
      }
      this.#requestWaits = true;
      this.#downstream.pauseBody();
      this.#waitFor("requestBodyFilter", result)
        .then((given) => this.#requestFiltered(bytesOf(given) ?? piece, end, trailers))
        .catch((error: unknown) => this.#fail(hookError("requestBodyFilter", error)));
    } catch (error) {
      this.#fail(this.#hookFailed(error));
    }
  }

  /** A filter that took its time is through: what came meanwhile has its turn. */
  #requestFiltered(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    this.#requestWaits = false;
    this.#sendUp(piece, end, trailers);
    while (!this.#requestWaits && this.#requestQueue.length > 0) this.#filterRequest(...this.#requestQueue.shift()!);
    this.onRequestBatch();
    this.#resumeBody();
  }

  /** Reads on from the client, unless the filter or the upstream has enough to do. */
  #resumeBody(): void {
    if (this.#settle !== undefined && !this.#requestWaits && !this.#upstreamFull) this.#downstream.resumeBody();
  }

  #sendUp(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    if (this.#settle === undefined) return;
    try {
      if (piece !== undefined && piece.length > 0 && this.#downstream.requestBodyEmpty && !this.#tunnel) {
        throw new RangeError("requestBodyFilter gave bytes for a request without a body; the head has gone up already");
      }
      if (piece !== undefined && !this.#upstream.writeBody(piece)) {
        this.#upstreamFull = true;
        this.#downstream.pauseBody();
      }
      if (!end) return;
      this.#upstream.finishRequest(trailers);
      this.#upstream.flush();
      this.#requestSent = true;
      if (this.#tunnel && this.#responseEnded) this.#finish();
    } catch (error) {
      this.#fail(this.#hookFailed(error));
    }
  }

  /** Runs both head filters, then sends the head down; while a filter takes its time, the upstream waits. */
  #filterHead(header: ResponseHeader, end: boolean): void {
    try {
      const wasStatus = header.status;
      const upgrade = wasStatus === 101 ? header.get("upgrade") : undefined;
      removeHopByHop(header);
      if (upgrade !== undefined) header.set("Upgrade", upgrade);
      const waiting = this.#runUpstreamResponseFilter(header);
      if (isPromise(waiting)) this.#waitForResponse(waiting, () => this.#writeHead(header, wasStatus, end));
      else this.#writeHead(header, wasStatus, end);
    } catch (error) {
      this.#fail(this.#hookFailed(error));
    }
  }

  #runUpstreamResponseFilter(header: ResponseHeader): Awaitable<void> {
    const app = this.#app;
    if (app.upstreamResponseFilter !== undefined) {
      this.#session.phase = "upstreamResponseFilter";
      const waiting = app.upstreamResponseFilter(this.#session, header, this.#ctx);
      if (isPromise(waiting)) {
        return this.#waitFor("upstreamResponseFilter", waiting).then(() => this.#runResponseFilter(header));
      }
    }
    return this.#runResponseFilter(header);
  }

  #runResponseFilter(header: ResponseHeader): Awaitable<void> {
    const app = this.#app;
    if (app.responseFilter === undefined) return undefined;
    this.#session.phase = "responseFilter";
    const waiting = app.responseFilter(this.#session, header, this.#ctx);
    return isPromise(waiting) ? this.#waitFor("responseFilter", waiting) : undefined;
  }

  #waitForResponse(filters: PromiseLike<void>, next: () => void): void {
    this.#responseWaits = true;
    this.#upstream.pause();
    Promise.resolve(filters)
      .then(() => {
        if (this.#settle === undefined) return;
        next();
        this.#responseWaits = false;
        this.onResponseBatch();
        this.#upstream.resume();
      })
      .catch((error: unknown) => this.#fail(this.#hookFailed(error)));
  }

  #writeHead(header: ResponseHeader, wasStatus: number, end: boolean): void {
    if (this.#settle === undefined) return;
    this.#session.phase = "exchange";
    // What follows is decided: interim heads are followed by another, a 101 by raw bytes.
    if (kindOfStatus(header.status) !== kindOfStatus(wasStatus)) {
      throw new RangeError(`a filter changed status ${wasStatus} to ${header.status}, which is of another kind`);
    }
    if (kindOfStatus(wasStatus) === "interim") {
      if (!this.#downstream.writeInformational(header)) this.#upstream.pause();
      return;
    }
    if (header.status === 101) {
      this.#tunnel = true;
      this.#requestSent = false;
      // What was said on another protocol cannot be said again.
      if (this.#retryBuffer !== undefined) this.#retryBuffer.truncated = true;
    }
    // A body filter may still add bytes at the end of an empty body.
    const app = this.#app;
    const empty = end && app.upstreamResponseBodyFilter === undefined && app.responseBodyFilter === undefined;
    this.#downstream.writeHeader(header, empty);
  }

  /** What goes down instead of `piece`; nothing if there is no filter. */
  #filterResponseBody(piece: Uint8Array | undefined, end: boolean): Uint8Array | undefined {
    const app = this.#app;
    if (app.upstreamResponseBodyFilter === undefined && app.responseBodyFilter === undefined) return undefined;
    let result = piece;
    if (app.upstreamResponseBodyFilter !== undefined) {
      this.#session.phase = "upstreamResponseBodyFilter";
      result = bytesOf(app.upstreamResponseBodyFilter(this.#session, result, end, this.#ctx)) ?? result;
    }
    if (app.responseBodyFilter !== undefined) {
      this.#session.phase = "responseBodyFilter";
      result = bytesOf(app.responseBodyFilter(this.#session, result, end, this.#ctx)) ?? result;
    }
    this.#session.phase = "exchange";
    return result;
  }

  /** A hook takes its time: what it fails with names it, whatever the other side has done meanwhile. */
  #waitFor<T>(phase: Phase, waiting: PromiseLike<T>): Promise<T> {
    return Promise.resolve(waiting).then(
      (value) => {
        this.#session.phase = "exchange";
        return value;
      },
      (thrown: unknown) => {
        this.#session.phase = phase;
        throw hookError(phase, thrown);
      },
    );
  }

  #hookFailed(error: unknown): ProxyError {
    return hookError(this.#session.phase, error);
  }

  /** The response was delivered whole. */
  #finish(): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    this.#downstream.events = undefined;
    // An answer that came before the request was sent whole leaves a connection that nobody can use again.
    if (this.#requestSent) this.#upstream.release();
    else this.#upstream.destroy();
    settle(undefined);
  }

  #fail(error: ProxyError): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    this.#downstream.events = undefined;
    this.#upstream.destroy();
    settle(error);
  }
}

/** What a body filter gave: bytes, or nothing. Anything else would be framed by a length that it has not. */
function bytesOf(given: unknown): Uint8Array | undefined {
  if (given === undefined || given === null) return undefined;
  if (given instanceof Uint8Array) return given;
  notPromise(given);
  throw new TypeError(`a body filter must return a Uint8Array or nothing; it returned ${nameOf(given)}`);
}

function kindOfStatus(status: number): "interim" | "tunnel" | "final" {
  if (status === 101) return "tunnel";
  return status < 200 ? "interim" : "final";
}
