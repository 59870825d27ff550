import { EventEmitter } from "node:events";
import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { ProxyError } from "@sluice/error";
import { HeaderFields, type RequestHeader, type ResponseHeader } from "@sluice/http";
import type { ClientSession, ClientSessionEvents, RequestBody } from "../http/client-session.ts";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ExchangeLimits } from "../http1/http1-client-connection.ts";
import { RequestWriting } from "../http1/request-writing.ts";
import { upstreamTakesNothing, upstreamTooLate } from "../http1/upstream-errors.ts";
import { WriteWatch } from "../http1/write-watch.ts";
import { nowMs } from "../net/clock.ts";
import { notSent, streamFailed } from "./client-errors.ts";
import { requestFields, requestKind, type Http2RequestKind } from "./client-request.ts";
import { responseHeader } from "./client-response.ts";
import { CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, REFUSED_STREAM } from "./error-codes.ts";
import { fieldBlock, fieldListBytes, fieldObject } from "./fields.ts";
import { learnFrom, requestNatively } from "./native-request.ts";
import { webSocketAccept } from "./websocket-accept.ts";
import type { Http2ClientConnection } from "./http2-client-connection.ts";

const { NGHTTP2_FLAG_END_STREAM } = constants;

/** Interim responses to one request; a few are of use, and each gives the origin its time anew. */
const MAX_INFORMATIONAL = 100;
/** Unsent bytes at which the client is asked to wait: what leaves does so once a turn, so one chunk is no reason to. */
const MAX_UNSENT_BYTES = 131_072;
/** A larger chunk is given to the stream in pieces, so that it shows how much of it was taken. */
const MAX_PIECE_BYTES = 65_536;
/** A chunk up to this size is copied, so that its memory can be used for the next read. */
const MAX_COPIED_BYTES = 4096;
/** How long the end may take once every byte of the body is there: an origin that forgets it must not hold the client up. */
const END_GRACE_MS = 1000;

const SESSION = Symbol("sluice.http2ClientSession");

/** A stream that knows the session on top of it: listeners can then be shared by all of them. */
type OwnedStream = ClientHttp2Stream & { [SESSION]?: Http2ClientSession };

/**
 * The life of an exchange:
 * - `held`: it has its slot; nothing was sent → `head`
 * - `head`: the request is being sent; a response head is awaited → `body`
 * - `body`: the response body is arriving → `ended`
 * - `ended`: the response is complete
 */
type State = "held" | "head" | "body" | "ended";

/** One exchange with an origin on a stream of a {@link Http2ClientConnection}. */
export class Http2ClientSession implements ClientSession {
  readonly reused: boolean;
  receivedBytes = 0;
  /** When {@link onDue} is to be called; Infinity: not at all. */
  dueAtMs: number = Number.POSITIVE_INFINITY;
  readonly #connection: Http2ClientConnection;
  readonly #limits: ExchangeLimits;
  readonly #allowsHttp1: boolean;
  readonly #writing = new RequestWriting();
  #events: ClientSessionEvents | undefined = undefined;
  #state: State = "held";
  #kind: Http2RequestKind = "message";
  /** The request head until it is sent. */
  #head: string[] | undefined = undefined;
  #webSocketKey: string | undefined = undefined;
  /** END_STREAM goes with the head of a request without body. */
  #endsWithHead = true;
  #waitsForTrailers = false;
  #isHead = false;
  #stream: OwnedStream | undefined = undefined;
  #streamError: Error | undefined = undefined;
  #trailersUp: HeaderFields | undefined = undefined;
  #trailersDown: HeaderFields | undefined = undefined;
  /** Response bytes that Content-Length still promises; -1: it says nothing. */
  #owedBytes = -1;
  #informational = 0;
  #tunnel = false;
  #paused = false;
  /** Response heads that came while paused. */
  #waitingHeads: (() => void)[] | undefined = undefined;
  /** The origin ended its direction (END_STREAM). */
  #endSeen = false;
  /** All of it came, and waits behind the head. */
  #endWaits = false;
  /** It did so with its response head. */
  #headIsAll = false;
  /** A chunk was given to the stream that was not copied. */
  #lent = false;
  #congested = false;
  #writeWatch: WriteWatch | undefined = undefined;
  #told = false;

