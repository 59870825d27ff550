import { checkOptionNames, shown, type ServerSession, type ServerSessionEvents } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { ResponseHeader, type HeaderFields, type RequestHeader } from "@sluice/http";
import { BodyPieces } from "./body-pieces.ts";
import type { Phase } from "./phase.ts";
import type { Session } from "./session.ts";

export interface RequestBodyOptions {
  /**
   * Bytes that the body may have. More is answered with 413, unless the error is caught; by a longer Content-Length before a
   * byte was read. For `readRequestBody` an integer from 0 to 2,147,483,648, since all of it is in memory; for
   * `drainRequestBody` any number of at least 0.
   */
  maxBytes: number;
  /**
   * Time for all of it, from the call on; `bodyMs` goes for each wait besides. Milliseconds up to 2,147,483,647; 0 or Infinity
   * sets no limit. Default 60,000. On expiry: 408, unless the error is caught.
   */
  timeoutMs?: number;
}

/** Who waits for the end of the body. */
interface Waiter {
  readonly maxBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: ProxyError) => void;
  timer: NodeJS.Timeout | undefined;
}

type Use = "readRequestBody" | "drainRequestBody";

const MAX_READ_BYTES = 2_147_483_648;
const MAX_TIMEOUT_MS = 2_147_483_647;
const DEFAULT_TIMEOUT_MS = 60_000;
const OPTION_NAMES = ["maxBytes", "timeoutMs"];

/** Here nothing of the body has gone up, and what follows can wait. */
const PHASES: ReadonlySet<Phase> = new Set<Phase>([
  "earlyRequestFilter",
  "requestFilter",
  "proxyUpstreamFilter",
  "upstreamPeer",
]);

/**
 * Reads the body of a request for hooks, before it goes up. Bytes that were read are kept, also when the reading fails, so that
 * the body can go up all the same; only what is drained is gone.
 */
export class RequestBodyReader implements ServerSessionEvents {
  /** What was read and not drained. */
  readonly kept: BodyPieces = new BodyPieces();
  /** Bytes that were read, those that were drained included. */
  bytes = 0;
  /** The body came to its end. */
  ended: boolean;
  /** What followed it. */
  trailers: HeaderFields | undefined = undefined;
  /** Bytes were thrown away. */
  drained = false;
  /** The client waited to be told to go on, and was told. */
  saidContinue = false;
  /** What is being done, or was last. */
  use: Use = "readRequestBody";
  readonly #session: Session;
  readonly #downstream: ServerSession;
  /** Not one at a time: each has limits of its own. */
  readonly #waiters: Waiter[] = [];
  #whole: Buffer | undefined = undefined;

  constructor(session: Session) {
    this.#session = session;
    this.#downstream = session.downstream;
    this.ended = session.downstream.requestBodyEmpty;
    if (this.ended) this.#whole = this.kept.join();
  }

  /** Somebody waits for the end of the body. */
  get reading(): boolean {
    return this.#waiters.length > 0;
  }

