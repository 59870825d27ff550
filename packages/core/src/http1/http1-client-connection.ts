import { ProxyError } from "@sluice/error";
import type { RequestHeader, ResponseHeader } from "@sluice/http";
import type { CloseReason, PoolableConnection } from "@sluice/pool";
import type { UpstreamClosedMessage } from "../diagnostics.ts";
import type { ClientSession, ClientSessionEvents, RequestBody } from "../http/client-session.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import type { ExchangeLimits } from "../http/exchange-limits.ts";
import { usedLately } from "../http/used-lately.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { wholeTurn } from "../net/quiet-turn.ts";
import type { SocketReader } from "../net/socket-reader.ts";
import { BodyReader } from "./body-reader.ts";
import { Framing } from "./framing.ts";
import type { HeadLimits } from "./head-limits.ts";
import { Http1RequestOutput } from "./http1-request-output.ts";
import { lastHeadEnd, parseResponseHead } from "./parse-head.ts";
import { PartialHead } from "./partial-head.ts";
import { malformed, quoteLine } from "./reject.ts";
import { allowsReuse, reuseWithinMs, startResponseBody } from "./response-framing.ts";
import {
  isWriteError,
  upstreamClosed,
  upstreamSpokeFirst,
  upstreamTakesNothing,
  upstreamTooLate,
  upstreamTruncated,
} from "./upstream-errors.ts";
import type { WriteLimits } from "./write-watch.ts";

/** What a connection does with itself when an exchange is over; the connector's side of it. */
export interface ClientConnectionOwner {
  /** Takes it back if it is usable; `false` when it was not stored (then it was closed). */
  store(connection: Http1ClientConnection, idleMs: number | undefined): boolean;
  /** It ended, or spoke, while it was idle. */
  forget(connection: Http1ClientConnection, why: "closed" | "unexpected-data"): void;
  /** Its stream is closed, for whatever reason. */
  closed?(connection: Http1ClientConnection): void;
}

/** Interim responses to one request; a few are of use, and each gives the origin its time anew. */
const MAX_INFORMATIONAL = 100;

/**
 * The life of a connection to an origin:
 * - `idle`: in the pool, or fresh; any byte that comes is one too many → `head`
 * - `head`: a request is being sent; a response head is awaited → `body`
 * - `body`: the response body is arriving → `ended`
 * - `ended`: the response is complete → `idle`
 */
type State = "idle" | "head" | "body" | "ended";

const log = logger("core");

/** Speaks HTTP/1 to an origin over one stream, one exchange at a time. Kept in the pool between exchanges. */
export class Http1ClientConnection extends Http1RequestOutput implements ClientSession, PoolableConnection {
  protected override get outlivesStream(): boolean {
    return true;
  }

  readonly digest: ConnectionDigest;
  /** The key under which it is pooled. */
  readonly key: string;
  /** The address it leads to, for logs. */
  readonly address: string;
  reused = false;
  receivedBytes = 0;
  readonly #owner: ClientConnectionOwner;
  readonly #headLimits: HeadLimits;
  /** Reads the socket; `undefined` for streams that give their bytes by `data` events, each in memory of its own. */
  readonly #reader: SocketReader | undefined;
  readonly #framing = new Framing();
  readonly #body: BodyReader;
  readonly #readDeadline: Deadline;
  #limits: ExchangeLimits = { readMs: 0, writeMs: 0, idleMs: undefined };
  #state: State = "idle";
  #events: ClientSessionEvents | undefined = undefined;
  /** Interim heads of this exchange so far. */
  #informational = 0;
  #isHead = false;
  #isConnect = false;
  #asksToUpgrade = false;
  /** There while a head comes in parts. */
  #partialHead: PartialHead | undefined = undefined;
  #reusable = false;
  #paused = false;
  /** It had ended when the request was given to it, of which nothing was sent then. */
  #endedBefore = false;
  #requests = 0;
  /** When it was given its last request, which was answered if it is in the pool. */
  #usedAtMs = 0;
  /** Why it is closed, if that happens while it is idle. */
  #idleEnd: CloseReason | "exchange" = "closed";

