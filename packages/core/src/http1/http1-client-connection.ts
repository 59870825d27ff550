import { ProxyError, type ErrorType } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { PoolableConnection } from "@sluice/pool";
import type { ClientSession, ClientSessionEvents, RequestBody } from "../http/client-session.ts";
import { StreamDigest, type ConnectionDigest, type TlsDigest } from "../http/connection-digest.ts";
import { logger } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { Deadline } from "../net/deadline.ts";
import type { SocketReader } from "../net/socket-reader.ts";
import { BodyReader } from "./body-reader.ts";
import { Framing, parseLength } from "./framing.ts";
import type { HeadLimits } from "./head-limits.ts";
import { Http1Connection } from "./http1-connection.ts";
import { lastHeadEnd, parseResponseHead } from "./parse-head.ts";
import { malformed, quoteLine } from "./reject.ts";
import { lastChunkText, requestHeadText, type BodyFraming } from "./serialize.ts";
import type { WriteLimits } from "./write-watch.ts";

/** Seconds by which we stop reusing a connection before the origin said it would close it: its clock runs ahead of ours. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/** What a connection does with itself when an exchange is over; the connector's side of it. */
export interface ClientConnectionOwner {
  /** Takes it back if it is usable; `false` when it was not stored (then it was closed). */
  store(connection: Http1ClientConnection, idleMs: number | undefined): boolean;
  /** It ended, or spoke, while it was idle. */
  forget(connection: Http1ClientConnection, why: "closed" | "unexpected-data"): void;
}

/** Times of one exchange, in milliseconds; 0 waits for ever. */
export interface ExchangeLimits {
  /** Wait for the next bytes of the response. */
  readMs: number;
  /** Wait for an upstream that takes no bytes. */
  writeMs: number;
  /** How long the connection may be kept for another request; `undefined`: as long as the peer does; 0: not at all. */
  idleMs: number | undefined;
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
export class Http1ClientConnection extends Http1Connection implements ClientSession, PoolableConnection {
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
  #asksToUpgrade = false;
  /** The protocol was changed: bytes pass as they are, and each side ends its direction alone. */
  #tunnel = false;
  #requestFraming: BodyFraming = "none";
  /** Body bytes that the request's Content-Length still promises. */
  #owedBytes = 0;
  #requestDone = true;
  #reusable = false;
  #paused = false;

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
  }