  /** See `Session.readRequestBody`. */
  read(options: RequestBodyOptions): Promise<Buffer> {
    return heard(this.#read(options));
  }

  /** See `Session.drainRequestBody`. */
  drain(options: RequestBodyOptions): Promise<void> {
    return heard(this.#drain(options));
  }

  /** The head goes up; the client, which has sent its body or been told to, waits for no permission any more. */
  prepare(outgoing: RequestHeader): void {
    if (this.saidContinue || this.bytes > 0) outgoing.remove("Expect");
  }

  /** Nobody wants the body any more: the request is answered, or has failed. */
  close(): void {
    if (this.reading) this.#endAll(misuse(this.use, "the request was over before the end of its body had come"));
  }

  /** Nothing is sent again: its memory is of no more use. */
  release(): void {
    this.kept.clear();
    this.#whole = undefined;
  }

  onRequestData(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (!this.drained && this.kept.add(chunk)) this.#downstream.keepChunk();
    for (let at = this.#waiters.length - 1; at >= 0; at--) {
      const waiter = this.#waiters[at]!;
      if (this.bytes > waiter.maxBytes) this.#fail(waiter, tooLarge(waiter.maxBytes));
    }
    // The end may have come with these bytes, and would be told to nobody.
    if (!this.reading) this.#downstream.pauseBody();
  }

  onRequestEnd(trailers: HeaderFields | undefined): void {
    this.ended = true;
    this.trailers = trailers;
    if (!this.drained) this.#join();
    this.#endAll(undefined);
  }

  onRequestBatch(): void {
    if (!this.reading) this.#leave();
    this.#sayContinue();
  }

  #sayContinue(): void {
    if (this.saidContinue || !this.reading || !this.#session.request.has("expect")) return;
    // RFC 9110, section 10.1.1: nobody behind us is asked yet, and the client waits for this before it sends its body.
    this.saidContinue = true;
    this.#downstream.writeInformational(ResponseHeader.build(100));
  }

  onDownstreamWritable(): void {
    // Nothing was written that has to wait.
  }

  onDownstreamError(error: ProxyError): void {
    this.#endAll(error);
  }

  async #read(options: RequestBodyOptions): Promise<Buffer> {
    const limits = checkedOptions("readRequestBody", options, MAX_READ_BYTES);
    this.#checkCall("readRequestBody");
    if (this.drained) throw misuse("readRequestBody", "the body was drained before");
    if (this.ended) checkBytes(this.bytes, limits.maxBytes);
    else await this.#toEnd("readRequestBody", limits);
    if (this.#whole === undefined)
      throw misuse("readRequestBody", `there is no memory for ${this.bytes} bytes at once`);
    return this.#whole;
  }

  async #drain(options: RequestBodyOptions): Promise<void> {
    const limits = checkedOptions("drainRequestBody", options, Number.POSITIVE_INFINITY);
    this.#checkCall("drainRequestBody");
    if (!this.ended) await this.#toEnd("drainRequestBody", limits);
  }

  #checkCall(use: Use): void {
    const session = this.#session;
    const { phase } = session;
    // An upstreamPeer that reads the body does so for each attempt.
    const mayRead = session.tries <= 1 || this.ended;
    if (session.failure !== undefined || !PHASES.has(phase) || !mayRead) {
      const where = phase === "upstreamPeer" ? "upstreamPeer of a further attempt" : phase;
      const hint = "it may have begun to go up; read it in a filter of the request, or before the first attempt";
      throw ProxyError.internal("InternalError", `session.${use} in ${where}: ${hint}`);
    }
    session.throwIfOver();
    if (session.answered) throw misuse(use, "the request was answered before");
    if (this.ended) return;
    if (isLost(this.#downstream, this.bytes)) throw misuse(use, "somebody else has read of the body before");
    const { events } = this.#downstream;
    if (events !== undefined && (events !== this || this.use !== use)) {
      throw misuse(use, events === this ? `session.${this.use} is still busy` : "somebody else reads the body");
    }
  }

  #toEnd(use: Use, { maxBytes, timeoutMs }: Required<RequestBodyOptions>): Promise<void> {
    checkBytes(Math.max(this.bytes, declaredBytes(this.#session.request)), maxBytes);
    this.use = use;
    if (use === "drainRequestBody") {
      this.drained = true;
      this.kept.clear();
    }
    return new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { maxBytes, resolve, reject, timer: undefined };
      if (timeoutMs > 0 && timeoutMs !== Number.POSITIVE_INFINITY) {
        waiter.timer = setTimeout(() => this.#onTimeout(waiter, timeoutMs), timeoutMs);
      }
      this.#waiters.push(waiter);
      if (this.#waiters.length > 1) return;
      // What has arrived comes at once, inside of this.
      this.#downstream.events = this;
      // Whoever drove the session before may have left it paused.
      this.#downstream.resumeBody();
      // A stream of HTTP/2 of which nothing has come tells of no batch.
      if (this.#session.request.has("expect")) setImmediate(() => this.#sayContinue());
    });
  }

  /** A failure here would end the process: nobody is above this event who could take it. */
  #join(): void {
    try {
      this.#whole = this.kept.join();
    } catch {
      this.#whole = undefined;
    }
  }

  #onTimeout(waiter: Waiter, timeoutMs: number): void {
    this.#fail(waiter, tooLate(timeoutMs, this.bytes));
    if (!this.reading) this.#leave();
  }

  /** Leaves the session as it was found, for whoever comes next. */
  #leave(): void {
    this.#downstream.events = undefined;
    this.#downstream.resumeBody();
  }

  /** One waits no longer. The body is read on as long as others do. */
  #fail(waiter: Waiter, error: ProxyError): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    clearTimeout(waiter.timer);
    waiter.reject(error);
  }

  #endAll(error: ProxyError | undefined): void {
    this.#leave();
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }
}

