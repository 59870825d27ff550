import { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ClientSession, ClientSessionEvents, RequestBody } from "../http/client-session.ts";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ExchangeLimits } from "../http/exchange-limits.ts";
import { RequestWriting } from "../http1/request-writing.ts";
import { upstreamTakesNothing, upstreamTooLate } from "../http1/upstream-errors.ts";
import { WriteWatch } from "../http1/write-watch.ts";
import { nowMs } from "../net/clock.ts";
import type { RosterMember } from "../net/roster.ts";
import { noLongerAllowed, notSent, streamFailed } from "./client-errors.ts";
import { checkRequest, requestKind, writeRequestHead, type Http2RequestKind } from "./client-request.ts";
import { Http2ResponseHead } from "./client-response.ts";
import type { HeadWriter } from "./connection/head-writer.ts";
import { Http2Stream, type StreamClose } from "./connection/http2-stream.ts";
import { CANCEL, ENHANCE_YOUR_CALM, NO_ERROR } from "./error-codes.ts";
import { TrailerReader } from "./heads/trailer-reader.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";
import type { Http2ClientConnection } from "./http2-client-connection.ts";
import { hasTrailers, writeTrailers } from "./fields.ts";
import { webSocketAccept } from "./websocket-accept.ts";

/** Interim responses to one request; a few are of use, and each gives the origin its time anew. */
const MAX_INFORMATIONAL = 100;
/** How long the end may take once every byte of the body is there: an origin that forgets it must not hold the client up. */
const END_GRACE_MS = 1000;

const responseHead = new Http2ResponseHead();
const trailerReader = new TrailerReader();

/**
 * The life of an exchange:
 * - `held`: it has its slot; nothing was sent → `head`
 * - `head`: the request is being sent; a response head is awaited → `body`
 * - `body`: the response body is arriving → `ended`
 * - `ended`: the response is complete
 */
type State = "held" | "head" | "body" | "ended";

/** One exchange with an origin, on a stream of a {@link Http2ClientConnection}. */
export class Http2ClientSession extends Http2Stream implements ClientSession, RosterMember {
  rosterPlace = -1;
  readonly reused: boolean;
  /** When {@link onDue} is to be called; Infinity: not at all. */
  dueAtMs: number = Number.POSITIVE_INFINITY;
  /** When its request was given to it; 0: not yet. */
  sentAtMs = 0;
  /** The exchange is over, and the stream is not: it is still counted. */
  leavesLate = false;
  readonly #connection: Http2ClientConnection;
  readonly #limits: ExchangeLimits;
  readonly #allowsHttp1: boolean;
  readonly #writing = new RequestWriting();
  #events: ClientSessionEvents | undefined = undefined;
  #state: State = "held";
  #kind: Http2RequestKind = "message";
  #body: RequestBody = "none";
  /** The request head until it is framed. */
  #request: RequestHeader | undefined = undefined;
  /** It is on its way. */
  #sent = false;
  /** In which epoch of the output its frame was begun. */
  #headEpoch = 0;
  #webSocketKey: string | undefined = undefined;
  /** END_STREAM goes with the head of a request without body. */
  #endsWithHead = true;
  #isHead = false;
  /** Bytes of response heads. */
  #headBytes = 0;
  #trailersUp: HeaderFields | undefined = undefined;
  #trailersDown: HeaderFields | undefined = undefined;
  #informational = 0;
  #tunnel = false;
  #paused = false;
  /** Response heads that came while paused. */
  #waitingHeads: (() => void)[] | undefined = undefined;
  #congested = false;
  #writeWatch: WriteWatch | undefined = undefined;

  /** @param allowsHttp1 The peer may be spoken to by HTTP/1 as well. */
  constructor(connection: Http2ClientConnection, limits: ExchangeLimits, reused: boolean, allowsHttp1: boolean) {
    super(connection.endpoint, 0, false);
    this.#connection = connection;
    this.#limits = limits;
    this.reused = reused;
    this.#allowsHttp1 = allowsHttp1;
  }

  get digest(): ConnectionDigest {
    return this.#connection.digest;
  }

  get trailersBehindLength(): boolean {
    return true;
  }

  get receivedBytes(): number {
    return this.#headBytes + this.bodyBytes;
  }

