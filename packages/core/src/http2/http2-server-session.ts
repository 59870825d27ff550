import { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ServerSession, ServerSessionEvents } from "../http/server-session.ts";
import { SessionLimits, type SessionLimitValues } from "../http/session-limits.ts";
import * as clientErrors from "../http1/client-errors.ts";
import { parseLength } from "../http1/framing.ts";
import { Tunnel } from "../http1/tunnel.ts";
import { WriteWatch } from "../http1/write-watch.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import type { HeadWriter } from "./connection/head-writer.ts";
import type { Http2Endpoint } from "./connection/http2-endpoint.ts";
import { Http2Stream, type StreamClose } from "./connection/http2-stream.ts";
import { ENHANCE_YOUR_CALM, NO_ERROR } from "./error-codes.ts";
import { TrailerReader } from "./heads/trailer-reader.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";
import type { Http2ServerConnection } from "./http2-server-connection.ts";
import { cutCode, streamEnded } from "./server-errors.ts";
import type { Http2RequestHead } from "./server-request.ts";
import { hasTrailers, writeTrailers } from "./fields.ts";
import { writeInterimHead, writeResponseHead, writeTunnelHead } from "./server-response.ts";
import { checkAccept } from "./websocket-accept.ts";

/** How the end of the response body is known: in HTTP/2 by END_STREAM always, but a length that is told must be kept. */
type ResponseFraming = "none" | "content-length" | "until-end";

/** Read out at once; so one does for all streams. */
const TRAILERS = new TrailerReader();

/** One exchange on an HTTP/2 server connection: a stream. */
export class Http2ServerSession extends Http2Stream implements ServerSession {
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
  /** The end is told by itself: END_STREAM waits for {@link finish} always, and no byte has to. */
  holdsEnd = false;
  failedBefore: "head" | "end" | undefined = undefined;
  requestBodyDone: boolean;
  requestBodyBytes = 0;
  readonly #connection: Http2ServerConnection;
  readonly #isHead: boolean;
  #ownLimits: SessionLimits | undefined = undefined;
  #events: ServerSessionEvents | undefined = undefined;
  #paused = false;
  #trailers: HeaderFields | undefined = undefined;
  #framing: ResponseFraming = "none";
  /** Body bytes that Content-Length still promises. */
  #owedBytes = 0;
  #lastFields: HeaderFields | undefined = undefined;
  /** There once the protocol was changed: raw bytes both ways. */
  #tunnel: Tunnel | undefined = undefined;
  #readDeadline: Deadline | undefined = undefined;
  #writeWatch: WriteWatch | undefined = undefined;

  constructor(
    connection: Http2ServerConnection,
    endpoint: Http2Endpoint,
    streamId: number,
    head: Http2RequestHead,
    ended: boolean,
  ) {
    super(endpoint, streamId, ended);
    const { request } = head;
    this.#connection = connection;
    this.request = request;
    this.#isHead = request.method === "HEAD";
    this.isConnect = request.method === "CONNECT";
    this.upgrade = head.protocol;
    // What comes behind the head of a CONNECT is no body.
    const asksForTunnel = this.isConnect || this.upgrade !== undefined;
    if (!asksForTunnel) this.contentLength = head.contentLength;
    this.requestBodyEmpty = ended || head.contentLength === 0 || asksForTunnel;
    this.requestBodyDone = this.requestBodyEmpty;
    if (head.error !== undefined) this.fail(head.error);
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

  get events(): ServerSessionEvents | undefined {
    return this.#events;
  }

  set events(events: ServerSessionEvents | undefined) {
    this.#events = events;
    if (!this.requestBodyDone && !this.closed) this.#updateReading();
  }

  keepChunk(): void {
    this.endpoint.memory.keep();
  }

  lendChunk(): void {
    this.endpoint.memory.lend();
  }

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
    if (this.response !== undefined || this.closed) return true;
    const { interim } = this.#limits();
    if (interim === "drop" && !(status === 100 && this.request.has("expect"))) return true;
    // RFC 9110, section 8.6: none in a 1xx.
    header.remove("content-length");
    // Nothing of it ever waits, so there is nothing to wait for: a client that takes none does not get it.
    this.sendInterim((head) => writeInterimHead(head, header));
    return true;
  }

