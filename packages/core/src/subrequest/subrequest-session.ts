import { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { ServerSession, ServerSessionEvents } from "../http/server-session.ts";
import { DEFAULT_SESSION_LIMITS, SessionLimits } from "../http/session-limits.ts";
import { Framing, parseLength } from "../http1/framing.ts";
import { malformed } from "../http1/reject.ts";
import { checkRequest, normaliseTarget, wantedUpgrade } from "../http1/request-rules.ts";
import { nowMs } from "../net/clock.ts";
import { Deadline } from "../net/deadline.ts";
import { removeBodyFields } from "./subrequest-head.ts";
import { SubrequestBody } from "./subrequest-body.ts";
import type { SubrequestEvent } from "./subrequest-event.ts";
import type { SubrequestLink } from "./subrequest-link.ts";

/**
 * Whether the subrequest has a body: `"none"`, whatever its head says; `"expect"`: as long as its Content-Length says, and
 * without one until the handle ends it; `"upgrade"`: none either, but it may ask to change the protocol, as with `"expect"`.
 */
export type SubrequestBodyMode = "none" | "expect" | "upgrade";

/** How the end of the response body is known. */
type ResponseFraming = "none" | "content-length" | "until-end";

/**
 * A request that nobody sent: an app serves it as any other, while a {@link SubrequestHandle} stands where the client would
 * be. Response heads pass as they are, without Date and Connection; interim ones always pass.
 */
export class SubrequestSession implements ServerSession {
  readonly request: RequestHeader;
  readonly digest: ConnectionDigest;
  readonly headReadAtMs: number = nowMs();
  /** Never asked for with `"none"`: nobody would be there to speak the other protocol. */
  readonly upgrade: string | undefined;
  readonly requestBodyEmpty: boolean;
  /** `bodyMs` and `writeMs` are for the handle to keep; the others have no effect, since there is no connection. */
  readonly limits: SessionLimits;
  error: ProxyError | undefined = undefined;
  failedBefore: "head" | "end" | undefined = undefined;
  onGone: ((error: ProxyError) => void) | undefined = undefined;
  response: ResponseHeader | undefined = undefined;
  responseBodyBytes = 0;
  responseDone = false;
  readonly #link: SubrequestLink;
  readonly #body: SubrequestBody;
  readonly #isHead: boolean;
  #framing: ResponseFraming = "none";
  /** Body bytes that Content-Length still promises. */
  #owedBytes = 0;
  /** Made when the reader falls behind for the first time. */
  #writeDeadline: Deadline | undefined = undefined;
  /** What the app said the request failed with. */
  #reported: ProxyError | undefined = undefined;

  /** @internal Made by {@link SubrequestHandle.begin}. */
  constructor(request: RequestHeader, digest: ConnectionDigest, body: SubrequestBodyMode, link: SubrequestLink) {
    this.request = request;
    this.digest = copyOf(digest);
    this.limits = new SessionLimits({ ...DEFAULT_SESSION_LIMITS, bodyMs: link.bodyMs, writeMs: link.writeMs });
    this.#link = link;
    this.#isHead = request.method === "HEAD";
    if (body !== "expect") removeBodyFields(request);
    const { length, upgrade, error } = readHead(request);
    this.requestBodyEmpty = body !== "expect" || length === 0;
    this.upgrade = body === "none" ? undefined : upgrade;
    this.#body = new SubrequestBody(this, link, this.requestBodyEmpty ? 0 : length);
    link.output.onEmptied = () => this.#emptied();
    link.onTaken = () => this.#watchReader();
    link.onCancelled = (reason) => this.#cancelled(reason);
    if (error !== undefined) this.fail(error);
    else if (link.cancelled) this.#cancelled(undefined);
  }

  get requestBodyDone(): boolean {
    return this.#body.done;
  }

  get requestBodyBytes(): number {
    return this.#body.bytes;
  }

  /** Without effect: the end of a subrequest is told by itself, not by a count of bytes. */
  holdsEnd = false;

  /** The reader has what it is given for as long as it likes. */
  get holdsBytes(): boolean {
    return !this.#link.dropping;
  }

  get events(): ServerSessionEvents | undefined {
    return this.#body.events;
  }

  set events(events: ServerSessionEvents | undefined) {
    this.#body.listen(events);
  }

  /** Nothing to do: what comes from the handle is the reader's. */
  keepChunk(): void {}

  /** The same. */
  lendChunk(): void {}

  pauseBody(): void {
    this.#body.pause();
  }

  resumeBody(): void {
    this.#body.resume();
  }

  writeInformational(header: ResponseHeader): boolean {
    if (header.status >= 200 || header.status === 101) throw wrongKind(header.status, "an interim head");
    if (this.response === undefined) this.#add({ type: "informational", header: header.clone() });
    return !this.#link.output.full;
  }

  writeHeader(header: ResponseHeader, end: boolean): void {
    if (this.response !== undefined) {
      throw ProxyError.internal("InternalError", `a second response head (status ${header.status}) on one request`);
    }
    if (header.status < 200 && header.status !== 101) throw wrongKind(header.status, "a final head");
    this.#framing = this.#chooseFraming(header, end);
    this.response = header;
    const bodyless = this.#framing === "none" || (this.#framing === "content-length" && this.#owedBytes === 0);
    this.#add({ type: "header", header: header.clone(), bodyless });
    this.#body.answered(header.status === 101);
  }

  writeBody(chunk: Uint8Array): boolean {
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "body bytes before the response head");
    }
    if (chunk.length === 0 || this.#framing === "none" || this.responseDone) return true;
    if (this.#framing === "content-length") {
      // What is cut to the promised length would look whole.
      if (chunk.length > this.#owedBytes) throw this.#tooLong(chunk.length);
      this.#owedBytes -= chunk.length;
    }
    if (this.#link.closed) return true;
    this.responseBodyBytes += chunk.length;
    this.#add({ type: "data", data: chunk });
    return !this.#link.output.full;
  }

  finish(trailers?: HeaderFields): void {
    if (this.responseDone) return;
    if (this.response === undefined) {
      throw ProxyError.internal("InternalError", "the response was finished before its head was written");
    }
    if (this.#owedBytes > 0) {
      const context = `the response body ended ${this.#owedBytes} bytes before its Content-Length`;
      const error = new ProxyError("PrematureBodyEnd", { context });
      this.#link.close(error);
      throw error;
    }
    this.responseDone = true;
    if (trailers !== undefined && trailers.size > 0 && this.#framing !== "none")
      this.#add({ type: "trailers", trailers });
    this.#add({ type: "end" });
    this.#link.close();
  }

  /** Nothing to do: nothing is held. */
  flush(): void {}

  abort(): void {
    this.#link.close(this.#cutError());
  }

  /** Nothing to do: there is no connection. */
  disableKeepAlive(): void {}

  /** Tells the handle what the request failed with; the first such error counts. */
  reportFailure(error: ProxyError): void {
    this.#reported ??= error;
    this.#link.proxyError.resolve(error);
  }

  /**
   * The app is through with the request. A response that was begun and not completed is cut then; one of which every byte
   * that its Content-Length promised is there counts as complete.
   */
  close(): void {
    this.#body.close();
    if (this.#framing === "content-length" && this.#owedBytes === 0 && !this.#link.closed) this.finish();
    // Never begun, and nobody knows of an error: the handle is told that nothing comes.
    this.#link.close(this.response === undefined ? (this.#reported ?? this.error) : this.#cutError());
    this.#link.wantsBody.resolve(false);
    this.#link.proxyError.resolve(undefined);
    this.#writeDeadline?.dispose();
  }

  /** @internal The request cannot be served any more. */
  fail(error: ProxyError): void {
    if (this.error !== undefined) {
      // Not the reason any more, but whoever answers the failed request need not go on.
      this.onGone?.(error.setSource("downstream"));
      return;
    }
    this.error = error.setSource("downstream");
    if (!this.responseDone) this.failedBefore = this.response === undefined ? "head" : "end";
    this.#body.stopTimer();
    this.onGone?.(this.error);
    this.#body.events?.onDownstreamError(this.error);
  }

  #cancelled(reason: ProxyError | undefined): void {
    // What was answered in full has nothing left to be cut, but a tunnel has another direction.
    if (this.responseDone && (this.response?.status !== 101 || this.#body.done)) return;
    const error = reason ?? this.#abandoned();
    this.#link.close(error);
    this.fail(error);
  }

  #abandoned(): ProxyError {
    return this.requestBodyDone
      ? ProxyError.downstream("WriteError", "nobody takes the response to the subrequest any more")
      : ProxyError.downstream("ConnectionClosed", "the subrequest was given up before its body was complete");
  }

  /** What whoever reads a response that was cut is told. */
  #cutError(): ProxyError {
    const cause = this.#reported ?? this.error;
    const context = "the response to the subrequest was cut";
    return cause === undefined ? ProxyError.internal("ConnectionClosed", context) : cause.moreContext(context);
  }

  #add(event: SubrequestEvent): void {
    if (this.#link.closed) return;
    if (!this.#link.output.add(event)) this.#watchReader();
  }

  #emptied(): void {
    this.#writeDeadline?.clear();
    if (this.error === undefined) this.#body.events?.onDownstreamWritable();
  }

  /** Each time that something is taken gives the reader its time anew. */
  #watchReader(): void {
    const { output, closed } = this.#link;
    if (!output.full || closed) {
      this.#writeDeadline?.clear();
      return;
    }
    this.#writeDeadline ??= new Deadline(() => this.#onReaderLate());
    this.#writeDeadline.set(this.#link.untimed ? 0 : this.limits.writeMs);
  }

  #onReaderLate(): void {
    const context = `nobody took the response to the subrequest for ${this.limits.writeMs} ms`;
    const error = ProxyError.downstream("WriteTimedout", context);
    this.#link.close(error);
    this.fail(error);
  }

  #tooLong(bytes: number): ProxyError {
    const context = `the response body is ${bytes - this.#owedBytes} bytes or more longer than its Content-Length`;
    return ProxyError.internal("InternalError", context).setDetail("content-length");
  }

  /** As on a connection (RFC 9112, section 6.3), but nothing of the head is changed: whoever passes it on does that. */
  #chooseFraming(header: ResponseHeader, end: boolean): ResponseFraming {
    const { status } = header;
    if (status === 101) {
      if (this.upgrade !== undefined) return "until-end";
      throw ProxyError.internal("InternalError", "a 101 to a request that did not ask to change the protocol");
    }
    if (this.#isHead || status === 204 || status === 205 || status === 304) return "none";
    const lengths = header.getAll("content-length");
    if (lengths.length === 0) return end ? "content-length" : "until-end";
    const length = lengths.length === 1 ? parseLength(lengths[0]!) : -1;
    if (length < 0) {
      const shown = JSON.stringify(lengths.join(", "));
      throw ProxyError.internal("InvalidHTTPHeader", `a response with Content-Length ${shown}`);
    }
    this.#owedBytes = length;
    return "content-length";
  }
}