  /** An origin that ends says by GOAWAY what it has not taken; one that was killed, say, does not. */
  isStillOpen(): true | Promise<boolean> {
    return !this.reused || this.#connection.isStillOpen();
  }

  writeRequest(header: RequestHeader, body: RequestBody, events: ClientSessionEvents): void {
    this.#writing.start(header, body);
    this.sentAtMs = nowMs();
    this.#events = events;
    this.#body = body;
    this.#kind = requestKind(header, body);
    this.#isHead = header.method === "HEAD";
    this.#endsWithHead = header.sendEndStream && this.#kind === "message";
    this.endsByOwnFrame = !header.sendEndStream;
    if (this.#kind === "websocket") this.#webSocketKey = header.get("sec-websocket-key");
    try {
      checkRequest(header, this.#kind, this.endpoint.peer.maxHeaderListBytes);
    } catch (error) {
      this.#failLater(error as ProxyError);
      return;
    }
    this.#request = header;
    this.read(!this.#paused);
    if (!this.#connection.opensStreams) this.#failLater(notSent(this.#connection));
    else this.#awaitResponse();
  }

  writeBody(chunk: Uint8Array): boolean {
    const writing = this.#writing;
    if (chunk.length === 0 || writing.done) return true;
    writing.take(chunk.length);
    if (!this.#sent) this.#send(false);
    if (!this.#sent) return true;
    this.#writeWatch?.add(chunk.length);
    if (this.sendData(chunk)) return true;
    this.#waitForOrigin();
    return false;
  }

  finishRequest(trailers?: HeaderFields): void {
    const writing = this.#writing;
    if (writing.done) return;
    const { raw } = writing;
    writing.end(this.#tunnel);
    if (trailers !== undefined && hasTrailers(trailers)) this.#trailersUp = trailers;
    const isAll = !this.#sent && this.#trailersUp === undefined;
    if (!this.#sent) this.#send(isAll);
    if (this.#sent && !isAll) this.sendEnd(this.#trailersUp !== undefined);
    if (!raw) this.#awaitResponse();
  }

  flush(): boolean {
    if (!this.#sent) this.#send(this.#writing.done && this.#endsWithHead);
    return !this.#congested;
  }

  keepChunk(): void {
    this.endpoint.memory.keep();
  }

  lendChunk(): void {
    this.endpoint.memory.lend();
  }

  pause(): void {
    this.#paused = true;
    this.dueAtMs = Number.POSITIVE_INFINITY;
    this.read(false);
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#awaitResponse();
    while (!this.#paused && this.#waitingHeads !== undefined && this.#waitingHeads.length > 0) {
      this.#waitingHeads.shift()!();
    }
    if (!this.#paused) this.read(true);
  }

  release(): void {
    // Whose last bytes are still leaving goes on by itself; anything else that is open has nobody left.
    if (this.remoteEnded && this.endIsSent) {
      // The origin may never take them, and counts the stream meanwhile.
      if (!this.localEnded && !this.closed) this.#waitForOrigin();
      this.#leave();
    } else this.#cancelAndLeave();
  }

  destroy(): void {
    this.#cancelAndLeave();
  }

  /** Its time is up. */
  onDue(): void {
    this.dueAtMs = Number.POSITIVE_INFINITY;
    if (this.#events === undefined) return;
    if (this.isWhole && !this.#tunnel) {
      this.#end();
      this.#events?.onResponseBatch();
      return;
    }
    const error = upstreamTooLate(this.#state === "body", this.#limits.readMs);
    this.#connection.doubt();
    this.#fail(error);
  }

  /** No streams are opened on the connection any more. One that was opened is told itself. */
  onNoMoreStreams(): void {
    if (this.id === 0 && this.#events !== undefined) this.#failLater(notSent(this.#connection));
  }

  /** What is sent leaves once a turn, as everything on the connection. */
  #send(end: boolean): void {
    const header = this.#request;
    if (header === undefined) return;
    if (!this.#connection.opensStreams) {
      this.#failLater(notSent(this.#connection));
      return;
    }
    if (!this.#connection.allowsStream) {
      this.#failLater(noLongerAllowed(this.#connection.capacity));
      return;
    }
    this.#sent = true;
    this.#state = "head";
    this.sendHead(end);
    // A request that has no body to wait for, but is not to end by its head. Trailers, which are to follow, are its end.
    if (!end && this.#kind === "message" && this.#writing.done && this.#trailersUp === undefined) this.sendEnd(false);
  }

  protected writeHead(head: HeadWriter): void {
    this.#headEpoch = this.endpoint.output.epoch;
    writeRequestHead(head, this.#request!, this.#body, this.#kind, this.#connection.scheme);
    this.#request = undefined;
  }

  protected writeTrailers(head: HeadWriter): void {
    writeTrailers(head, this.#trailersUp!);
  }

  beginFields(): FieldReceiver {
    const { headLimits } = this.#connection;
    return this.#state === "head" ? responseHead.begin(headLimits) : trailerReader.begin(headLimits);
  }

  endFields(endStream: boolean): void {
    this.endpoint.touch(this);
    if (this.#state !== "head") this.#endTrailers(endStream);
    else this.#endHead(endStream);
  }

  #endHead(endStream: boolean): void {
    responseHead.end();
    this.#headBytes += responseHead.bytes;
    const { status, contentLength } = responseHead;
    const bodiless = this.#isHead || status === 204 || status === 304;
    if (endStream) responseHead.malformed ??= faultOfEnd(status, bodiless ? 0 : contentLength);
    if (responseHead.malformed !== undefined) {
      this.malformed(responseHead.malformed);
      return;
    }
    let header: ResponseHeader;
    try {
      header = responseHead.take();
    } catch (error) {
      this.#fail(error as ProxyError);
      return;
    }
    if (status < 200) {
      this.#inTurn(() => this.#informationalHead(header));
      return;
    }
    this.#state = "body";
    this.takesData = true;
    if (this.#kind === "message" || status >= 300) this.contentLength = bodiless ? 0 : contentLength;
    if (this.#paused) this.#inTurn(() => this.#finalHead(header, endStream || bodiless));
    else this.#finalHead(header, endStream || bodiless);
  }

  #informationalHead(header: ResponseHeader): void {
    const events = this.#events;
    if (events === undefined) return;
    if (++this.#informational > MAX_INFORMATIONAL) {
      this.#fail(malformed(`more than ${MAX_INFORMATIONAL} interim responses`));
      return;
    }
    this.#awaitResponse();
    events.onInformational(header);
  }

  #finalHead(header: ResponseHeader, noBody: boolean): void {
    const events = this.#events;
    if (events === undefined) return;
    if (this.#kind !== "message") this.#answerTunnel(header);
    this.#awaitResponse();
    events.onResponseHeader(header, noBody && !this.#tunnel);
  }

  /** A 2xx makes the tunnel; anything else is the response, and nothing goes up any more. */
  #answerTunnel(header: ResponseHeader): void {
    if (header.status >= 300) {
      this.sendEnd(false);
      return;
    }
    // RFC 9110, section 9.3.6: to be ignored, whatever stands in it.
    header.remove("content-length");
    this.#tunnel = true;
    this.#writing.changeProtocol();
    if (this.#kind !== "websocket") return;
    header.status = 101;
    header.set("upgrade", "websocket");
    header.remove("sec-websocket-accept");
    if (this.#webSocketKey !== undefined) header.set("sec-websocket-accept", webSocketAccept(this.#webSocketKey));
  }

  #endTrailers(endStream: boolean): void {
    const fault =
      this.#kind !== "message" && this.#tunnel
        ? "HEADERS in a tunnel"
        : (trailerReader.malformed ?? (endStream ? undefined : "trailers that do not end their stream"));
    if (fault !== undefined) this.malformed(fault);
    else if (trailerReader.tooLarge) {
      this.#fail(malformed("trailers that are larger than a head may be").setDetail("too-large"));
    } else this.#trailersDown = trailerReader.take();
  }

  protected onData(chunk: Buffer): void {
    const events = this.#events;
    if (events === undefined) return;
    this.#awaitResponse();
    events.onResponseData(chunk);
  }

  protected onEnd(): void {
    if (this.#state !== "ended") this.#end();
  }

  onBatch(): void {
    this.#events?.onResponseBatch();
  }

  protected onDrained(): void {
    this.#congested = false;
    this.#writeWatch?.stop();
    this.#events?.onUpstreamWritable();
  }

  /** A response that came whole is told, whatever becomes of its stream and connection before somebody reads it. */
  protected override keepsWaiting(how: StreamClose): boolean {
    return how === "complete" || (this.remoteEnded && how !== "rules" && how !== "own-reset");
  }

  onClosed(how: StreamClose, code: number, why: string | undefined): void {
    this.#writeWatch?.dispose();
    if (this.#events === undefined || how === "complete") return;
    if (this.#isOver(how, code)) return;
    const connection = this.#connection;
    if (how === "connection" && this.endpoint.output.isLost(this.#headEpoch)) {
      this.#fail(notSent(connection));
      return;
    }
    const error = streamFailed(
      {
        how,
        code,
        why,
        inBody: this.#state === "body" || this.#state === "ended",
        receivedBytes: this.receivedBytes,
        allowsHttp1: this.#allowsHttp1,
      },
      connection,
    );
    if (error.type === "H2Downgrade" || error.type === "InvalidH2") connection.prefersHttp1();
    if (how === "peer-reset" && code === ENHANCE_YOUR_CALM) connection.retire();
    this.#fail(error);
  }

  /** A tunnel is over by both directions; an origin that has ended its own may say, without an error, that it has heard enough. */
  #isOver(how: StreamClose, code: number): boolean {
    if (this.#state !== "ended" && (!this.remoteEnded || how === "rules")) return false;
    return !this.#tunnel || this.#writing.done || (how === "peer-reset" && code === NO_ERROR);
  }

  #inTurn(next: () => void): void {
    if (this.#paused) (this.#waitingHeads ??= []).push(next);
    else next();
  }

  #end(): void {
    this.#state = "ended";
    this.dueAtMs = Number.POSITIVE_INFINITY;
    this.#events?.onResponseEnd(this.#trailersDown);
  }

  /**
   * Every byte that Content-Length says has come. If the origin then resets the stream by NO_ERROR, that is its end: Node's does so in
   * the place of END_STREAM when it has much to send.
   */
  override get isWhole(): boolean {
    return this.#state === "body" && this.contentLength >= 0 && this.bodyBytes >= this.contentLength;
  }

  #waitForOrigin(): void {
    if (this.#congested) return;
    this.#congested = true;
    this.#writeWatch ??= new WriteWatch(this, () => this.#fail(upstreamTakesNothing(this.#limits.writeMs)));
    this.#writeWatch.start({ writeMs: this.#limits.writeMs, minSendBytesPerSecond: 0 });
  }

  /** The origin is on turn: while the client is still sending, or takes nothing, it is not the origin that is late. */
  #awaitResponse(): void {
    const { readMs } = this.#limits;
    const onTurn = !this.#tunnel && (this.#state === "body" || this.#writing.done);
    if (!onTurn || this.#paused || this.#state === "ended") {
      this.dueAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    const graceMs = this.isWhole ? END_GRACE_MS : Number.POSITIVE_INFINITY;
    const waitMs = Math.min(readMs > 0 ? readMs : Number.POSITIVE_INFINITY, graceMs);
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.dueAtMs = nowMs() + waitMs;
    this.#connection.wakeAt(this.dueAtMs);
  }

  /** Events never come inside a call. */
  #failLater(error: ProxyError): void {
    this.#request = undefined;
    queueMicrotask(() => this.#fail(error));
  }

  #fail(error: ProxyError): void {
    const events = this.#events;
    this.#cancelAndLeave();
    if (events === undefined) return;
    if (error.source === "unset") error.setSource("upstream");
    if (this.#state === "body") error.detail ??= "response-body";
    events.onUpstreamError(error);
  }

  #cancelAndLeave(): void {
    this.#events = undefined;
    this.#cancel();
    this.#leave();
  }

  #cancel(): void {
    if (this.#sent && !this.closed) this.reset(CANCEL);
  }

  /** Nobody listens any more, and the slot is free. */
  #leave(): void {
    this.#events = undefined;
    this.#request = undefined;
    this.#waitingHeads = undefined;
    this.dueAtMs = Number.POSITIVE_INFINITY;
    this.#connection.leave(this);
  }
}

/** What is wrong with a response that ends with its head. */
function faultOfEnd(status: number, contentLength: number): string | undefined {
  // RFC 9113, section 8.1: an interim response ends nothing.
  if (status < 200) return "an interim response that ends its stream";
  return contentLength > 0 ? `no body, of ${contentLength} bytes that its Content-Length says` : undefined;
}

function malformed(what: string): ProxyError {
  return ProxyError.upstream("InvalidHTTPHeader", what);
}
