import { ProxyError } from "@sluice/error";
import type { HeaderFields, HttpVersion, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ServerSession, ServerSessionEvents } from "../http/server-session.ts";
import { SessionLimits } from "../http/session-limits.ts";
import { nowMs } from "../net/clock.ts";
import { parseLength } from "./framing.ts";
import type { Http1ServerConnection } from "./http1-server-connection.ts";
import { informationalHeadText, lastChunkText, responseHeadText, type BodyFraming } from "./serialize.ts";

/** One exchange on an HTTP/1 server connection: decides how the response is framed and whether the connection goes on. */
export class Http1ServerSession implements ServerSession {
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
  holdsEnd = false;
  failedBefore: "head" | "end" | undefined = undefined;
  /** @internal Made when the first is asked for. */
  ownLimits: SessionLimits | undefined = undefined;
  /** Whether the client and we can go on after this exchange, as far as is known. */
  keepAlive: boolean;
  readonly #connection: Http1ServerConnection;
  /** As the client sent it: `request` may be edited since, but it is this that the client waits for. */
  readonly #isHead: boolean;
  readonly #version: HttpVersion;
  #events: ServerSessionEvents | undefined = undefined;
  #framing: BodyFraming = "none";
  /** Body bytes that Content-Length still promises. */
  #owedBytes = 0;
  /** The end of the body, as {@link holdsEnd} asks. */
  #lastBytes: Uint8Array | undefined = undefined;
  /** The protocol was changed. */
  #tunnel = false;
  /** It was we who broke it off: the end of the connection that follows is no client's decision. */
  #brokenOff = false;
  /** A client that waited for it sends its body. */
  #saidContinue = false;

  constructor(
    connection: Http1ServerConnection,
    request: RequestHeader,
    bodyEmpty: boolean,
    keepAlive: boolean,
    upgrade: string | undefined,
  ) {
    this.#connection = connection;
    this.request = request;
    this.#isHead = request.method === "HEAD";
    this.isConnect = request.method === "CONNECT";
    this.#version = request.version;
    this.requestBodyEmpty = bodyEmpty;
    this.keepAlive = keepAlive;
    this.upgrade = upgrade;
  }

  get digest(): ConnectionDigest {
    return this.#connection.digest;
  }

