import { nowMs, removeHopByHop, type ClientSessionEvents } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { HeaderFields, ResponseHeader } from "@sluice/http";
import { tellResponse } from "./channels.ts";
import { isPromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import {
  ADJUST,
  CLIENT,
  FILTER,
  MODULES,
  ResponseBodyPipe,
  UPSTREAM_FILTER,
  UPSTREAM_MODULES,
} from "./response-body-pipe.ts";

/**
 * The response of one attempt, on its way from the upstream to the client: through the upstream's modules, the filters of
 * what came, the filters of what goes down, and the client's modules.
 */
export class ResponsePipe<Ctx> extends ResponseBodyPipe<Ctx> implements ClientSessionEvents {
  /** The status of the head that is on its way, as it came. */
  #status = 0;
  /** Nothing follows that head. */
  #headIsAll = false;
  /**
   * The end may fail behind all bytes that a Content-Length promises, if there is one in the head that goes down: a hook has put it
   * there, and the upstream tells the end in another way, or a filter sees the trailers.
   */
  #endMayFail = false;

  // From the upstream, which is paused while something waits; the end of its connection may come all the same.

  onInformational(header: ResponseHeader): void {
    this.onResponseHeader(header, false);
  }

  onResponseHeader(header: ResponseHeader, end: boolean): void {
    try {
      const status = header.status;
      // RFC 9110, section 15.5.22: a 426 says what the client must ask for, and what it asks for goes on.
      const upgrade = status === 101 || status === 426 ? header.get("upgrade") : undefined;
      removeHopByHop(header);
      if (upgrade !== undefined) header.set("Upgrade", upgrade);
      this.#status = status;
      this.#headIsAll = end;
      this.#endMayFail = !end && (this.#trailersMayFail() || (this.#mayEditHead() && !header.has("content-length")));
      if (status >= 200 || status === 101) this.#begin(header);
      this.#passHead(header, ADJUST);
    } catch (error) {
      this.failed(error);
    }
  }

  onResponseData(chunk: Buffer): void {
    const { session, downstream, upstream } = this.exchange;
    session.upstreamBodyBytes += chunk.length;
    try {
      if (!this.changesBody) {
        this.write(chunk);
      } else {
        upstream.lendChunk();
        if (this.waiting) this.pieceInTurn(chunk, UPSTREAM_MODULES);
        else this.passPiece(chunk, UPSTREAM_MODULES);
      }
    } catch (error) {
      this.failed(error);
    }
    // A hook that takes its time has it until then, and a slow client's is still to be sent.
    if (this.waiting || downstream.holdsBytes) upstream.keepChunk();
  }

  onResponseEnd(trailers: HeaderFields | undefined): void {
    if (this.waiting) {
      this.endInTurn(trailers, UPSTREAM_MODULES);
      return;
    }
    try {
      if (this.changesBody || trailers !== undefined) this.passEnd(undefined, trailers, UPSTREAM_MODULES);
      else this.finish(undefined);
    } catch (error) {
      this.failed(error);
    }
    if (this.changesBody) this.#keepUnsent();
  }

  onResponseBatch(): void {
    this.flushDown();
    if (this.changesBody) this.#keepUnsent();
  }

  /** Of a body that somebody may change the last piece waits for the end, and is written only now. */
  #keepUnsent(): void {
    const { downstream, upstream } = this.exchange;
    if (downstream.holdsBytes) upstream.keepChunk();
  }

  onUpstreamWritable(): void {
    this.exchange.onUpstreamWritable();
  }

  onUpstreamError(error: ProxyError): void {
    this.exchange.fail(error);
  }

  /** The client can take bytes again. */
  onWritable(): void {
    this.full = false;
    if (!this.waiting && !this.over) this.exchange.upstream.resume();
  }

  /** The final head has come. */
  #begin(header: ResponseHeader): void {
    const { session } = this.exchange;
    session.times.responseHeadAtMs = nowMs();
    tellResponse(session, header);
  }

  #passHead(header: ResponseHeader, from: number): void {
    const { app, session, ctx } = this.exchange;
    if (from <= ADJUST && app.adjustUpstreamModules !== undefined) {
      session.phase = "adjustUpstreamModules";
      const waiting = app.adjustUpstreamModules(session, header, this.#headIsAll, ctx);
      if (isPromise(waiting)) return this.#headLater("adjustUpstreamModules", waiting, header, UPSTREAM_MODULES);
    }
    if (from <= UPSTREAM_MODULES) {
      const modules = session.ownModules?.upstream;
      session.upstreamHeadPassed = this.#status >= 200 || this.#status === 101;
      if (modules !== undefined) {
        session.phase = "upstreamModules";
        const waiting = modules.responseHeader(header, this.#headIsAll);
        if (isPromise(waiting)) return this.#headLater("upstreamModules", waiting, header, UPSTREAM_FILTER);
      }
    }
    if (from <= UPSTREAM_FILTER && app.upstreamResponseFilter !== undefined) {
      session.phase = "upstreamResponseFilter";
      const waiting = app.upstreamResponseFilter(session, header, ctx);
      if (isPromise(waiting)) return this.#headLater("upstreamResponseFilter", waiting, header, FILTER);
    }
    if (from <= FILTER && app.responseFilter !== undefined) {
      session.phase = "responseFilter";
      const waiting = app.responseFilter(session, header, ctx);
      if (isPromise(waiting)) return this.#headLater("responseFilter", waiting, header, MODULES);
    }
    if (from <= MODULES && session.activeModules !== undefined) {
      session.phase = "responseModules";
      const waiting = session.activeModules.responseHeader(header, this.#headIsAll);
      if (isPromise(waiting)) return this.#headLater("responseModules", waiting, header, CLIENT);
    }
    this.#writeHead(header);
  }

  /** A filter sees trailers, which may come though the upstream has told a length. */
  #trailersMayFail(): boolean {
    const { app, upstream } = this.exchange;
    return (
      (app.upstreamResponseTrailerFilter !== undefined || app.responseTrailerFilter !== undefined) &&
      upstream.trailersBehindLength === true
    );
  }

  #mayEditHead(): boolean {
    const { app, session } = this.exchange;
    return (
      app.upstreamResponseFilter !== undefined ||
      app.responseFilter !== undefined ||
      app.adjustUpstreamModules !== undefined ||
      session.ownModules !== undefined ||
      session.activeModules !== undefined
    );
  }

  #headLater(phase: Phase, waiting: PromiseLike<void>, header: ResponseHeader, from: number): void {
    this.waitFor(phase, waiting, () => this.#passHead(header, from));
  }

  #writeHead(header: ResponseHeader): void {
    const exchange = this.exchange;
    const isConnect = exchange.downstream.isConnect === true;
    const kind = kindOfStatus(this.#status, isConnect);
    exchange.session.phase = "exchange";
    // What follows is decided: interim heads are followed by another, a 101, or a 2xx to CONNECT, by raw bytes.
    if (kindOfStatus(header.status, isConnect) !== kind) {
      throw new RangeError(`a filter changed status ${this.#status} to ${header.status}, which is of another kind`);
    }
    if (kind === "interim") {
      // Whoever read the body has told the client to send it.
      if (header.status === 100 && exchange.session.bodyReader?.saidContinue === true) return;
      if (!exchange.downstream.writeInformational(header)) this.stopForClient();
      return;
    }
    this.#endMayFail &&= header.has("content-length");
    this.lookForChanges(this.#endMayFail);
    exchange.responseBegun(kind === "tunnel");
    if (kind === "final") exchange.session.markResponse(header);
    // Who changes the body may still add bytes at the end of an empty one.
    exchange.downstream.writeHeader(header, this.#headIsAll && !this.changesBody);
    exchange.headSent();
  }
}

function kindOfStatus(status: number, isConnect: boolean): "interim" | "tunnel" | "final" {
  if (status === 101 || (isConnect && status >= 200 && status < 300)) return "tunnel";
  return status < 200 ? "interim" : "final";
}