  /** @param allowsHttp1 The peer may be spoken to by HTTP/1 as well. */
  constructor(connection: Http2ClientConnection, limits: ExchangeLimits, reused: boolean, allowsHttp1: boolean) {
    this.#connection = connection;
    this.#limits = limits;
    this.reused = reused;
    this.#allowsHttp1 = allowsHttp1;
  }

  get digest(): ConnectionDigest {
    return this.#connection.digest;
  }

  get holdsBytes(): boolean {
    if (this.#lent && this.#stream!.writableLength === 0) this.#lent = false;
    return this.#lent;
  }

  writeRequest(header: RequestHeader, body: RequestBody, events: ClientSessionEvents): void {
    this.#writing.start(header, body);
    this.#events = events;
    this.#kind = requestKind(header, body);
    this.#isHead = header.method === "HEAD";
    this.#endsWithHead = header.sendEndStream && this.#kind === "message";
    this.#waitsForTrailers = body === "unknown-length";
    if (this.#kind === "websocket") this.#webSocketKey = header.get("sec-websocket-key");
    try {
      this.#head = requestFields(header, body, this.#kind, this.#connection.scheme);
    } catch (error) {
      this.#failLater(error as ProxyError);
      return;
    }
    if (this.#connection.over) this.#failLater(notSent(this.#connection));
    else this.#awaitResponse();
  }

  writeBody(chunk: Uint8Array): boolean {
    const writing = this.#writing;
    if (chunk.length === 0 || writing.done) return true;
    writing.take(chunk.length);
    if (this.#head !== undefined) this.#send(false);
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.closed) return true;
    this.#writeWatch?.add(chunk.length);
    if (chunk.length <= MAX_COPIED_BYTES) {
      stream.write(Buffer.from(chunk));
    } else {
      this.#lent = true;
      for (let at = 0; at < chunk.length; at += MAX_PIECE_BYTES) stream.write(chunk.subarray(at, at + MAX_PIECE_BYTES));
    }
    return this.#writable();
  }

  finishRequest(trailers?: HeaderFields): void {
    const writing = this.#writing;
    if (writing.done) return;
    const { raw } = writing;
    writing.end(this.#tunnel);
    if (trailers !== undefined && trailers.size > 0) this.#trailersUp = trailers;
    if (this.#head !== undefined) this.#send(this.#trailersUp === undefined);
    this.#stream?.end();
    if (!raw) this.#awaitResponse();
  }

  flush(): boolean {
    if (this.#head !== undefined) this.#send(this.#writing.done && this.#endsWithHead);
    return !this.#congested;
  }

  keepChunk(): void {
    // Every chunk has memory of its own.
  }

  lendChunk(): void {
    // The same.
  }

  pause(): void {
    this.#paused = true;
    this.dueAtMs = Number.POSITIVE_INFINITY;
    if (this.#state === "body") this.#stream!.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#awaitResponse();
    while (!this.#paused && this.#waitingHeads !== undefined && this.#waitingHeads.length > 0) {
      this.#waitingHeads.shift()!();
    }
    if (!this.#paused && this.#state === "body") this.#stream!.resume();
  }

  release(): void {
    this.#leave();
    // A tunnel whose last bytes are still leaving goes on by itself; anything else that is open has nobody left.
    const stream = this.#stream;
    if (stream !== undefined && !(this.#endSeen && this.#writing.done)) cancel(stream);
  }

  destroy(): void {
    this.#leave();
    if (this.#stream !== undefined) cancel(this.#stream);
  }

  /** Its time is up. */
  onDue(): void {
    this.dueAtMs = Number.POSITIVE_INFINITY;
    if (this.#events === undefined) return;
    if (this.#state === "body" && this.#owedBytes === 0 && !this.#tunnel) {
      this.#end();
      return;
    }
    const error = upstreamTooLate(this.#state === "body", this.#limits.readMs);
    this.#connection.doubt();
    this.#fail(error);
  }

  onBatch(): void {
    this.#told = false;
    this.#events?.onResponseBatch();
  }

  /** The connection is over. A stream that was opened tells so itself. */
  onConnectionOver(): void {
    if (this.#stream === undefined && this.#head !== undefined) this.#failLater(notSent(this.#connection));
  }

  /** Opens the stream. What is sent leaves once a turn, as everything on the connection. */
  #send(end: boolean): void {
    const head = this.#head!;
    this.#head = undefined;
    const connection = this.#connection;
    if (connection.over || connection.node.closed) {
      this.#failLater(notSent(connection));
      return;
    }
    let stream: OwnedStream;
    try {
      stream = open(connection.node, head, end, this.#waitsForTrailers && !end);
    } catch (cause) {
      this.#failLater(ProxyError.internal("InvalidHTTPHeader", "a request that HTTP/2 cannot say", cause));
      return;
    }
    this.#state = "head";
    this.#stream = stream;
    stream[SESSION] = this;
    stream.push = push;
    stream.emit = emitOwn;
    if (!end && this.#kind === "message" && this.#writing.done) stream.end();
  }

  onHeaders(raw: readonly string[]): void {
    this.receivedBytes += fieldListBytes(raw);
    this.#inTurn(() => this.#informationalHead(raw));
  }

  onResponse(raw: readonly string[], flags: number): void {
    this.receivedBytes += fieldListBytes(raw);
    const end = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    if (end) {
      this.#endSeen = true;
      this.#headIsAll = true;
    }
    if (this.#paused) this.#inTurn(() => this.#finalHead(raw, end));
    else this.#finalHead(raw, end);
  }

  onData(chunk: Buffer): void {
    const { length } = chunk;
    this.receivedBytes += length;
    const events = this.#events;
    if (events === undefined) return;
    if (this.#owedBytes > 0) this.#owedBytes = Math.max(this.#owedBytes - length, 0);
    this.#awaitResponse();
    events.onResponseData(chunk);
    this.#tell();
  }

  onTrailers(raw: string[]): void {
    this.receivedBytes += fieldListBytes(raw);
    this.#trailersDown = new HeaderFields(raw);
  }

  /** All that came was delivered, and nothing follows. */
  onEnd(): void {
    // Node says the same of a stream that was reset without an error: that is no end.
    if (!this.#endSeen || this.#headIsAll) return;
    // Of a body without bytes Node says so at once, also while its head still waits.
    if (this.#state !== "head") this.#end();
    else {
      this.#endWaits = true;
      this.#inTurn(() => this.#end());
    }
  }

  onStreamError(error: Error): void {
    this.#streamError ??= error;
  }

  onClose(): void {
    this.#writeWatch?.dispose();
    if (this.#events === undefined) return;
    const stream = this.#stream!;
    // A tunnel ends by both directions; an origin that has ended its own may say, without an error, that it has heard enough.
    const ended = this.#state === "ended" || this.#endWaits;
    if (ended && (!this.#tunnel || this.#writing.done || stream.rstCode === NO_ERROR)) return;
    // Whether it was the origin who refused is known only when Node has done the rest of what it does.
    if (stream.rstCode === REFUSED_STREAM && this.receivedBytes === 0) setImmediate(() => this.#refused());
    else this.#streamFailed();
  }

  #refused(): void {
    if (this.#events === undefined) return;
    const connection = this.#connection;
    if (!connection.closedByNode) {
      this.#streamFailed();
      return;
    }
    connection.retire();
    const context = "a request head of more than 65,536 bytes, which is the most that Node's HTTP/2 sends";
    this.#fail(ProxyError.internal("InvalidHTTPHeader", context));
  }

  #streamFailed(): void {
    const connection = this.#connection;
    const stream = this.#stream!;
    const error = streamFailed(
      {
        id: stream.id ?? 0,
        rstCode: stream.rstCode ?? 0,
        error: this.#streamError,
        inBody: this.#state === "body" || this.#state === "ended",
        receivedBytes: this.receivedBytes,
        allowsHttp1: this.#allowsHttp1,
      },
      connection,
    );
    if (error.type === "H2Downgrade" || error.type === "InvalidH2") connection.prefersHttp1();
    if (stream.rstCode === ENHANCE_YOUR_CALM) connection.retire();
    this.#fail(error);
  }

  onWantTrailers(): void {
    const trailers = this.#trailersUp;
    this.#stream!.sendTrailers((trailers && fieldObject(trailers, true)) ?? {});
  }

  onDrain(): void {
    this.#lent = false;
    if (!this.#congested) return;
    this.#congested = false;
    this.#writeWatch?.stop();
    this.#events?.onUpstreamWritable();
  }

  markEnd(): void {
    this.#endSeen = true;
  }

  #inTurn(next: () => void): void {
    if (this.#paused) (this.#waitingHeads ??= []).push(next);
    else next();
  }

  #informationalHead(raw: readonly string[]): void {
    const events = this.#events;
    if (events === undefined) return;
    if (++this.#informational > MAX_INFORMATIONAL) {
      this.#fail(malformed(`more than ${MAX_INFORMATIONAL} interim responses`));
      return;
    }
    const header = this.#readHead(raw);
    if (header === undefined) return;
    this.#awaitResponse();
    events.onInformational(header);
    this.#tell();
  }

  #finalHead(raw: readonly string[], end: boolean): void {
    const events = this.#events;
    if (events === undefined) return;
    const header = this.#readHead(raw);
    if (header === undefined) return;
    const { status } = header;
    if (status < 200) {
      this.#fail(malformed(`status ${status} on a response that ended`));
      return;
    }
    this.#state = "body";
    const noBody = end || this.#isHead || status === 204 || status === 304;
    if (this.#kind !== "message") this.#answerTunnel(header, status);
    else this.#owedBytes = noBody ? 0 : owedBytes(header);
    this.#awaitResponse();
    const stream = this.#stream!;
    if (!end) stream.on("data", onData);
    events.onResponseHeader(header, noBody && !this.#tunnel);
    if (end) {
      // There is nothing to read: Node is through with it when it is closed.
      stream.readable = false;
      if (this.#paused) this.#inTurn(() => this.#end());
      else this.#end();
      return;
    }
    if (this.#paused) stream.pause();
    this.#tell();
  }

  /** A 2xx makes the tunnel; anything else is the response, and nothing goes up any more. */
  #answerTunnel(header: ResponseHeader, status: number): void {
    if (status >= 300) {
      this.#stream!.end();
      this.#owedBytes = owedBytes(header);
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

  #readHead(raw: readonly string[]): ResponseHeader | undefined {
    try {
      return responseHeader(raw, this.#connection.headLimits);
    } catch (error) {
      this.#fail(error as ProxyError);
      return undefined;
    }
  }

  #end(): void {
    this.#state = "ended";
    this.dueAtMs = Number.POSITIVE_INFINITY;
    const events = this.#events;
    if (events === undefined) return;
    events.onResponseEnd(this.#trailersDown);
    this.#events?.onResponseBatch();
  }

  #writable(): boolean {
    if (this.#congested) return false;
    const stream = this.#stream!;
    if (stream.writableLength < MAX_UNSENT_BYTES) return true;
    this.#congested = true;
    if (this.#writeWatch === undefined) {
      this.#writeWatch = new WriteWatch(stream, () => {
        this.#fail(upstreamTakesNothing(this.#limits.writeMs));
      });
    }
    this.#writeWatch.start({ writeMs: this.#limits.writeMs, minSendBytesPerSecond: 0 });
    return false;
  }

  /** The origin is on turn: while the client is still sending, or takes nothing, it is not the origin that is late. */
  #awaitResponse(): void {
    const { readMs } = this.#limits;
    const onTurn = !this.#tunnel && (this.#state === "body" || this.#writing.done);
    if (!onTurn || this.#paused || this.#state === "ended") {
      this.dueAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    const graceMs = this.#state === "body" && this.#owedBytes === 0 ? END_GRACE_MS : Number.POSITIVE_INFINITY;
    const waitMs = Math.min(readMs > 0 ? readMs : Number.POSITIVE_INFINITY, graceMs);
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.dueAtMs = nowMs() + waitMs;
    this.#connection.wakeAt(this.dueAtMs);
  }

  #tell(): void {
    if (this.#told || this.#events === undefined) return;
    this.#told = true;
    this.#connection.told(this);
  }

  /** Events never come inside a call. */
  #failLater(error: ProxyError): void {
    this.#head = undefined;
    queueMicrotask(() => this.#fail(error));
  }

  #fail(error: ProxyError): void {
    const events = this.#events;
    this.#leave();
    if (this.#stream !== undefined) cancel(this.#stream);
    if (events === undefined) return;
    if (error.source === "unset") error.setSource("upstream");
    if (this.#state === "body") error.detail ??= "response-body";
    events.onUpstreamError(error);
  }

  /** Nobody listens any more, and the slot is free. */
  #leave(): void {
    this.#events = undefined;
    this.#head = undefined;
    this.#waitingHeads = undefined;
    this.dueAtMs = Number.POSITIVE_INFINITY;
    this.#connection.leave(this);
  }
}

function cancel(stream: OwnedStream): void {
  // Node ends what it resets: END_STREAM would leave before the reset, and the request look whole.
  if (!stream.writableEnded) stream._final = noEnd;
  stream.close(CANCEL);
}

/** Never says that the end was sent. */
function noEnd(): void {}

function malformed(what: string): ProxyError {
  return ProxyError.upstream("InvalidHTTPHeader", what);
}

/** What Content-Length says; nghttp2 has checked that it is one number, and holds the body to it. */
function owedBytes(header: ResponseHeader): number {
  const length = header.get("content-length");
  return length === undefined ? -1 : Number(length);
}

/** The only place where Node shows that END_STREAM came: it ends streams that were reset without an error as well. */
function push(this: OwnedStream, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk === null && !this.closed) this[SESSION]!.markEnd();
  return Readable.prototype.push.call(this, chunk, encoding);
}

/**
 * In place of `emit`, for all streams: what is told to the session needs no listeners, each of which costs 0.2 µs a stream to
 * enter, and another call for `newListener`. What Node itself listens to goes on.
 */
function emitOwn(this: OwnedStream, name: string | symbol, ...args: unknown[]): boolean {
  const session = this[SESSION]!;
  switch (name) {
    case "newListener":
    case "removeListener":
      return true;
    case "response":
      session.onResponse(args[2] as string[], args[1] as number);
      return true;
    case "close":
      session.onClose();
      return true;
    case "headers":
      session.onHeaders(args[2] as string[]);
      return true;
    case "trailers":
      session.onTrailers(args[2] as string[]);
      return true;
    case "error":
      session.onStreamError(args[0] as Error);
      return true;
    case "wantTrailers":
      session.onWantTrailers();
      return true;
    case "drain":
      session.onDrain();
      break;
    case "end":
      session.onEnd();
      break;
  }
  return EventEmitter.prototype.emit.call(this, name, ...args);
}

function onData(this: OwnedStream, chunk: Buffer): void {
  this[SESSION]!.onData(chunk);
}

function open(node: ClientHttp2Session, head: string[], endStream: boolean, waitForTrailers: boolean): OwnedStream {
  const opened = requestNatively(node, fieldBlock(head), head.length / 2, endStream, waitForTrailers);
  if (opened !== undefined) return opened;
  const stream = node.request(head, { endStream, waitForTrailers });
  learnFrom(node, stream);
  return stream;
}