  idleState(): "usable" | "closed" | "unexpected-data" {
    if (this.closed || this.peerEnded || this.stream.destroyed) return "closed";
    if (this.#reader?.spokeEarly) return "unexpected-data";
    return this.input === undefined ? "usable" : "unexpected-data";
  }

  closeIdle(reason: string): void {
    if (reason === "unexpected-data")
      this.#warnOfData("an upstream sent more than its response; closing the connection");
    else log.debug({ peer: this.address, reason }, "closing an idle upstream connection");
    this.stream.destroy();
  }

  writeRequest(header: RequestHeader, body: RequestBody, events: ClientSessionEvents): void {
    const owedBytes = body === "content-length" ? parseLength(header.get("content-length") ?? "") : 0;
    if (owedBytes < 0)
      throw ProxyError.internal("InvalidHTTPHeader", "a request body without a Content-Length to end it");
    this.#state = "head";
    this.#events = events;
    this.#isHead = header.method === "HEAD";
    this.#asksToUpgrade = header.has("upgrade");
    this.#reusable = false;
    this.#requestDone = body === "none";
    this.#requestFraming = body === "unknown-length" ? "chunked" : body;
    this.#owedBytes = owedBytes;
    this.receivedBytes = 0;
    this.#informational = 0;
    this.hold(requestHeadText(header, this.#requestFraming));
    this.#awaitResponse();
    // A connection that ended after it was picked and before now has no event left to tell it.
    if (this.closed || this.peerEnded) queueMicrotask(() => this.#onEnded());
  }

  writeBody(chunk: Uint8Array): boolean {
    if (chunk.length === 0 || this.#requestDone) return true;
    let writable: boolean;
    if (this.#tunnel) {
      writable = this.send(chunk);
    } else if (this.#requestFraming === "chunked") {
      this.hold(`${chunk.length.toString(16)}\r\n`);
      writable = this.send(chunk);
      this.hold("\r\n");
    } else {
      // What goes beyond the promised length would be read as the next request, and what fits would look like all.
      if (chunk.length > this.#owedBytes) {
        const longer = chunk.length - this.#owedBytes;
        throw ProxyError.internal(
          "InternalError",
          `the request body is ${longer} bytes or more longer than its Content-Length`,
        );
      }
      this.#owedBytes -= chunk.length;
      writable = this.send(chunk);
    }
    return writable;
  }

  finishRequest(trailers?: HeaderFields): void {
    if (this.#requestDone) return;
    if (this.#tunnel) {
      this.#requestDone = true;
      this.flush();
      this.stream.end();
      return;
    }
    if (this.#owedBytes > 0) {
      const context = `the request body ended ${this.#owedBytes} bytes before its Content-Length`;
      throw ProxyError.internal("PrematureBodyEnd", context);
    }
    if (this.#requestFraming === "chunked") this.hold(lastChunkText(trailers));
    this.flush();
    this.#requestDone = true;
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
    if (!this.#mayBeReused()) {
      this.stream.destroy();
      return;
    }
    this.#state = "idle";
    this.#paused = false;
    this.readingPaused = false;
    this.updateReading();
    this.#owner.store(this, this.#idleMs());
  }

  destroy(): void {
    this.#events = undefined;
    // In a tunnel the end of the connection is the only end there is: what was cut must not look ended.
    if (this.#tunnel && !this.#requestDone) this.reset();
    else this.stream.destroy();
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
    if (this.peerEnded && this.#state !== "ended") this.#onEnded();
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
    this.#onEnded();
    this.#readDeadline.dispose();
  }

  override onData(buffer: Buffer, end: number): void {
    this.receivedBytes += end;
    this.#awaitResponse();
    super.onData(buffer, end);
    if (this.input !== undefined) this.keepChunk();
  }

  keepChunk(): void {
    this.#reader?.keep();
  }

  #readHead(): boolean {
    const header = parseResponseHead(this.input!, this.inputAt, this.inputEnd, this.#headLimits);
    if (header === undefined) return false;
    this.usedUpTo(lastHeadEnd());
    if (header.status < 200 && header.status !== 101) {
      if (++this.#informational > MAX_INFORMATIONAL)
        throw malformed(`more than ${MAX_INFORMATIONAL} interim responses`);
      this.#events!.onInformational(header);
      return true;
    }
    const framing = this.#framing;
    framing.read(header);
    this.#startBody(header);
    this.#reusable = this.#allowsReuse(header);
    this.#state = "body";
    this.#events!.onResponseHeader(header, this.#body.done);
    return true;
  }

  /** RFC 9112, section 6.3. */
  #startBody(header: ResponseHeader): void {
    const framing = this.#framing;
    if (framing.contradictory) header.remove("content-length");
    if (header.status === 101) {
      if (!this.#asksToUpgrade || !this.#requestDone)
        throw malformed("a 101 that was not asked for, or came too early", 502);
      this.#tunnel = true;
      this.#requestDone = false;
      this.#body.startUntilClose();
    } else if (this.#isHead || header.status === 204 || header.status === 304) this.#body.startEmpty();
    else if (framing.chunked) this.#body.startChunked();
    else if (framing.contentLength >= 0) this.#body.startLength(framing.contentLength);
    else this.#body.startUntilClose();
  }

  #allowsReuse(header: ResponseHeader): boolean {
    const framing = this.#framing;
    if (framing.close || framing.contradictory || this.#body.untilClose) return false;
    // RFC 9112, section 6.1: chunked from a 1.0 peer is not to be trusted.
    if (header.version === "1.0") return framing.keepAlive && !framing.hasTransferEncoding;
    return true;
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
    return this.#reusable && this.#requestDone && this.#state === "ended";
  }

  #idleMs(): number | undefined {
    const promised = this.#framing.keepAliveTimeoutSeconds;
    if (promised < 0) return this.#limits.idleMs;
    const safe = Math.max(promised * 1000 - KEEP_ALIVE_MARGIN_MS, 0);
    return this.#limits.idleMs === undefined ? safe : Math.min(safe, this.#limits.idleMs);
  }

  #warnOfData(message: string): void {
    const { input } = this;
    const start = input === undefined ? undefined : quoteLine(input, this.inputAt, this.inputEnd);
    log.warn({ peer: this.address, start }, message);
  }

  #onUnexpectedData(): void {
    this.#warnOfData("an upstream sent data on an idle connection; closing it");
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
        return;
      case "body":
        if (this.#events === undefined) return;
        if (this.#body.untilClose && this.streamError === undefined && this.peerEnded) {
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
    this.#fail(this.#closedError());
  }

  #closedError(): ProxyError {
    const where =
      this.#state === "body" ? "in the middle of its response body" : "before its response head was complete";
    const cause = this.streamError;
    const type: ErrorType = cause === undefined ? "ConnectionClosed" : isWriteError(cause) ? "WriteError" : "ReadError";
    const error = ProxyError.upstream(type, `the upstream closed the connection ${where}`, cause);
    // Not a byte came: the upstream may have closed before it saw the request, as happens to pooled connections.
    if (this.receivedBytes === 0) error.retry = "reusedOnly";
    return error;
  }

  #onReadTimeout(): void {
    const waited = this.#state === "body" ? "more of its response body" : "its response head";
    const context = `the upstream sent nothing for ${this.#limits.readMs} ms; waiting for ${waited}`;
    this.#fail(ProxyError.upstream("ReadTimedout", context));
  }

  #fail(error: ProxyError): void {
    const events = this.#events;
    this.#events = undefined;
    this.#readDeadline.clear();
    this.stream.destroy();
    events?.onUpstreamError(error.setSource("upstream"));
  }

  /** The origin is on turn: while the client is still sending, or takes nothing, it is not the origin that is late. */
  #awaitResponse(): void {
    if (this.#tunnel) {
      // Quiet is no fault here; the client's side watches how long both are.
      this.#readDeadline.clear();
      return;
    }
    const onTurn = this.#state === "body" || (this.#state === "head" && this.#requestDone);
    // A timer that is set on a closed connection would outlive it.
    if (onTurn && !this.#paused && !this.closed) this.#readDeadline.set(this.#limits.readMs);
  }

  protected get writeLimits(): WriteLimits {
    return { writeMs: this.#limits.writeMs, minBytesPerSecond: 0 };
  }

  protected onStalled(): void {
    this.#fail(ProxyError.upstream("WriteTimedout", `the upstream took no bytes for ${this.#limits.writeMs} ms`));
  }
}

function isWriteError(error: Error): boolean {
  return (error as NodeJS.ErrnoException).syscall === "write";
}
