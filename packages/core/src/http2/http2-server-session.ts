import { Buffer } from "node:buffer"; // The global is an accessor, and costs 20 ns a look.
import { EventEmitter } from "node:events";
import type { ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import { Duplex } from "node:stream";
import { ProxyError } from "@sluice/error";
import { HeaderFields, type RequestHeader, type ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ServerSession, ServerSessionEvents } from "../http/server-session.ts";
import { SessionLimits, type SessionLimitValues } from "../http/session-limits.ts";
import * as clientErrors from "../http1/client-errors.ts";
import { parseLength } from "../http1/framing.ts";
import { Tunnel } from "../http1/tunnel.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { WriteWatch } from "../http1/write-watch.ts";
import { NO_ERROR } from "./error-codes.ts";
import { fieldObject } from "./fields.ts";
import type { Http2ServerConnection } from "./http2-server-connection.ts";
import { cutCode, streamEnded } from "./server-errors.ts";
import type { Http2RequestHead } from "./server-request.ts";
import {
  announcesTrailers,
  respond,
  RESPOND_END,
  RESPOND_OPEN,
  RESPOND_TRAILERS,
  responseList,
  tunnelList,
} from "./server-response.ts";
import { giveSlab, SLAB_BYTES, takeSlab } from "./slabs.ts";
import { checkAccept } from "./websocket-accept.ts";

/** How the end of the response body is known: in HTTP/2 by END_STREAM always, but a length that is told must be kept. */
type ResponseFraming = "none" | "content-length" | "until-end";

/** A chunk up to this size is copied to memory that Node cuts from a larger piece. */
const MAX_COPIED_BYTES = 8192;
/** Bytes that the stream holds beyond which the client counts as slow: more than one read of an upstream brings. */
const MAX_UNSENT_BYTES = 65_536;

const SESSION = Symbol("sluice.http2ServerSession");

/** A stream that knows its session: the listeners are shared by all streams. */
type OwnedStream = ServerHttp2Stream & { [SESSION]?: Http2ServerSession };

/** One exchange on an HTTP/2 server connection: a stream. */
export class Http2ServerSession implements ServerSession {
  readonly request: RequestHeader;
  readonly upgrade: string | undefined;
  readonly isConnect: boolean;
  readonly requestBodyEmpty: boolean;
  readonly headReadAtMs: number = nowMs();
  error: ProxyError | undefined = undefined;
  onGone: ((error: ProxyError) => void) | undefined = undefined;
  response: ResponseHeader | undefined = undefined;
  responseBodyBytes = 0;
  responseDone = false;
  /** The end is told by itself: then END_STREAM waits for {@link finish}, and no byte has to. */
  holdsEnd = false;
  failedBefore: "head" | "end" | undefined = undefined;
  requestBodyDone: boolean;
  requestBodyBytes = 0;
  readonly #connection: Http2ServerConnection;
  readonly #stream: OwnedStream;
  readonly #isHead: boolean;
  #ownLimits: SessionLimits | undefined = undefined;
  #events: ServerSessionEvents | undefined = undefined;
  /** END_STREAM came. */
  #inputEnded: boolean;
  /** Nobody was there to be told of it, or had paused. */
  #endWaits = false;
  #paused = false;
  /** The body's events are listened to. */
  #reading = false;
  #trailers: HeaderFields | undefined = undefined;
  #framing: ResponseFraming = "none";
  /** Body bytes that Content-Length still promises. */
  #owedBytes = 0;
  /** The final head, until it is known what it leaves with. */
  #head: string[] | undefined = undefined;
  /** The first bytes of a body, which wait with it. */
  #first: Uint8Array | undefined = undefined;
  /** Trailers to give to Node when it asks for them. */
  #lastFields: Record<string, string | string[]> | undefined = undefined;
  /** Node is going to ask for them. */
  #waitsForTrailers = false;
  #stopsUpload = false;
  /** There once the protocol was changed: raw bytes both ways. */
  #tunnel: Tunnel | undefined = undefined;
  /** The stream may hold memory that is not our own. */
  #lent = false;
  #congested = false;
  /** We reset it. */
  #aborted = false;
  #streamError: Error | undefined = undefined;
  #readDeadline: Deadline | undefined = undefined;
  #writeWatch: WriteWatch | undefined = undefined;

  constructor(connection: Http2ServerConnection, stream: ServerHttp2Stream, head: Http2RequestHead, ended: boolean) {
    const { request } = head;
    this.#connection = connection;
    this.#stream = stream;
    this.request = request;
    this.#isHead = request.method === "HEAD";
    this.isConnect = request.method === "CONNECT";
    this.upgrade = head.protocol;
    this.#inputEnded = ended;
    // What comes behind the head of a CONNECT is no body.
    this.requestBodyEmpty = ended || head.contentLength === 0 || this.isConnect || this.upgrade !== undefined;
    this.requestBodyDone = this.requestBodyEmpty;
    this.#stream[SESSION] = this;
    this.#stream.emit = emitOwn;
    if (ended) closeWhenSent(stream);
    else this.#expectInput();
    if (head.error !== undefined) this.fail(head.error);
  }

  #expectInput(): void {
    // Content-Length: 0, whose END_STREAM is still to come.
    if (this.requestBodyEmpty && !this.isConnect && this.upgrade === undefined) this.#stream.resume();
  }

  get digest(): ConnectionDigest {
    return this.#connection.digest;
  }

  get limits(): SessionLimits {
    return (this.#ownLimits ??= new SessionLimits(this.#connection.options));
  }

  get shuttingDown(): boolean {
    return this.#connection.shuttingDown;
  }

  get holdsBytes(): boolean {
    if (this.#lent && this.#stream.writableLength === 0 && this.#first === undefined) this.#lent = false;
    return this.#lent;
  }

  get events(): ServerSessionEvents | undefined {
    return this.#events;
  }

  set events(events: ServerSessionEvents | undefined) {
    this.#events = events;
    if (this.requestBodyDone || this.#over) return;
    this.#updateReading();
  }

  /** Nothing to do: each piece has memory of its own. */
  keepChunk(): void {}

  /** The same. */
  lendChunk(): void {}

  pauseBody(): void {
    if (this.requestBodyDone) return;
    this.#paused = true;
    this.#updateReading();
  }

  resumeBody(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.requestBodyDone) this.#updateReading();
  }

  writeInformational(header: ResponseHeader): boolean {
    const { status } = header;
    if (status >= 200 || status === 101) throw wrongKind(status, "an interim head");
    if (this.response !== undefined || this.#over) return true;
    const { interim } = this.#limits;
    if (interim === "drop" && !(status === 100 && this.request.has("expect"))) return true;
    header.remove("content-length");
    const fields = fieldObject(header, false) ?? (Object.create(null) as Record<string, string>);
    this.#stream.additionalHeaders({ ":status": status, ...fields });
    return true;
  }

  writeHeader(header: ResponseHeader, end: boolean): void {
    const { status } = header;
    if (this.response !== undefined) {
      throw ProxyError.internal("InternalError", `a second response head (status ${status}) on one request`);
    }
    if (status < 200 && status !== 101) throw wrongKind(status, "a final head");
    if (status > 599) {
      // Node refuses it, and RFC 9110, section 15, calls it invalid.
      throw ProxyError.internal("InvalidHTTPHeader", `status ${status}; HTTP/2 clients can be told 200 to 599`);
    }
    if (this.#changesProtocol(status)) {
      this.#changeProtocol(header);
      return;
    }
    this.#framing = this.#chooseFraming(header, end);
    this.response = header;
    this.#head = responseList(header);
    if (this.#framing === "none" || (end && this.#owedBytes === 0)) this.#sendHead(RESPOND_END);
  }

  writeBody(chunk: Uint8Array): boolean {
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "body bytes before the response head");
    }
    if (chunk.length === 0 || this.#framing === "none" || this.responseDone) return true;
    if (this.#framing === "content-length") {
      // What goes beyond the promised length would make the client refuse the response, and what fits would look like all.
      if (chunk.length > this.#owedBytes) throw this.#tooLong(chunk.length);
      this.#owedBytes -= chunk.length;
    }
    this.responseBodyBytes += chunk.length;
    if (this.#head !== undefined) {
      // Whether more follows is often known before these bytes must leave: then they and the end are one frame, and one write.
      if (this.#first === undefined && chunk.length <= MAX_COPIED_BYTES) {
        this.#first = Buffer.from(chunk);
        return true;
      }
      this.#sendHead(this.#openOptions());
    }
    if (this.#over) return true;
    // Node writes it a little later: whoever gave it is to have its memory back at once.
    if (chunk.length <= MAX_COPIED_BYTES) return this.#wrote(this.#stream.write(Buffer.from(chunk)));
    if (chunk.length <= SLAB_BYTES) return this.#wrote(this.#writeSlab(chunk));
    this.#lent = true;
    return this.#wrote(this.#stream.write(chunk));
  }

  finish(trailers?: HeaderFields): void {
    if (this.responseDone) return;
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "the response was finished before its head was written");
    }
    if (this.#owedBytes > 0) {
      const context = `the response body ended ${this.#owedBytes} bytes before its Content-Length`;
      this.abort();
      throw new ProxyError("PrematureBodyEnd", { context });
    }
    this.responseDone = true;
    if (trailers !== undefined && this.#framing !== "none") this.#lastFields = fieldObject(trailers, true);
    if (this.#head !== undefined) this.#sendWhole();
    else if (!this.#stream.writableEnded && !this.#over) this.#stream.end();
    this.#tunnel?.halfClose();
    this.#connection.movedPiece();
  }

  flush(): void {
    if (this.#head !== undefined) this.#sendHead(this.#openOptions());
  }

  abort(): void {
    if (this.#aborted || this.#over) return;
    // What is there of a response that will show to be cut is not kept from the client.
    if (this.#head !== undefined) this.#sendHead(RESPOND_TRAILERS);
    // Node ends what it resets: END_STREAM could leave before the reset, and the response look whole.
    if (!this.#stream.writableEnded) this.#stream._final = noEnd;
    this.#reset(cutCode(this.error, this.#tunnel !== undefined && this.isConnect));
  }

  /** The whole connection takes no further request: HTTP/2 knows no other way to say so. */
  disableKeepAlive(): void {}

  /** @internal The request cannot be served any more. */
  fail(error: ProxyError): void {
    if (this.error !== undefined) {
      // Not the reason any more, but whoever answers the failed request need not go on.
      this.onGone?.(error.setSource("downstream"));
      return;
    }
    this.error = error.setSource("downstream");
    if (!this.responseDone) this.failedBefore = this.response === undefined ? "head" : "end";
    this.#readDeadline?.clear();
    this.onGone?.(this.error);
    this.#events?.onDownstreamError(this.error);
  }

  /** @internal The app is through with it. */
  close(): void {
    this.#events = undefined;
    this.#readDeadline?.dispose();
    if (!this.responseDone) this.abort();
    else if (!this.#inputEnded) this.#stopUpload();
  }

  /** @internal Looks whether the client takes what is there for it. A stream that was never full has not been watched. */
  checkWrites(): void {
    if (this.#stream.writableLength > 0) this.#watchWrites();
  }

  /** @internal */
  onData(chunk: Buffer): void {
    this.requestBodyBytes += chunk.length;
    this.#connection.movedPiece(chunk.length);
    this.#extendReading();
    const events = this.#events;
    if (events === undefined) return;
    events.onRequestData(chunk);
    this.#events?.onRequestBatch();
  }

  /** @internal */
  onEnd(): void {
    // Node says the same of a stream that the client has reset: that is no end, and `close` tells it.
    if (this.#stream.aborted) return;
    this.#inputEnded = true;
    if (this.requestBodyDone || this.error !== undefined) return;
    // Where no bytes are left Node says so at once, whether anybody reads or not.
    if (this.#events === undefined || this.#paused) this.#endWaits = true;
    else this.#tellEnd();
  }

  #tellEnd(): void {
    this.requestBodyDone = true;
    if (this.#tunnel === undefined) this.#readDeadline?.clear();
    else this.#tunnel.halfClose();
    this.#events?.onRequestEnd(this.#trailers);
    this.#events?.onRequestBatch();
  }

  /** @internal */
  onTrailers(raw: readonly string[]): void {
    if (raw.length > 0) this.#trailers = new HeaderFields(raw.slice());
  }

  /** @internal */
  onDrain(): void {
    this.#writeWatch?.stop();
    if (!this.#congested) return;
    this.#congested = false;
    if (this.error === undefined) this.#events?.onDownstreamWritable();
  }

  /** @internal Node asks for the trailers. */
  onWantTrailers(): void {
    this.#stream.sendTrailers(this.#lastFields ?? {});
    this.#waitsForTrailers = false;
    // They leave in the next turn.
    if (this.#stopsUpload) setImmediate(() => this.#reset(NO_ERROR));
  }

  /** @internal */
  onStreamError(error: Error): void {
    this.#streamError = error;
  }

  /** @internal The stream is over. */
  onClosed(): void {
    const stream = this.#stream;
    this.#readDeadline?.dispose();
    this.#writeWatch?.dispose();
    this.#head = undefined;
    this.#first = undefined;
    const wasReset =
      stream.rstCode !== NO_ERROR || !this.responseDone || (this.#tunnel !== undefined && !this.#inputEnded);
    const failed = wasReset && !this.#aborted;
    if (failed && this.error === undefined) {
      const { over, cause } = this.#connection;
      this.fail(streamEnded(stream.rstCode, over, cause ?? this.#streamError, this.requestBodyDone));
    }
    this.#connection.streamClosed(this, failed);
  }

  get #over(): boolean {
    return this.#stream.closed || this.#stream.destroyed;
  }

  /** For a head that is followed by bytes whose end is not there yet. */
  #openOptions(): ServerStreamResponseOptions {
    // With RESPOND_TRAILERS no END_STREAM leaves before we say so: what has no length, or is not to be over with it, needs that.
    const later = this.#framing === "until-end" || this.holdsEnd || announcesTrailers(this.response!);
    return later ? RESPOND_TRAILERS : RESPOND_OPEN;
  }

  /** The head, and what waits with it. */
  #sendHead(options: ServerStreamResponseOptions): void {
    const list = this.#head!;
    this.#head = undefined;
    const first = this.#first;
    this.#first = undefined;
    if (this.#over) return;
    if (options === RESPOND_TRAILERS) this.#waitsForTrailers = true;
    respond(this.#stream, list, options);
    if (first !== undefined) this.#wrote(this.#stream.write(first));
  }

  /** The whole response, as one. */
  #sendWhole(): void {
    const first = this.#first;
    this.#first = undefined;
    const hasTrailers = this.#lastFields !== undefined;
    this.#sendHead(hasTrailers ? RESPOND_TRAILERS : first === undefined ? RESPOND_END : RESPOND_OPEN);
    const stream = this.#stream;
    if (this.#over) return;
    if (first === undefined) stream.end();
    else stream.end(first);
    this.#tunnel?.keep();
  }

  /**
   * Copies to memory that is used again: with that of the reads of upstreams, which would be kept instead, responses of 64 KB
   * cost half as much again.
   */
  #writeSlab(chunk: Uint8Array): boolean {
    const stream = this.#stream;
    const slab = takeSlab();
    slab.set(chunk);
    return stream.write(slab.subarray(0, chunk.length), (error) => {
      // Of a stream that was destroyed the system may still have bytes to send.
      if (!stream.destroyed && (error === undefined || error === null)) giveSlab(slab);
    });
  }

  /** Returns `false` to ask to wait. */
  #wrote(accepted: boolean): boolean {
    const stream = this.#stream;
    this.#connection.movedPiece();
    this.#tunnel?.keep();
    if (accepted || stream.writableLength <= MAX_UNSENT_BYTES) return true;
    this.#congested = true;
    this.#watchWrites();
    return false;
  }

  #watchWrites(): void {
    this.#writeWatch ??= new WriteWatch(this.#stream, () => this.#stalled());
    this.#writeWatch.start(this.#limits);
  }

  #stalled(): void {
    const error = clientErrors.takesTooSlowly(this.#limits);
    this.#connection.stalled(this, error);
    this.fail(error);
    this.#reset(cutCode(error));
  }

  #reset(code: number): void {
    if (this.#over) return;
    this.#aborted = true;
    this.#stream.close(code);
  }

  /**
   * RFC 9113, section 8.1: behind a whole response that came early, RST_STREAM with NO_ERROR asks the client to stop the upload.
   * Node sends it when what was written has left, but takes it for a reason to send no trailers.
   */
  #stopUpload(): void {
    if (this.#waitsForTrailers) this.#stopsUpload = true;
    // By itself: Node's client loses a response without a body if the reset comes with it.
    else setImmediate(() => this.#reset(NO_ERROR));
  }

  #updateReading(): void {
    const stream = this.#stream;
    const read = this.#events !== undefined && !this.#paused && this.error === undefined;
    if (read && this.#endWaits) queueMicrotask(() => this.#tellWaitingEnd());
    if (read) this.#extendReading();
    // In a tunnel silence counts all the same.
    else if (this.#tunnel === undefined) this.#readDeadline?.clear();
    if (read === !stream.isPaused() && this.#reading) return;
    if (read) {
      if (!this.#reading) {
        this.#reading = true;
        stream.on("data", onData);
      } else stream.resume();
    } else if (this.#reading) stream.pause();
  }

  /** Events never come inside a call. */
  #tellWaitingEnd(): void {
    if (!this.#endWaits || this.#events === undefined || this.#paused || this.error !== undefined) return;
    this.#endWaits = false;
    this.#tellEnd();
  }

  #extendReading(): void {
    if (this.#tunnel === undefined) this.#deadline.set(this.#limits.bodyMs);
    else this.#tunnel.keep();
  }

  get #deadline(): Deadline {
    return (this.#readDeadline ??= new Deadline(() => this.#readTimedOut()));
  }

  #readTimedOut(): void {
    this.fail(this.#tunnel?.timedOut() ?? clientErrors.bodyTooLate(this.#limits.bodyMs));
  }

  get #limits(): SessionLimitValues {
    return this.#ownLimits ?? this.#connection.options;
  }

  /** RFC 9110, section 9.3.6; RFC 8441, section 5, for the 101 that HTTP/1 says where HTTP/2 says 200. */
  #changesProtocol(status: number): boolean {
    if (status === 101) {
      if (this.upgrade !== undefined) return true;
      throw ProxyError.internal("InternalError", "a 101 to a request that did not ask to change the protocol");
    }
    if (this.upgrade !== undefined && status >= 200 && status < 300) {
      // The client would take any 2xx for a tunnel (RFC 8441, section 5).
      const context = `status ${status} to a request to change the protocol to ${this.upgrade}, which 101 agrees to`;
      throw ProxyError.upstream("InvalidHTTPHeader", context);
    }
    return this.isConnect && status >= 200 && status < 300;
  }

  #changeProtocol(header: ResponseHeader): void {
    if (header.status === 101) checkAccept(this.request, header);
    this.response = header;
    this.#tunnel = new Tunnel(this.#deadline, this.#connection.options);
    this.#framing = "until-end";
    this.#head = tunnelList(header);
    this.#sendHead(RESPOND_OPEN);
    this.requestBodyDone = this.#inputEnded;
    if (!this.requestBodyDone) this.#updateReading();
    else queueMicrotask(() => this.#events?.onRequestEnd(undefined));
  }

  #tooLong(bytes: number): ProxyError {
    const context = `the response body is ${bytes - this.#owedBytes} bytes or more longer than its Content-Length`;
    return ProxyError.internal("InternalError", context);
  }

  #chooseFraming(header: ResponseHeader, end: boolean): ResponseFraming {
    const { status } = header;
    // RFC 9110, section 8.6: none in a 204.
    if (status === 204) header.remove("content-length");
    // RFC 9110, section 15.3.6: a 205 has no content.
    if (status === 205) {
      header.setContentLength(0);
      return "none";
    }
    if (this.#isHead || status === 204 || status === 304) return "none";
    const lengths = header.getAll("content-length");
    if (lengths.length === 0) return end ? "none" : "until-end";
    this.#owedBytes = lengths.length === 1 ? parseLength(lengths[0]!) : -1;
    if (this.#owedBytes < 0) {
      this.#owedBytes = 0;
      const shown = JSON.stringify(lengths.join(", "));
      throw ProxyError.internal("InvalidHTTPHeader", `a response with Content-Length ${shown}`);
    }
    return "content-length";
  }
}

function wrongKind(status: number, wanted: string): ProxyError {
  return ProxyError.internal("InternalError", `status ${status} cannot be that of ${wanted}`);
}

/**
 * In place of `emit`, for all streams: what is told to the session needs no listeners, each of which costs 0.2 µs a stream to
 * enter, and another call for `newListener`. What Node itself listens to goes on.
 */
function emitOwn(this: OwnedStream, name: string | symbol, ...args: unknown[]): boolean {
  const session = this[SESSION]!;
  switch (name) {
    case "close":
      session.onClosed();
      return true;
    case "newListener":
    case "removeListener":
      return true;
    case "pause":
      // Nothing comes that would have to stop.
      if (!this.readable) return true;
      break;
    case "error":
      session.onStreamError(args[0] as Error);
      return true;
    case "wantTrailers":
      session.onWantTrailers();
      return true;
    case "trailers":
      session.onTrailers(args[2] as string[]);
      return true;
    case "drain":
      session.onDrain();
      return true;
    case "end":
      session.onEnd();
      break;
  }
  return EventEmitter.prototype.emit.call(this, name, ...args);
}

/**
 * Lets Node close a stream whose request has ended as soon as END_STREAM has left. One that might still be read it closes by way of
 * several turns of the event loop, which cost as much as the response itself.
 */
function closeWhenSent(stream: OwnedStream): void {
  stream.readable = false;
  stream.pause();
  stream.destroy = destroyWhenSent;
}

/** Streams that are over but for bytes that the system has not taken yet. */
let leaving: OwnedStream[] = [];

/**
 * Node destroys it when nghttp2 has framed END_STREAM. That is before the system has taken the bytes, and makes an error, with a
 * stack, for the write that is under way: 7 % of a request's price. When they were taken, which is soon if at all, Node does it again.
 */
function destroyWhenSent(this: OwnedStream, error?: Error): OwnedStream {
  const isWhole = this[SESSION]!.responseDone && this.rstCode === NO_ERROR && error === undefined;
  if (!isWhole || this.writableFinished || this.session?.destroyed !== false) {
    return Duplex.prototype.destroy.call(this, error) as OwnedStream;
  }
  if (leaving.push(this) === 1) setImmediate(lookAtLeaving);
  return this;
}

/** A socket has taken them by now; TLS of Node says so a turn later. */
function lookAtLeaving(): void {
  const streams = leaving.filter(isThere);
  leaving = [];
  if (streams.length > 0) setImmediate(destroyAll, streams);
}

/** Those whose bytes wait, for the socket or in vain, are done with all the same. */
function destroyAll(streams: readonly OwnedStream[]): void {
  for (const stream of streams) Duplex.prototype.destroy.call(stream);
}

function isThere(stream: OwnedStream): boolean {
  return !stream.destroyed;
}

/** Never says that the end was sent. */
function noEnd(): void {}

function onData(this: OwnedStream, chunk: Buffer): void {
  this[SESSION]!.onData(chunk);
}