  get limits(): SessionLimits {
    return (this.ownLimits ??= new SessionLimits(this.#connection.options));
  }

  get requestBodyDone(): boolean {
    return this.#connection.requestBodyDone(this);
  }

  get requestBodyBytes(): number {
    return this.#connection.requestBodyBytes(this);
  }

  get holdsBytes(): boolean {
    return this.#connection.holdsBytes;
  }

  get shuttingDown(): boolean {
    return this.#connection.shuttingDown;
  }

  get servesAnother(): boolean {
    return this.responseDone && this.keepAlive && this.#connection.servesAnother(this);
  }

  get connectionContext(): unknown {
    return this.#connection.context;
  }

  set connectionContext(context: unknown) {
    this.#connection.context = context;
  }

  get events(): ServerSessionEvents | undefined {
    return this.#events;
  }

  set events(events: ServerSessionEvents | undefined) {
    this.#events = events;
    if (events === undefined) this.#connection.readNoMore(this);
    else this.#connection.readOn(this);
  }

  keepChunk(): void {
    this.#connection.keepChunk();
  }

  lendChunk(): void {
    this.#connection.lendChunk();
  }

  pauseBody(): void {
    this.#connection.pauseBody(this);
  }

  resumeBody(): void {
    this.#connection.resumeBody(this);
  }

  writeInformational(header: ResponseHeader): boolean {
    // RFC 9110, section 15.2: no 1xx to a client of HTTP/1.0.
    if (header.status >= 200 || header.status === 101) throw wrongKind(header.status, "an interim head");
    if (this.response !== undefined || this.#version === "1.0") return true;
    const { interim } = this.ownLimits ?? this.#connection.options;
    if (interim === "drop" && !(header.status === 100 && this.#expectsContinue())) return true;
    if (header.status === 100) this.#saidContinue = true;
    // RFC 9110, section 8.6: none in a 1xx; a client that believed it would take the final head for a body.
    header.remove("content-length");
    this.#connection.write(this, informationalHeadText(header), true);
    return this.#connection.writable;
  }

  writeHeader(header: ResponseHeader, end: boolean): void {
    if (this.response !== undefined) {
      throw ProxyError.internal("InternalError", `a second response head (status ${header.status}) on one request`);
    }
    if (header.status < 200 && header.status !== 101) throw wrongKind(header.status, "a final head");
    const changes = this.#changesProtocol(header.status);
    this.#framing = changes ? "none" : this.#chooseFraming(header, end);
    this.response = header;
    if (changes) {
      this.#changeProtocol(header);
      return;
    }
    // Bytes of a body that nobody reads any more would be taken for the next request.
    if (this.#framing === "until-close" || (!this.requestBodyDone && !this.#mayDrain())) this.keepAlive = false;
    // What the client may have sent for its tunnel is no request either.
    if (this.isConnect || this.ownLimits?.keepAliveMs === 0) this.keepAlive = false;
    this.keepAlive = this.#connection.mayGoOn(this.keepAlive);
    if (this.#endsByClosing()) this.#connection.endsByClosing();
    this.#connection.writeHead(this, responseHeadText(header, this.#framing, this.#connectionValue()));
  }

  writeBody(chunk: Uint8Array): boolean {
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "body bytes before the response head");
    }
    if (chunk.length === 0 || this.#framing === "none" || this.responseDone) return true;
    switch (this.#framing) {
      case "content-length": {
        // What goes beyond the promised length would be read as the next response, and what fits would look like all.
        if (chunk.length > this.#owedBytes) throw this.#tooLong(chunk.length);
        this.#owedBytes -= chunk.length;
        this.responseBodyBytes += chunk.length;
        if (!this.holdsEnd || this.#owedBytes > 0) return this.#connection.writeBytes(this, chunk);
        this.#lastBytes = chunk;
        return this.#connection.writable;
      }
      case "chunked": {
        this.responseBodyBytes += chunk.length;
        this.#connection.write(this, `${chunk.length.toString(16)}\r\n`, false);
        const writable = this.#connection.writeBytes(this, chunk);
        this.#connection.write(this, "\r\n", false);
        return writable;
      }
      case "until-close":
        this.responseBodyBytes += chunk.length;
        return this.#connection.writeBytes(this, chunk);
    }
  }

  finish(trailers?: HeaderFields): void {
    if (this.responseDone) return;
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "the response was finished before its head was written");
    }
    if (this.#owedBytes > 0) {
      this.abort();
      const context = `the response body ended ${this.#owedBytes} bytes before its Content-Length`;
      throw ProxyError.internal("PrematureBodyEnd", context);
    }
    if (this.#framing === "chunked") this.#connection.write(this, lastChunkText(trailers), false);
    if (this.#lastBytes !== undefined) this.#connection.writeBytes(this, this.#lastBytes);
    this.#lastBytes = undefined;
    this.responseDone = true;
    if (this.#tunnel) this.#connection.endDirection(this);
    else this.#connection.endResponse(this);
  }

  flush(): void {
    const last = this.#lastBytes;
    if (last !== undefined) {
      if (last.length > 1) this.#connection.writeBytes(this, last.subarray(0, -1));
      // In memory of its own: what it came in is used again, also if it came alone.
      this.#lastBytes = Uint8Array.of(last[last.length - 1]!);
    } else if (this.holdsEnd && this.#headIsAll()) return;
    this.#connection.write(this, "", true);
  }

  /** A head that promises no bytes, of a response that is not finished: it would look like all of it. */
  #headIsAll(): boolean {
    const promisesNone = this.#framing === "none" || this.#framing === "content-length";
    return promisesNone && this.#owedBytes === 0 && this.responseBodyBytes === 0 && !this.responseDone;
  }

  abort(): void {
    this.keepAlive = false;
    this.#brokenOff = true;
    this.leaveUnfinished();
    this.#connection.abort(this);
  }

  /** @internal What is there of a response that will show to be cut is not kept from the client; what would look whole is. */
  leaveUnfinished(): void {
    if (this.#willShow()) this.flush();
    else this.#connection.takeBackHead(this);
  }

  takeBack(): boolean {
    if (this.response === undefined || this.responseDone || this.#tunnel || this.#willShow()) return false;
    if (!this.#connection.takeBackHead(this)) return false;
    this.response = undefined;
    this.responseBodyBytes = 0;
    this.#framing = "none";
    return true;
  }

  /** A response that ends here shows to be cut. */
  #willShow(): boolean {
    return this.#owedBytes > 0 || this.#lastBytes !== undefined || this.#framing === "chunked" || this.#endsByClosing();
  }

  #endsByClosing(): boolean {
    return this.#framing === "until-close";
  }

  /** @internal An end of the connection would be taken for the end of the response, which is not there yet. */
  get wouldLookDone(): boolean {
    return this.#endsByClosing() && !this.responseDone;
  }

  disableKeepAlive(): void {
    this.keepAlive = false;
  }

  /** @internal The request cannot be served any more. */
  fail(error: ProxyError): void {
    if (this.error !== undefined) {
      // Not the reason any more, but whoever answers the failed request need not go on.
      this.onGone?.(error.setSource("downstream"));
      return;
    }
    this.error = error.setSource("downstream");
    if (!this.responseDone && !this.#brokenOff) this.failedBefore = this.response === undefined ? "head" : "end";
    this.keepAlive = false;
    this.onGone?.(this.error);
    this.#events?.onDownstreamError(this.error);
  }

  #tooLong(bytes: number): ProxyError {
    const context = `the response body is ${bytes - this.#owedBytes} bytes or more longer than its Content-Length`;
    return ProxyError.internal("InternalError", context).setDetail("content-length");
  }

  /** RFC 9110, section 7.8; and section 9.3.6, by which any 2xx to a CONNECT does. */
  #changesProtocol(status: number): boolean {
    if (status === 101 && this.upgrade === undefined) {
      throw ProxyError.internal("InternalError", "a 101 to a request that did not ask to change the protocol");
    }
    return status === 101 || (this.isConnect && status >= 200 && status < 300);
  }

  /** With the head that says so, both sides speak something else. */
  #changeProtocol(header: ResponseHeader): void {
    // RFC 9110, section 8.6: none in a 101 or a 2xx to CONNECT; a client that believed it would take the tunnel for a body.
    header.remove("content-length");
    this.keepAlive = false;
    this.#tunnel = true;
    this.#connection.write(this, responseHeadText(header, "none", this.isConnect ? undefined : "upgrade"), true);
    this.#framing = "until-close";
    this.#connection.openTunnel(this);
  }

  /** Whether what is left of the request body may be read and dropped after the response. */
  #mayDrain(): boolean {
    const { earlyResponse, maxDrainBytes } = this.ownLimits ?? this.#connection.options;
    if (earlyResponse === "close" || this.#connection.requestBodyLeft(this) > maxDrainBytes) return false;
    // RFC 9110, section 10.1.1: a client that was not told to go on may send its next request instead of the body.
    return !this.#expectsContinue() || this.#saidContinue || this.requestBodyBytes > 0;
  }

  #expectsContinue(): boolean {
    return this.request.has("expect");
  }

  /** RFC 9112, section 6.3. */
  #chooseFraming(header: ResponseHeader, end: boolean): BodyFraming {
    const status = header.status;
    // RFC 9110, section 8.6: none in a 204; a client that believed it would wait for the bytes.
    if (status === 204) header.remove("content-length");
    // RFC 9110, section 15.3.6: a 205 has no content, and a client may not look for any.
    if (status === 205) {
      header.setContentLength(0);
      return "none";
    }
    if (this.#isHead || status === 204 || status === 304) return "none";
    const lengths = header.getAll("content-length");
    if (lengths.length > 0) {
      this.#owedBytes = lengths.length === 1 ? parseLength(lengths[0]!) : -1;
      if (this.#owedBytes < 0) {
        const shown = JSON.stringify(lengths.join(", "));
        throw ProxyError.internal("InvalidHTTPHeader", `a response with Content-Length ${shown}`);
      }
      return "content-length";
    }
    if (end) {
      header.setContentLength(0);
      return "content-length";
    }
    return this.#version === "1.0" ? "until-close" : "chunked";
  }

  /** RFC 9112, section 9.3: persistence is the rule in 1.1 and asked for by name in 1.0. */
  #connectionValue(): string | undefined {
    if (!this.keepAlive) return "close";
    return this.#version === "1.0" ? "keep-alive" : undefined;
  }
}

function wrongKind(status: number, wanted: string): ProxyError {
  return ProxyError.internal("InternalError", `status ${status} cannot be that of ${wanted}`);
}
