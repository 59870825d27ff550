import { nowMs, type ClientSession, type ServerSession, type ServerSessionEvents } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader } from "@sluice/http";
import { BodyIntake } from "./body-intake.ts";
import { finished, isDone, upgraded, type RequestState, type ResponseState } from "./exchange-state.ts";
import { hookError } from "./hook-errors.ts";
import type { ProxyHttp } from "./proxy-http.ts";
import { RequestPipe } from "./request-pipe.ts";
import { ResponsePipe } from "./response-pipe.ts";
import type { RetryBuffer } from "./retry-buffer.ts";
import type { Session } from "./session.ts";
import { requestBodyKind } from "./upstream-request.ts";

/**
 * One attempt's traffic: the request body goes up, the response comes down, at the same time, each at the pace of whoever
 * takes it. Everything happens inside the events of the two sessions; the two pipes do it, and here is known which side is
 * done and which has failed.
 */
export class Exchange<Ctx> implements ServerSessionEvents {
  readonly app: ProxyHttp<Ctx>;
  readonly session: Session;
  readonly ctx: Ctx;
  readonly downstream: ServerSession;
  readonly upstream: ClientSession;
  /** Kept of the request body; `undefined` if there is none and nothing can come of it. */
  readonly retryBuffer: RetryBuffer | undefined;
  /** The protocol was changed: the attempt is over when both sides have ended. */
  tunnel = false;
  #request: RequestState = "reading";
  #response: ResponseState = "head";
  readonly #down: ResponsePipe<Ctx>;
  /** Made when there is something for it to do. */
  #up: RequestPipe<Ctx> | undefined = undefined;
  /** A piece of the request is being taken, and more of the same read may follow. */
  #taking = false;
  /** Ends {@link run}; `undefined` when the attempt is over, after which events have no effect. */
  #settle: ((error: ProxyError | undefined) => void) | undefined = undefined;

  constructor(
    app: ProxyHttp<Ctx>,
    session: Session,
    ctx: Ctx,
    upstream: ClientSession,
    retryBuffer: RetryBuffer | undefined,
  ) {
    this.app = app;
    this.session = session;
    this.ctx = ctx;
    this.downstream = session.downstream;
    this.upstream = upstream;
    this.retryBuffer = retryBuffer;
    this.#down = new ResponsePipe(this);
  }