/**
 * To be called before the first attempt.
 * @throws ProxyError `InternalError` for a body that cannot go up whole: of which a hook has read, and not by
 * `readRequestBody`, or still reads.
 */
export function checkBodyIsThere(session: Session): void {
  const { bodyReader, downstream } = session;
  if (bodyReader?.reading === true)
    throw misuse(bodyReader.use, "the request is about to go up; await the end of its body");
  if (bodyReader?.drained === true)
    throw misuse("drainRequestBody", "the body is gone, so the request must be answered");
  if (bodyReader?.ended !== true && isLost(downstream, bodyReader?.bytes ?? 0)) {
    const context = "a hook has read of the request body, and it cannot go up whole; session.readRequestBody keeps it";
    throw ProxyError.internal("InternalError", context);
  }
}

/** Somebody else has read of a body of which so many bytes were read here, and not the end. */
function isLost({ requestBodyBytes, requestBodyDone, requestBodyEmpty }: ServerSession, readBytes: number): boolean {
  return !requestBodyEmpty && (requestBodyDone || requestBodyBytes !== readBytes);
}

/** @throws TypeError or RangeError naming the option that cannot be. */
function checkedOptions(use: Use, options: RequestBodyOptions, mostBytes: number): Required<RequestBodyOptions> {
  if (typeof options !== "object" || options === null) throw new TypeError(`${use}: expected { maxBytes, timeoutMs? }`);
  checkOptionNames(use, options, OPTION_NAMES);
  const { maxBytes, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const whole = mostBytes === Number.POSITIVE_INFINITY || Number.isInteger(maxBytes);
  if (typeof maxBytes !== "number" || !(maxBytes >= 0 && maxBytes <= mostBytes && whole)) {
    const wanted = mostBytes === MAX_READ_BYTES ? `an integer from 0 to ${mostBytes}` : "a number of at least 0";
    throw new RangeError(`${use}: maxBytes: expected ${wanted}, got ${shown(maxBytes)}`);
  }
  const mayWait = timeoutMs >= 0 && (timeoutMs <= MAX_TIMEOUT_MS || timeoutMs === Number.POSITIVE_INFINITY);
  if (typeof timeoutMs !== "number" || !mayWait) {
    throw new RangeError(`${use}: timeoutMs: expected 0 to ${MAX_TIMEOUT_MS}, or Infinity, got ${shown(timeoutMs)}`);
  }
  return { maxBytes, timeoutMs };
}

/** What the head says of the length; 0 where it says nothing. The session has checked that it is one. */
function declaredBytes(request: RequestHeader): number {
  return Number(request.get("content-length") ?? 0);
}

/** @throws ProxyError with status 413. */
function checkBytes(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): ProxyError {
  const context = `the request body has more than ${maxBytes} bytes`;
  return new ProxyError("HTTPStatus", { source: "downstream", status: 413, context });
}

function tooLate(timeoutMs: number, bytes: number): ProxyError {
  const context = `the request body was not complete within ${timeoutMs} ms; ${bytes} bytes came`;
  return new ProxyError("ReadTimedout", { source: "downstream", status: 408, context });
}

/** A promise that nobody waits for must not end the process. */
function heard<T>(reading: Promise<T>): Promise<T> {
  reading.catch(() => undefined);
  return reading;
}

function misuse(use: Use, what: string): ProxyError {
  return ProxyError.internal("InternalError", `session.${use}: ${what}`);
}