  writeHeader(header: ResponseHeader, end: boolean): void {
    const { status } = header;
    if (this.response !== undefined) {
      throw ProxyError.internal("InternalError", `a second response head (status ${status}) on one request`);
    }
    if (status < 200 && status !== 101) throw wrongKind(status, "a final head");
    if (status > 599) {
      // RFC 9110, section 15, calls it invalid.
      throw ProxyError.internal("InvalidHTTPHeader", `status ${status}; HTTP/2 clients can be told 200 to 599`);
    }
    if (this.#changesProtocol(status)) {
      this.#changeProtocol(header);
      return;
    }
    this.#framing = this.#chooseFraming(header, end);
    this.response = header;
    this.sendHead(this.#framing === "none" || (end && this.#owedBytes === 0));
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
    if (this.closed) return true;
    this.#writeWatch?.add(chunk.length);
    const writable = this.sendData(chunk);
    this.#tunnel?.keep();
    if (!writable) this.#watchWrites();
    return writable;
  }

  finish(trailers?: HeaderFields): void {
    if (this.responseDone) return;
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "the response was finished before its head was written");
    }
    if (this.#owedBytes > 0) {
      const context = `the response body ended ${this.#owedBytes} bytes before its Content-Length`;
      this.abort();
      throw ProxyError.internal("PrematureBodyEnd", context);
    }
    this.responseDone = true;
    if (trailers !== undefined && this.#framing !== "none" && hasTrailers(trailers)) this.#lastFields = trailers;
    this.sendEnd(this.#lastFields !== undefined);
    this.#tunnel?.halfClose();
  }

  /** Nothing to do: what is written leaves at the end of the turn. */
  flush(): void {}

  abort(): void {
    this.reset(cutCode(this.error, this.#tunnel !== undefined && this.isConnect));
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
    this.read(false);
    this.onGone?.(this.error);
    this.#events?.onDownstreamError(this.error);
  }

  /** @internal The app is through with it. */
  close(): void {
    this.#events = undefined;
    this.#readDeadline?.dispose();
    this.discard();
    if (!this.responseDone) this.abort();
    else if (!this.remoteEnded) this.#stopUpload();
  }

  /** @internal Looks whether the client takes what is there for it. A stream that was never full has not been watched. */
  checkWrites(): void {
    if (this.writableLength > 0) this.#watchWrites();
  }

  // From the endpoint.

  /** @internal What ends a message (RFC 9113, section 8.1); the head was read before there was a session. */
  beginFields(): FieldReceiver {
    return TRAILERS.begin(this.#connection.options);
  }

  /** @internal */
  endFields(endStream: boolean): void {
    if (!endStream) this.malformed("HEADERS in the middle of a request");
    else if (TRAILERS.malformed !== undefined) this.malformed(TRAILERS.malformed);
    else if (TRAILERS.tooLarge) this.endpoint.breakRule(this, ENHANCE_YOUR_CALM, "trailers beyond the limits");
    else this.#trailers = TRAILERS.take();
  }

  /** @internal */
  protected onData(chunk: Buffer): void {
    this.requestBodyBytes += chunk.length;
    this.#extendReading();
    this.#events?.onRequestData(chunk);
  }

  /** @internal */
  protected onEnd(): void {
    if (this.requestBodyDone || this.error !== undefined) return;
    this.requestBodyDone = true;
    if (this.#tunnel === undefined) this.#readDeadline?.clear();
    else this.#tunnel.halfClose();
    this.#events?.onRequestEnd(this.#trailers);
  }

  /** @internal */
  onBatch(): void {
    this.#events?.onRequestBatch();
  }

  /** @internal */
  protected onDrained(): void {
    this.#writeWatch?.stop();
    if (this.error === undefined) this.#events?.onDownstreamWritable();
  }

  /** @internal */
  protected writeHead(head: HeadWriter): void {
    if (this.#tunnel === undefined) writeResponseHead(head, this.response!);
    else writeTunnelHead(head, this.response!);
  }

  /** @internal */
  protected writeTrailers(head: HeadWriter): void {
    writeTrailers(head, this.#lastFields!);
  }

  /** @internal */
  onClosed(how: StreamClose, code: number, why: string | undefined): void {
    this.#readDeadline?.dispose();
    this.#writeWatch?.dispose();
    if (how === "complete" || how === "own-reset") return;
    // It has what it wanted, and ends without an error.
    const isServed = how === "connection" ? this.localEnded : this.responseDone && code === NO_ERROR;
    if (isServed && (this.#tunnel === undefined || this.remoteEnded)) return;
    this.fail(streamEnded(how, code, why, this.#connection.cause, this.requestBodyDone));
  }

  #watchWrites(): void {
    this.#writeWatch ??= new WriteWatch(this, () => this.#stalled());
    this.#writeWatch.start(this.#limits());
  }

  #stalled(): void {
    const error = clientErrors.takesTooSlowly(this.#limits());
    this.#connection.stalled(this, error);
    this.fail(error);
    this.reset(cutCode(error));
  }

  /**
   * RFC 9113, section 8.1: behind a whole response that came early, RST_STREAM with NO_ERROR asks the client to stop the upload. By
   * itself: Node's client loses a response without a body if the reset comes with it.
   */
  #stopUpload(): void {
    if (!this.localEnded) this.stopsBehindEnd = true;
    else setImmediate(() => this.reset(NO_ERROR));
  }

  #updateReading(): void {
    const reads = this.#events !== undefined && !this.#paused && this.error === undefined;
    if (reads) this.#extendReading();
    // In a tunnel silence counts all the same.
    else if (this.#tunnel === undefined) this.#readDeadline?.clear();
    this.read(reads);
  }

  #extendReading(): void {
    if (this.#tunnel === undefined) this.#deadline().set(this.#limits().bodyMs);
    else this.#tunnel.keep();
  }

  #deadline(): Deadline {
    return (this.#readDeadline ??= new Deadline(() => this.#readTimedOut()));
  }

  #readTimedOut(): void {
    this.fail(this.#tunnel?.timedOut() ?? this.#bodyTooLate());
  }

  #bodyTooLate(): ProxyError {
    const { bodyMs } = this.#limits();
    return this.bodyBytes === this.contentLength
      ? clientErrors.endTooLate(this.bodyBytes, bodyMs)
      : clientErrors.bodyTooLate(bodyMs);
  }

  #limits(): SessionLimitValues {
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
    this.#tunnel = new Tunnel(this.#deadline(), this.#connection.options);
    this.#framing = "until-end";
    this.sendHead(false);
    this.requestBodyDone = false;
    // If the client's direction has ended, be it with its head, that is to be told.
    this.repeatEnd();
    this.#updateReading();
  }

  #tooLong(bytes: number): ProxyError {
    const context = `the response body is ${bytes - this.#owedBytes} bytes or more longer than its Content-Length`;
    return ProxyError.internal("InternalError", context).setDetail("content-length");
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