  /**
   * Sends `outgoing` and passes everything on. Resolves with nothing when the response was delivered whole, or with the
   * error that ended the attempt. Both sessions are left then: the upstream's released or destroyed.
   */
  run(outgoing: RequestHeader): Promise<ProxyError | undefined> {
    const done = new Promise<ProxyError | undefined>((resolve) => (this.#settle = resolve));
    const { downstream, session, upstream } = this;
    session.phase = "exchange";
    const bodyEmpty = downstream.requestBodyEmpty;
    if (!bodyEmpty && this.#mayFailAtEnd) upstream.holdsEnd = true;
    try {
      upstream.writeRequest(outgoing, requestBodyKind(outgoing, bodyEmpty), this.#down);
    } catch (error) {
      // Nothing of it was sent.
      this.hookFailed(error);
      return done;
    }
    const { times } = session;
    times.requestHeadSentAtMs = nowMs();
    if (bodyEmpty && this.retryBuffer === undefined && this.app.requestBodyFilter === undefined) {
      this.#request = "finished";
      times.requestSentAtMs = times.requestHeadSentAtMs;
      upstream.flush();
      // From here on the client is watched, so that one who leaves is noticed.
      downstream.events = this;
    } else {
      this.#sendBody(bodyEmpty);
    }
    return done;
  }

  /** The attempt is over: nothing that still comes has an effect. */
  get over(): boolean {
    return this.#settle === undefined;
  }

  /** Where the modules have their place on the way up. */
  get intake(): BodyIntake | undefined {
    return this.retryBuffer?.intake;
  }

  /** Hooks of this attempt that still take their time; never fails. `undefined` if there are none. */
  get pending(): Promise<unknown> | undefined {
    const up = this.#up?.pending;
    const down = this.#down.pending;
    return up === undefined ? down : Promise.all([up, down]);
  }

  // From the client.

  onRequestData(chunk: Buffer): void {
    const { downstream, intake, retryBuffer } = this;
    if (intake !== undefined || this.app.requestBodyFilter !== undefined) downstream.lendChunk();
    this.#taking = true;
    let kept = false;
    if (intake === undefined) {
      kept = retryBuffer?.add(chunk) === true;
      this.takeRequest(chunk, false, undefined);
    } else {
      intake.take(chunk);
    }
    this.#taking = false;
    // A hook that takes its time has it until then.
    if (kept || intake?.waiting === true || this.#up?.waiting === true) downstream.keepChunk();
  }

  onRequestEnd(trailers: HeaderFields | undefined): void {
    const { intake } = this;
    if (intake === undefined) {
      this.retryBuffer?.end(trailers);
      this.takeRequest(undefined, true, trailers);
    } else {
      intake.end(trailers);
    }
  }

  onRequestBatch(): void {
    if (!this.over) {
      this.flushUp();
      // To a slow upstream it is still to be sent.
      if (this.upstream.holdsBytes) this.downstream.keepChunk();
    } else if (this.downstream.events === this) this.downstream.events = undefined;
  }

  onDownstreamWritable(): void {
    this.#down.onWritable();
  }

  onDownstreamError(error: ProxyError): void {
    this.#request = "errored";
    this.fail(error);
  }

  // From the pipes.

  /** A piece of the request as it comes from the client, or the modules, or what was kept; or its end. */
  takeRequest(piece: Uint8Array | undefined, end: boolean, trailers: HeaderFields | undefined): void {
    (this.#up ??= new RequestPipe(this)).take(piece, end, trailers);
  }

  /** Sends what is held of the request, and reads on from the client, unless somebody on the way has enough to do. */
  readOn(): void {
    if (this.over) return;
    this.flushUp();
    (this.#up ??= new RequestPipe(this)).readOn();
  }

  /**
   * Sends what is held of the request. The head of one without body stays until its filters are through: one that fails it, fails it
   * before it is served.
   */
  flushUp(): void {
    if (!this.tunnel && !isDone(this.#request) && this.downstream.requestBodyEmpty) return;
    if (!this.upstream.flush()) this.#up?.onFull();
  }

  /** The upstream can take bytes again. */
  onUpstreamWritable(): void {
    this.#up?.onWritable();
  }

  /** An end came: of the body, or of the client's direction after a change of protocol. */
  endRequest(trailers: HeaderFields | undefined): void {
    const { downstream, upstream } = this;
    // Of a request without body the head was all; once the protocol is changed, this would end our direction.
    const isDirection = this.tunnel && this.#request === "reading";
    if (isDirection || !downstream.requestBodyEmpty) upstream.finishRequest(trailers);
    upstream.flush();
    this.session.times.requestSentAtMs ??= nowMs();
    this.#request = finished(this.#request);
    if (this.#response !== "head") this.#forgetRequest();
    if (this.tunnel && this.#response === "ended" && isDone(this.#request)) this.#finish();
  }

  /** The final head goes down. */
  responseBegun(changesProtocol: boolean): void {
    this.#response = "body";
    if (!changesProtocol) return;
    this.tunnel = true;
    // What is said on another protocol is not kept.
    if (isDone(this.#request)) this.#forgetRequest();
    this.#request = upgraded(this.#request);
  }

  /** The final head went down: nothing is sent again. */
  headSent(): void {
    if (isDone(this.#request)) {
      if (this.session.bodyReader !== undefined) this.#forgetRequest();
    } else if (this.tunnel && this.#up?.resending === true) {
      // What the client says on the other protocol comes behind the body.
      this.downstream.pauseBody();
    }
  }

  /** The response went down whole. */
  responseEnded(): void {
    this.#response = "ended";
    this.session.times.responseEndAtMs = nowMs();
    if (!this.tunnel || isDone(this.#request)) this.#finish();
  }

  /** What is kept of the body is not all that came of it. */
  failTruncated(): void {
    this.fail(this.intake?.failure ?? tooMuchOfIt());
  }

  /** A hook threw; the session's phase says which. */
  hookFailed(thrown: unknown): void {
    this.fail(hookError(this.session, this.session.phase, thrown));
  }

  fail(error: ProxyError): void {
    const settle = this.#leave();
    if (settle === undefined) return;
    this.upstream.destroy();
    settle(error);
  }

  /** All bytes of the request may be there, and it is not whole: a hook may refuse it, or its length was told by us. */
  get #mayFailAtEnd(): boolean {
    const { app, session } = this;
    return (
      !session.saidLength ||
      app.requestBodyFilter !== undefined ||
      app.requestTrailerFilter !== undefined ||
      session.activeModules?.mayRefuseRequestEnd === true
    );
  }

  /** Sends what a hook or an earlier attempt has read of the body, then lets the rest come. */
  #sendBody(bodyEmpty: boolean): void {
    const { retryBuffer } = this;
    const intake = this.#openIntake(bodyEmpty);
    if (retryBuffer?.truncated === true) this.failTruncated();
    else if (bodyEmpty && retryBuffer?.ended !== true && intake === undefined) {
      this.takeRequest(undefined, true, undefined);
    }
    if (this.over) return;
    if (retryBuffer !== undefined && (retryBuffer.ended || retryBuffer.pieces.length > 0 || intake?.hasRead === true)) {
      (this.#up ??= new RequestPipe(this)).resend(retryBuffer);
      // What the client sends comes behind it.
      this.downstream.pauseBody();
    }
    this.downstream.events = this;
    // An earlier attempt may have ended while it had the client paused.
    if (retryBuffer !== undefined) this.readOn();
  }

  /** Decided once for a request: a module that came in the middle of the body would see half of it. */
  #openIntake(bodyEmpty: boolean): BodyIntake | undefined {
    const { retryBuffer, session } = this;
    if (retryBuffer === undefined) return undefined;
    const modules = session.ownModules?.downstream;
    const first = !retryBuffer.begun;
    retryBuffer.begun = true;
    const read = bodyEmpty ? undefined : session.bodyReader;
    if (first && modules !== undefined && (!bodyEmpty || modules.hasRequestBody)) {
      retryBuffer.intake = new BodyIntake(session, modules, retryBuffer, read);
    } else if (first && read !== undefined) {
      retryBuffer.adopt(read.kept);
      if (read.ended) retryBuffer.end(read.trailers);
    }
    const { intake } = retryBuffer;
    if (intake === undefined) return undefined;
    // Its result is kept, and sent with what is kept.
    if (first && bodyEmpty) intake.end(undefined);
    intake.exchange = this;
    return intake;
  }

  /** The request is never sent again, and its body of no more use. */
  #forgetRequest(): void {
    this.retryBuffer?.truncate();
    this.session.bodyReader?.release();
  }

  /** The response was delivered whole. */
  #finish(): void {
    const settle = this.#leave();
    if (settle === undefined) return;
    // An answer that came before the request was sent whole leaves a connection that nobody can use again.
    if (isDone(this.#request)) this.upstream.release();
    else this.upstream.destroy();
    settle(undefined);
  }

  /** The attempt is over. Gives what ends {@link run}, once. */
  #leave(): ((error: ProxyError | undefined) => void) | undefined {
    const settle = this.#settle;
    if (settle === undefined) return undefined;
    this.#settle = undefined;
    this.#up?.dispose();
    this.#down.dispose();
    const { intake } = this;
    if (intake !== undefined) intake.exchange = undefined;
    // The rest of what was read with it, the trailers not least, belongs to the next attempt.
    if (!this.#taking) this.downstream.events = undefined;
    return settle;
  }
}

function tooMuchOfIt(): ProxyError {
  const context = "the modules made more of the request body than is kept to be sent again";
  return ProxyError.internal("InternalError", context);
}