  constructor(
    stream: ByteStream,
    address: string,
    key: string,
    owner: ClientConnectionOwner,
    headLimits: HeadLimits,
    options: { reader?: SocketReader | undefined; tls?: TlsDigest | undefined } = {},
  ) {
    super(stream, headLimits.maxHeadBytes);
    this.digest = new StreamDigest(stream, options.tls);
    this.#reader = options.reader;
    this.address = address;
    this.key = key;
    this.#owner = owner;
    this.#headLimits = headLimits;
    this.#body = new BodyReader(headLimits, true);
    this.#readDeadline = new Deadline(() => this.#onReadTimeout());
    this.#reader?.start(this);
  }

  /** Prepares for an exchange; before `writeRequest`. */
  prepare(reused: boolean, limits: ExchangeLimits): void {
    this.reused = reused;
    this.#limits = limits;
    this.startOutput();
  }

  idleState(): "usable" | "closed" | "unexpected-data" {
    if (this.closed || this.peerEnded || this.stream.destroyed) return "closed";
    if (this.#reader?.spokeEarly) return "unexpected-data";
    return this.input === undefined ? "usable" : "unexpected-data";
  }

  closeIdle(reason: CloseReason): void {
    this.#idleEnd = reason;
    if (reason === "unexpected-data")
      this.#warnOfData("an upstream sent more than its response; closing the connection");
    else log.debug({ peer: this.address, reason }, "closing an idle upstream connection");
    this.stream.destroy();
  }

  isStillOpen(): true | Promise<boolean> {
    if (!this.reused || usedLately(this.#usedAtMs)) return true;
    return wholeTurn().then(() => this.idleState() === "usable");
  }

  writeRequest(header: RequestHeader, body: RequestBody, events: ClientSessionEvents): void {
    this.writeHead(header, body);
    this.#state = "head";
    this.#requests++;
    this.#usedAtMs = nowMs();
    this.#events = events;
    this.#isHead = header.method === "HEAD";
    this.#isConnect = header.method === "CONNECT";
    this.#asksToUpgrade = header.has("upgrade");
    this.#reusable = false;
    this.receivedBytes = 0;
    this.#informational = 0;
    this.#awaitResponse();
    // A connection that ended after it was picked and before now has no event left to tell it.
    this.#endedBefore = this.closed || this.peerEnded;
    if (this.#endedBefore) queueMicrotask(() => this.#onEnded());
  }

  protected onRequestWritten(): void {
    this.#awaitResponse();
  }

  pause(): void {
    this.#paused = true;
    this.readingPaused = true;
    this.#readDeadline.clear();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.readingPaused = false;
    this.#awaitResponse();
    this.pump();
  }

  release(): void {
    this.#events = undefined;
    this.#readDeadline.clear();
    this.writeLate();
    if (this.tunnel) {
      this.#releaseTunnel();
      return;
    }
    if (!this.#mayBeReused()) {
      this.stream.destroy();
      return;
    }
    this.#state = "idle";
    this.#paused = false;
    this.readingPaused = false;
    this.updateReading();
    this.#owner.store(this, reuseWithinMs(this.#framing, this.#limits.idleMs));
  }

  destroy(): void {
    // Taken for an exchange that came to nothing before it was sent.
    if (this.#state === "idle") this.#idleEnd = "exchange";
    this.#events = undefined;
    this.forgetChunk();
    // In a tunnel the end of the connection is the only end there is: what was cut must not look ended.
    if (this.tunnel && (!this.writing.done || this.stream.writableLength > 0)) this.reset();
    else this.stream.destroy();
  }

  /** Both sides have ended; the last that was written may still be leaving, and the stream closes behind it. */
  #releaseTunnel(): void {
    if (this.stream.writableLength === 0) this.stream.destroy();
    else this.watchUnsent();
  }

  protected consume(): boolean {
    if (this.#paused) return false;
    try {
      switch (this.#state) {
        case "idle":
          this.#onUnexpectedData();
          return false;
        case "head":
          return this.#events !== undefined && this.#readHead();
        case "body":
          return this.#events !== undefined && this.#readBody();
        case "ended":
          // Bytes after the end: nobody asked for them, and the connection cannot be trusted any more.
          return false;
      }
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.#fail(error);
      return false;
    }
  }

  protected onConsumed(): void {
    if (this.#paused || this.#events === undefined) return;
    if (this.#state === "body" && this.#body.done) this.#end();
    this.#events?.onResponseBatch();
    if (this.peerEnded || this.closed) this.#onEnded();
  }

  protected onDrained(): void {
    this.#events?.onUpstreamWritable();
  }

  protected onPeerEnd(): void {
    // What arrived before is used first; while paused, the end waits with it.
    if (this.#state === "idle") this.#onEnded();
    else this.pump();
  }

  protected onStreamClosed(): void {
    this.#readDeadline.dispose();
    // As above; but of a failure that nothing comes before, whoever has paused us is told at once.
    const waits = this.input !== undefined || this.#endsBody();
    if (this.#state === "idle" || (this.#paused && !waits)) this.#onEnded();
    else this.pump();
    this.#owner.closed?.(this);
  }

  /** What there is to tell of it, now that it is closed. */
  get summary(): UpstreamClosedMessage {
    const { address, digest, streamError } = this;
    const { bytesRead, bytesWritten } = this.stream;
    const over = this.#state === "ended" && this.#events === undefined;
    const reason = this.#state === "idle" ? this.#idleEnd : over ? "not-reusable" : "exchange";
    return { address, digest, requests: this.#requests, bytesRead, bytesWritten, reason, error: streamError };
  }

  /** An origin that refuses a request and closes has often said why, when writing the rest of it fails. */
  protected override onWriteFailed(): void {
    // Who else reads the stream may have more of it.
    if (this.#reader !== undefined) this.receivedBytes += this.rescueInput();
  }

  override onData(buffer: Buffer, end: number): void {
    this.receivedBytes += end;
    this.#awaitResponse();
    super.onData(buffer, end);
    if (this.input === buffer) this.keepChunk();
  }

  keepChunk(): void {
    this.#reader?.keep();
  }

  lendChunk(): void {
    this.#reader?.lend();
  }

  #readHead(): boolean {
    // What was said before the request was sent answers nothing, or one before it.
    if (this.holdsAll) throw upstreamSpokeFirst(this.reused);
    const header = parseResponseHead(this.input!, this.inputAt, this.inputEnd, this.#headLimits, this.#partialHead);
    if (header === undefined) {
      this.#partialHead ??= new PartialHead();
      return false;
    }
    this.#partialHead = undefined;
    this.usedUpTo(lastHeadEnd());
    if (header.status < 200 && header.status !== 101) {
      if (++this.#informational > MAX_INFORMATIONAL)
        throw malformed(`more than ${MAX_INFORMATIONAL} interim responses`);
      this.#events!.onInformational(header);
      return true;
    }
    if (this.#changesProtocol(header.status)) {
      this.#startTunnel(header);
    } else {
      this.#framing.read(header);
      startResponseBody(this.#body, this.#framing, header, this.#isHead);
      this.#reusable = allowsReuse(this.#body, this.#framing, header);
    }
    this.#state = "body";
    this.#events!.onResponseHeader(header, this.#body.done);
    return true;
  }

  /** RFC 9110, section 7.8; and section 9.3.6, by which any 2xx to a CONNECT does. */
  #changesProtocol(status: number): boolean {
    if (status === 101 && !this.#asksToUpgrade) throw malformed("a 101 that was not asked for", 502);
    return status === 101 || (this.#isConnect && status >= 200 && status < 300);
  }

  /** From here on the origin's bytes are raw; ours are from the end of the request body on, which may be still to come. */
  #startTunnel(header: ResponseHeader): void {
    // RFC 9110, section 9.3.6: to be ignored, whatever stands in them.
    header.remove("content-length");
    header.remove("transfer-encoding");
    this.tunnel = true;
    this.writing.changeProtocol();
    this.#reusable = false;
    this.#body.startUntilClose();
  }

  #readBody(): boolean {
    const body = this.#body;
    this.usedUpTo(body.read(this.input!, this.inputAt, this.inputEnd));
    const piece = body.piece;
    if (piece !== undefined) {
      body.piece = undefined;
      this.#events!.onResponseData(piece);
    }
    return !body.done;
  }

  #end(): void {
    this.#state = "ended";
    this.#readDeadline.clear();
    this.#events!.onResponseEnd(this.#body.trailers);
  }

  /** As far as the exchange goes; the pool looks at the connection itself, and counts those whose peer said too much. */
  #mayBeReused(): boolean {
    const { maxRequests = 0 } = this.#limits;
    if (maxRequests > 0 && this.#requests >= maxRequests) return false;
    return this.#reusable && this.writing.done && this.#state === "ended";
  }

  #warnOfData(message: string): void {
    const { input } = this;
    const start = input === undefined ? undefined : quoteLine(input, this.inputAt, this.inputEnd);
    log.warn({ peer: this.address, start }, message);
  }

  #onUnexpectedData(): void {
    this.#warnOfData("an upstream sent data on an idle connection; closing it");
    this.#idleEnd = "unexpected-data";
    this.#owner.forget(this, "unexpected-data");
    this.input = undefined;
    this.stream.destroy();
  }

  /** The upstream ended its direction, or the stream closed. */
  #onEnded(): void {
    switch (this.#state) {
      case "idle":
        this.#owner.forget(this, "closed");
        this.stream.destroy();
        return;
      case "ended":
        // In a tunnel the client may still be sending.
        if (this.#events === undefined || !this.closed || !this.tunnel || this.writing.done) return;
        break;
      case "body":
        if (this.#events === undefined) return;
        if (this.#endsBody()) {
          this.#body.endOfConnection();
          this.#end();
          this.#events?.onResponseBatch();
          return;
        }
        break;
      case "head":
        if (this.#events === undefined) return;
        break;
    }
    const cut = this.truncated && this.#state === "body" && this.#body.untilClose;
    const error = cut
      ? upstreamTruncated()
      : upstreamClosed(this.#state !== "head", this.streamError, this.receivedBytes);
    // Where nothing was sent, nothing can have been done.
    if (this.reused && (this.#endedBefore || this.holdsAll)) error.setRetry(true);
    this.#fail(error);
  }

  /** The end of the connection is that of the body: it was told as such, and that writing failed then does not change it. */
  #endsBody(): boolean {
    if (this.#state !== "body" || !this.#body.untilClose || !this.peerEnded || this.truncated) return false;
    return this.streamError === undefined || isWriteError(this.streamError);
  }

  #onReadTimeout(): void {
    this.#fail(upstreamTooLate(this.#state === "body", this.#limits.readMs));
  }

  #fail(error: ProxyError): void {
    const events = this.#events;
    this.#events = undefined;
    this.#readDeadline.clear();
    this.stream.destroy();
    if (this.#state === "body") error.detail ??= "response-body";
    events?.onUpstreamError(error.setSource("upstream"));
  }

  /** The origin is on turn: while the client is still sending, or takes nothing, it is not the origin that is late. */
  #awaitResponse(): void {
    if (this.tunnel) {
      // Quiet is no fault here; the client's side watches how long both are.
      this.#readDeadline.clear();
      return;
    }
    const onTurn = this.#state === "body" || (this.#state === "head" && this.writing.done);
    // A timer that is set on a closed connection would outlive it.
    if (onTurn && !this.#paused && !this.closed) this.#readDeadline.set(this.#limits.readMs);
  }

  protected get writeLimits(): WriteLimits {
    return { writeMs: this.#limits.writeMs, minSendBytesPerSecond: 0 };
  }

  protected onStalled(): void {
    // The end of a tunnel that nobody waits for any more.
    if (this.#events === undefined) log.warn({ peer: this.address }, "cut an upstream that takes no bytes");
    this.#fail(upstreamTakesNothing(this.#limits.writeMs));
  }
}
