import { ProxyError } from "@sluice/error";
import type { RequestHeader } from "@sluice/http";
import type { SessionLimitValues } from "../http/session-limits.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { Deadline } from "../net/deadline.ts";
import { writeOver } from "../net/lent-bytes.ts";
import { SocketReader } from "../net/socket-reader.ts";
import { BodyReader } from "./body-reader.ts";
import { clientLeft } from "./client-errors.ts";
import { Framing } from "./framing.ts";
import { CR, LF } from "./grammar.ts";
import { Http1Connection } from "./http1-connection.ts";
import type { Http1ServerSession } from "./http1-server-session.ts";
import { lastHeadEnd, parseRequestHead } from "./parse-head.ts";
import { PartialHead } from "./partial-head.ts";
import { malformed } from "./reject.ts";
import { checkRequest, normaliseTarget, wantedUpgrade, wantsKeepAlive } from "./request-rules.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import { Tunnel } from "./tunnel.ts";

/** Read out at once, before another head is; so one does for all connections. */
const FRAMING = new Framing();

/**
 * What a client sends, and to whom it goes: a head becomes a request, its body, as it is framed, goes to the session that asks
 * for it, and after a change of protocol bytes without framing do; what nobody wants is dropped.
 *
 * Sessions give themselves when they call: one that is over must not reach into the next exchange.
 */
export abstract class Http1RequestIntake extends Http1Connection {
  protected override get readsAhead(): boolean {
    return true;
  }

  /** @internal */
  readonly options: Http1ServerOptions;
  /** `undefined` for streams that give their bytes by `data` events, each in memory of its own. */
  protected readonly reader: SocketReader | undefined;
  /** When the client must have sent something, whatever it is that we wait for. */
  protected readonly readDeadline: Deadline;
  protected session: Http1ServerSession | undefined = undefined;
  /** The end of what belongs to the request was told to the session. */
  protected bodyEnded = true;
  /** There once the protocol was changed. The request body keeps its framing all the same, and raw bytes come after its end. */
  protected tunnel: Tunnel | undefined = undefined;
  /** The first bytes of a head arrived, and its time runs. */
  #headBegun = false;
  /** There while a head comes in parts. */
  #partialHead: PartialHead | undefined = undefined;
  /** What came in the shared buffer together with a head, or behind it, while it is used; no view of it is kept. */
  #copied: Buffer | undefined = undefined;
  /** It was shown to code that is not to have it later. */
  #lent = false;
  /** Made for the first request that has a body. */
  #body: BodyReader | undefined = undefined;

  protected constructor(stream: ByteStream, options: Http1ServerOptions, reader: SocketReader | undefined) {
    super(stream, options.maxHeadBytes);
    this.options = options;
    this.reader = reader;
    this.readDeadline = Deadline.for(this, readTimedOut);
  }

  /** @internal */
  abstract onReadTimeout(): void;
  /** A request has come. */
  protected abstract serve(
    request: RequestHeader,
    bodyEmpty: boolean,
    keepAlive: boolean,
    upgrade: string | undefined,
  ): void;
  /** One has come that cannot be served. @param request As far as it could be read. */
  protected abstract refuse(error: ProxyError, request?: RequestHeader): void;

  /** @internal */
  requestBodyDone(session: Http1ServerSession): boolean {
    return session !== this.session || this.bodyEnded;
  }

