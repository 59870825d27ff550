import { ProxyError } from "@sluice/error";
import type { HeaderFields, RequestHeader } from "@sluice/http";
import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { SubrequestEvent } from "./subrequest-event.ts";
import { SubrequestLink } from "./subrequest-link.ts";
import { SubrequestSession, type SubrequestBodyMode } from "./subrequest-session.ts";

export interface SubrequestHandleOptions {
  /**
   * How long what was answered may wait to be taken, once the handle holds more than a little of it (65,536 bytes or four
   * events). Milliseconds; 0 waits for ever. Default 60,000, as for clients: an answer that was forgotten must not keep its
   * upstream's connection. On expiry: `WriteTimedout`.
   */
  writeMs?: number;
  /** How long to wait for the next bytes of the request body. Milliseconds. Default 0: for ever. On expiry: `ReadTimedout`. */
  bodyMs?: number;
}

/**
 * The client's end of a subrequest: takes the request body and gives the response. Where a session on a socket would write
 * bytes, this one makes events, so nothing is turned into text and read again.
 *
 * The response is read by `for await (const event of handle)` or {@link next}, or thrown away by {@link drain}. Whoever does
 * not read it holds the subrequest up, once a little has gathered.
 */
export class SubrequestHandle implements AsyncIterable<SubrequestEvent> {
  readonly #link: SubrequestLink;
  #begun = false;
  #waiter: PromiseWithResolvers<SubrequestEvent | undefined> | undefined = undefined;
  #drained: PromiseWithResolvers<void> | undefined = undefined;

  /** @throws RangeError or TypeError for an option that cannot be. */
  constructor(options: SubrequestHandleOptions = {}) {
    checkOptionNames("SubrequestHandle", options, ["writeMs", "bodyMs"]);
    const link = new SubrequestLink(timeOf(options, "writeMs", 60_000), timeOf(options, "bodyMs", 0));
    link.output.onAdded = () => this.#wake();
    link.onClosed = () => this.#wake();
    this.#link = link;
  }

  /**
   * Makes the session to give to an app; once. A head that cannot be served makes a session with its `error` set.
   * @param request Taken over.
   * @param digest That of the client on whose behalf the request is made; a copy is kept.
   * @throws ProxyError `InternalError` on a second call.
   */
  begin(request: RequestHeader, digest: ConnectionDigest, body: SubrequestBodyMode): SubrequestSession {
    if (this.#begun) throw ProxyError.internal("InternalError", "a subrequest's handle begins one session only");
    this.#begun = true;
    return new SubrequestSession(request, digest, body, this.#link);
  }

  /**
   * `true` as soon as the subrequest begins to read its body, `false` if it ends without. To send a body before it is wanted
   * does no harm, but a subrequest that is answered at once never takes it.
   */
  get wantsBody(): Promise<boolean> {
    return this.#link.wantsBody.promise;
  }

  /** The first error that the request failed with, also if it was answered for; `undefined` when it ended without any. */
  get proxyError(): Promise<ProxyError | undefined> {
    return this.#link.proxyError.promise;
  }

  /** Events that can be taken at once. */
  get waiting(): number {
    return this.#link.output.length;
  }

  /**
   * For who stands between the subrequest and somebody who has limits of its own: neither `bodyMs` nor `writeMs` holds, whatever
   * the app sets. To be called before it begins.
   */
  disableLimits(): void {
    this.#link.untimed = true;
  }

  /**
   * For who may still refuse the request body when its last byte was given: one of known length, too, is complete only when
   * {@link finishBody} says so, which may then say trailers. Its last bytes wait until then. To be called before any are given.
   */
  holdEnd(): void {
    this.#link.tellsEnd = true;
  }

  /** Called when bytes can be written again after {@link writeBody} said `false`. */
  set onWritable(call: (() => void) | undefined) {
    this.#link.input.onEmptied = call;
  }

  /**
   * Gives bytes of the request body, whose memory is the subrequest's from then on. What goes beyond the Content-Length is
   * cut, with a line in the log. After a 101 they are bytes of the other protocol. `false` asks to wait for
   * {@link onWritable}; nothing is lost if one does not.
   */
  writeBody(chunk: Uint8Array): boolean {
    if (chunk.length === 0) return !this.#link.input.full;
    return this.#link.input.add(asBuffer(chunk));
  }

  /**
   * Ends the request body. Fewer bytes than its Content-Length says are the error `PrematureBodyEnd` of the subrequest. After
   * a 101 the next call ends our direction of the tunnel; of a request without body, the first.
   */
  finishBody(trailers?: HeaderFields): void {
    this.#link.input.add({ trailers });
  }

  /**
   * The next event, once it is there; `undefined` after the end, and when the subrequest ended without any answer.
   * @throws ProxyError (the promise rejects) when the response was cut, after all that came of it; `InternalError` when
   * another call still waits.
   */
  next(): Promise<SubrequestEvent | undefined> {
    if (this.#waiter !== undefined) {
      return Promise.reject(ProxyError.internal("InternalError", "another next() of this subrequest still waits"));
    }
    this.#waiter = Promise.withResolvers();
    const { promise } = this.#waiter;
    this.#wake();
    return promise;
  }

  /** Who leaves the loop before the end cancels the subrequest. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SubrequestEvent, void, undefined> {
    let over = false;
    try {
      while (!over) {
        const event = await this.next();
        over = event === undefined || event.type === "end";
        if (event !== undefined) yield event;
      }
    } finally {
      if (!over) this.cancel();
    }
  }

  /**
   * Throws away what was answered and will be; a body can still be sent. Resolves when nothing more comes, also if the
   * response was cut.
   */
  drain(): Promise<void> {
    this.#drained ??= Promise.withResolvers();
    this.#link.dropping = true;
    this.#wake();
    return this.#drained.promise;
  }

  /**
   * Gives the subrequest up: what is not complete of it fails, as if its client had left. Has no effect once it was answered
   * in full.
   * @param error Default: `ConnectionClosed` while the request body is not complete, else `WriteError`.
   */
  cancel(error?: ProxyError): void {
    const link = this.#link;
    link.cancelled = true;
    link.onCancelled?.(error);
  }

  #wake(): void {
    const { output, closed, failure } = this.#link;
    if (this.#drained !== undefined) {
      while (this.#take() !== undefined);
      if (closed) this.#drained.resolve();
    }
    const waiter = this.#waiter;
    if (waiter === undefined || (output.length === 0 && !closed)) return;
    this.#waiter = undefined;
    const event = this.#take();
    if (event === undefined && failure !== undefined) waiter.reject(failure);
    else waiter.resolve(event);
  }

  #take(): SubrequestEvent | undefined {
    const event = this.#link.output.take();
    if (event !== undefined) this.#link.onTaken?.();
    return event;
  }
}

function timeOf(options: SubrequestHandleOptions, name: "writeMs" | "bodyMs", otherwise: number): number {
  const ms: unknown = options[name] ?? otherwise;
  if (typeof ms === "number" && ms >= 0) return ms;
  throw new RangeError(`SubrequestHandle: ${name}: expected a number of at least 0, got ${shown(ms)}`);
}

function asBuffer(chunk: Uint8Array): Buffer {
  return chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