/** What the connection would tell, as of now: a subrequest may outlive the client. */
function copyOf({ remoteAddress, localAddress, establishedAtMs, tls }: ConnectionDigest): ConnectionDigest {
  return { remoteAddress, localAddress, establishedAtMs, tls, descriptor: undefined };
}

/** Read out at once, so one does for all. */
const FRAMING = new Framing();

/** Applies to the head what would be demanded of one on a connection. `length` is infinite where none is told. */
function readHead(request: RequestHeader): { length: number; upgrade: string | undefined; error?: ProxyError } {
  const framing = FRAMING;
  try {
    if (request.method === "CONNECT") throw malformed("a subrequest that asks for a tunnel by CONNECT", 501);
    framing.read(request);
    checkRequest(request, framing);
    if (request.target.charCodeAt(0) !== 0x2f) normaliseTarget(request);
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return { length: 0, upgrade: undefined, error };
  }
  // RFC 9112, section 6.1: Transfer-Encoding decides.
  if (framing.contradictory) request.remove("content-length");
  const length = framing.chunked || framing.contentLength < 0 ? Number.POSITIVE_INFINITY : framing.contentLength;
  return { length, upgrade: wantedUpgrade(request, framing) };
}

function wrongKind(status: number, wanted: string): ProxyError {
  return ProxyError.internal("InternalError", `status ${status} cannot be that of ${wanted}`);
}