  /** @internal */
  requestBodyBytes(session: Http1ServerSession): number {
    return session === this.session ? (this.#body?.bytes ?? 0) : 0;
  }

  /** @internal Bytes of the body that are known to come, besides what is not known. */
  requestBodyLeft(session: Http1ServerSession): number {
    return session === this.session ? (this.#body?.left ?? 0) : 0;
  }

  /** @internal */
  readOn(session: Http1ServerSession): void {
    if (session !== this.session || this.bodyEnded) return;
    if (!this.readingPaused) this.#extendReading();
    this.pump();
  }

  /** @internal Nobody reads the body: it is not the client that is late. */
  readNoMore(session: Http1ServerSession): void {
    if (session === this.session && !this.bodyEnded) this.readDeadline.clear();
  }

  /** @internal */
  keepChunk(): void {
    this.reader?.keep();
    this.#copied = undefined;
  }

  /** @internal */
  lendChunk(): void {
    this.reader?.lend();
    this.#lent = true;
  }

  /** @internal */
  pauseBody(session: Http1ServerSession): void {
    if (session !== this.session || this.bodyEnded) return;
    this.readingPaused = true;
    if (this.tunnel === undefined) this.readDeadline.clear();
  }

  /** @internal */
  resumeBody(session: Http1ServerSession): void {
    if (session !== this.session || !this.readingPaused) return;
    this.readingPaused = false;
    if (!this.bodyEnded && session.events !== undefined) this.#extendReading();
    this.pump();
  }

  /** @internal The protocol changes: for what we read, once the request body was read to its end. */
  openTunnel(session: Http1ServerSession): void {
    if (session !== this.session) return;
    this.tunnel = new Tunnel(this.readDeadline, this.options);
    if (this.bodyEnded) this.#readTunnel();
  }

  override onData(buffer: Buffer, end: number): void {
    // Pieces of a body may be kept.
    const mayBeKept = this.bodyEnded || this.reader?.isShared(buffer) !== true;
    super.onData(mayBeKept ? buffer : (this.#copied = Buffer.from(buffer.subarray(0, end))), end);
    if (this.input !== undefined) this.#keepInput(buffer);
    // What is not used yet is copied together with what follows.
    else if (!this.bodyEnded) this.reader?.useOwnBuffer(true);
    if (this.#copied !== undefined) this.#withdraw(this.#copied);
    this.#lent = false;
  }

  /** As the reader does with its own memory. */
  #withdraw(copied: Buffer): void {
    this.#copied = undefined;
    if ((this.#lent || SocketReader.lendsAll) && this.input !== copied) writeOver(copied, copied.length);
  }

  protected readHead(): boolean {
    try {
      const request = parseRequestHead(this.input!, this.inputAt, this.inputEnd, this.options, this.#partialHead);
      if (request === undefined) {
        if (!this.#headBegun && this.hasPartOfHead()) {
          this.#headBegun = true;
          this.onHeadBegun();
          this.readDeadline.set(this.options.headMs);
        }
        this.#partialHead ??= new PartialHead();
        return false;
      }
      this.usedUpTo(lastHeadEnd());
      this.#forgetHead();
      this.#begin(request);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return this.onMalformedHead(error);
    }
    return true;
  }

  /** The first bytes of a head have come, and not all of it. */
  protected abstract onHeadBegun(): void;

  /** Returns whether to go on with what there is. */
  protected onMalformedHead(error: ProxyError): boolean {
    this.refuse(error);
    return true;
  }

  /** Empty lines are none: some clients send one after a body (RFC 9112, section 2.2). */
  protected hasPartOfHead(): boolean {
    return this.input?.subarray(this.inputAt, this.inputEnd).some((byte) => byte !== CR && byte !== LF) ?? false;
  }

  /** What has come is of no use. */
  protected forgetInput(): void {
    this.input = undefined;
    this.#forgetHead();
    this.#body?.startEmpty();
  }

  /** Delivers bytes to whoever drives the session; without one they wait. */
  protected readBody(): boolean {
    const session = this.session!;
    const events = session.events;
    // Bytes after the body belong to the next request, which waits its turn (RFC 9112, section 9.3.2).
    if (this.bodyEnded || events === undefined || this.readingPaused || session.error !== undefined) return false;
    const body = this.#body!;
    try {
      this.usedUpTo(body.read(this.input!, this.inputAt, this.inputEnd));
    } catch (error) {
      this.input = undefined;
      session.fail(error instanceof ProxyError ? error : malformed(String(error)));
      return false;
    }
    this.#extendReading();
    const piece = body.piece;
    if (piece !== undefined) {
      body.piece = undefined;
      events.onRequestData(piece);
    }
    if (body.done && this.session === session && !this.bodyEnded) {
      this.bodyEnded = true;
      if (this.tunnel === undefined) this.readDeadline.clear();
      session.events?.onRequestEnd(body.trailers);
      if (this.tunnel !== undefined && this.session === session) this.#readTunnel();
    }
    return true;
  }

  /** Drops bytes of the body; returns how many, framing included. @throws ProxyError if it is malformed. */
  protected dropBody(): number {
    const body = this.#body!;
    const from = this.inputAt;
    const at = body.read(this.input!, from, this.inputEnd);
    body.piece = undefined;
    this.usedUpTo(at);
    if (body.done) this.bodyEnded = true;
    return at - from;
  }

  /** The client has ended its direction, and may do so: in a tunnel, or behind its request. */
  protected endInput(session: Http1ServerSession): void {
    // What arrived before is used first.
    if (this.bodyEnded || this.input !== undefined || this.readingPaused) return;
    if (!this.#body!.untilClose) {
      session.fail(clientLeft(false));
      return;
    }
    if (session.events === undefined) return;
    this.#body!.endOfConnection();
    this.bodyEnded = true;
    this.tunnel?.halfClose();
    session.events.onRequestEnd(undefined);
  }

  /** The limits of an exchange: its own, if it has set any. */
  protected limitsOf(session: Http1ServerSession | undefined): SessionLimitValues {
    return session?.ownLimits ?? this.options;
  }

  #forgetHead(): void {
    this.#headBegun = false;
    this.#partialHead = undefined;
  }

  #begin(request: RequestHeader): void {
    const framing = FRAMING;
    try {
      framing.read(request);
      checkRequest(request, framing);
      if (request.target.charCodeAt(0) !== 0x2f) normaliseTarget(request);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.refuse(error, request);
      return;
    }
    // RFC 9112, section 6.1: Transfer-Encoding decides.
    if (framing.contradictory) request.remove("content-length");
    const bodyEmpty = !this.#expectBody(framing);
    this.serve(request, bodyEmpty, wantsKeepAlive(request, framing), wantedUpgrade(request, framing));
  }

  /** Prepares for what the head says of a body; returns whether there is one. */
  #expectBody(framing: Framing): boolean {
    if (framing.chunked) this.#bodyReader().startChunked();
    else if (framing.contentLength > 0) this.#bodyReader().startLength(framing.contentLength);
    else {
      this.#body?.startEmpty();
      return false;
    }
    if (this.input !== undefined) this.#copyShared(this.input);
    return true;
  }

  #readTunnel(): void {
    this.#bodyReader().startUntilClose();
    this.bodyEnded = false;
    this.reader?.useOwnBuffer(true);
    if (this.input !== undefined) this.#copyShared(this.input);
    // Behind what has come, its end is told, if that has come, too.
    if (this.peerEnded && this.input === undefined) this.endInput(this.session!);
    else queueMicrotask(() => this.pump());
  }

  #extendReading(): void {
    if (this.tunnel !== undefined) this.tunnel.keep();
    else this.readDeadline.set(this.limitsOf(this.session).bodyMs);
  }

  #bodyReader(): BodyReader {
    this.#body ??= new BodyReader(this.options, false);
    return this.#body;
  }

  /** Pieces of the input may be kept, which cannot be where others read. */
  #copyShared(input: Buffer): void {
    if (this.reader?.isShared(input) === true) this.#copied = this.copyInput();
  }

  /** What could not be used yet outlives its read; `buffer` is what was read into. */
  #keepInput(buffer: Buffer): void {
    this.#copyShared(this.input!);
    if (this.input === buffer) this.reader?.keep();
  }
}

function readTimedOut(intake: Http1RequestIntake): void {
  intake.onReadTimeout();
}
