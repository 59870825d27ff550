import { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";
import type { ServerSessionEvents } from "../http/server-session.ts";
import { logger } from "../log/logger.ts";
import { Deadline } from "../net/deadline.ts";
import type { SubrequestInput, SubrequestLink } from "./subrequest-link.ts";

const log = logger("core");

/**
 * Where the reading stands:
 * - `body`: the body is not complete → `ended`, `raw` (the protocol was changed meanwhile)
 * - `ended`: it is; what follows waits for a change of protocol → `raw`, or is none of it → dropped
 * - `raw`: the protocol was changed → `closed`
 * - `closed`: nothing follows
 */
type State = "body" | "ended" | "raw" | "closed";

/** What the body's owner has to tell. */
interface BodyOwner {
  readonly request: { readonly method: string; readonly target: string };
  readonly upgrade: string | undefined;
  readonly error: ProxyError | undefined;
  readonly limits: { readonly bodyMs: number };
  fail(error: ProxyError): void;
}

/** Delivers the bytes that a subrequest's handle gives, as far as they are the request's and somebody wants them. */
export class SubrequestBody {
  events: ServerSessionEvents | undefined = undefined;
  /** Bytes delivered. */
  bytes = 0;
  readonly #owner: BodyOwner;
  readonly #link: SubrequestLink;
  /** Bytes that are still due; infinite where the handle says when it is over. */
  #owedBytes: number;
  #state: State;
  #paused = false;
  #pumping = false;
  /** The last piece of a body of known length, which waits for the handle to tell the end. */
  #lastPiece: Buffer | undefined = undefined;
  /** The body ended by its length: the handle's end of it is still to come, and tells nothing new. */
  #endIsKnown = false;
  /** A 101 was answered. */
  #tunnel = false;
  /** Something else was answered. */
  #refusedUpgrade = false;
  #warned = false;
  #deadline: Deadline | undefined = undefined;

  /** @param length Of the body: 0 for none, infinite if the handle says when it is over. */
  constructor(owner: BodyOwner, link: SubrequestLink, length: number) {
    this.#owner = owner;
    this.#link = link;
    this.#owedBytes = length;
    this.#state = length === 0 ? "ended" : "body";
    link.input.onAdded = () => this.#pump();
  }

  get done(): boolean {
    return this.#state === "ended" || this.#state === "closed";
  }

  listen(events: ServerSessionEvents | undefined): void {
    this.events = events;
    if (events === undefined) {
      this.#deadline?.clear();
      return;
    }
    if (!this.done) this.#link.wantsBody.resolve(true);
    this.#pump();
  }

  pause(): void {
    this.#paused = true;
    this.#deadline?.clear();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pump();
  }

  /** The final head was written. */
  answered(tunnel: boolean): void {
    this.#tunnel = tunnel;
    this.#refusedUpgrade = !tunnel;
    if (tunnel && this.#state === "ended") this.#beginTunnel();
  }

  /** Nobody is late any more. */
  stopTimer(): void {
    this.#deadline?.dispose();
  }

  /** The request is over. */
  close(): void {
    this.#state = "closed";
    this.events = undefined;
    this.stopTimer();
    // Whoever waits to write need wait no longer.
    this.#link.input.onAdded = () => this.#link.input.clear();
    this.#link.input.clear();
  }

  /** Whoever has just written the head is not called back inside that call. */
  #beginTunnel(): void {
    this.#state = "raw";
    this.#link.wantsBody.resolve(true);
    queueMicrotask(() => this.#pump());
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#mayDeliver()) {
        const item = this.#link.input.take();
        if (item === undefined) break;
        this.#use(item);
      }
    } finally {
      this.#pumping = false;
    }
    if (this.#owner.error === undefined) this.events?.onRequestBatch();
    this.#watch();
  }

  #mayDeliver(): boolean {
    if (this.events === undefined || this.#paused || this.#owner.error !== undefined) return false;
    if (this.#state !== "ended" || this.#owner.upgrade === undefined || this.#refusedUpgrade) return true;
    // What follows the body may be the first bytes of another protocol, which is not agreed on yet.
    return this.#endIsKnown && !(this.#link.input.next instanceof Uint8Array);
  }

  #use(item: SubrequestInput): void {
    if (item instanceof Uint8Array) this.#useBytes(item);
    else if (this.#endIsKnown) this.#endIsKnown = false;
    else if (this.#state === "body") this.#endBody(item.trailers);
    else if (this.#state === "raw") this.#endTunnel();
  }

  #useBytes(bytes: Buffer): void {
    if (this.#state === "body") this.#takeBody(bytes);
    else if (this.#state === "raw") this.#deliver(bytes);
    else this.#warnOfSurplus(bytes.length);
  }

  #takeBody(bytes: Buffer): void {
    const surplus = bytes.length - this.#owedBytes;
    if (surplus > 0) this.#warnOfSurplus(surplus);
    if (this.#owedBytes === 0) return;
    const piece = surplus > 0 ? bytes.subarray(0, this.#owedBytes) : bytes;
    this.#owedBytes -= piece.length;
    if (this.#owedBytes === 0 && this.#link.tellsEnd) {
      this.#lastPiece = piece;
      return;
    }
    this.#deliver(piece);
    if (this.#owedBytes > 0) return;
    this.#endIsKnown = true;
    this.#end(undefined);
  }

  #endBody(trailers: HeaderFields | undefined): void {
    if (this.#owedBytes > 0 && this.#owedBytes !== Number.POSITIVE_INFINITY) {
      const context = `the body of the subrequest ended ${this.#owedBytes} bytes before its Content-Length`;
      this.#owner.fail(new ProxyError("PrematureBodyEnd", { context }));
      return;
    }
    if (this.#lastPiece !== undefined) this.#deliver(this.#lastPiece);
    this.#end(trailers);
  }

  #end(trailers: HeaderFields | undefined): void {
    this.#state = "ended";
    this.events?.onRequestEnd(trailers);
    if (this.#tunnel) this.#beginTunnel();
  }

  #endTunnel(): void {
    this.#state = "closed";
    this.events?.onRequestEnd(undefined);
  }

  #deliver(piece: Buffer): void {
    this.bytes += piece.length;
    this.events?.onRequestData(piece);
  }

  #warnOfSurplus(bytes: number): void {
    if (this.#warned) return;
    this.#warned = true;
    const { method, target } = this.#owner.request;
    log.warn({ request: `${method} ${target}`, bytes }, "more came for a subrequest than its body; it is dropped");
  }

  #watch(): void {
    const { bodyMs } = this.#owner.limits;
    const waits = this.#state === "body" && this.events !== undefined && !this.#paused;
    if (!waits || bodyMs === 0 || this.#link.untimed || this.#owner.error !== undefined) {
      this.#deadline?.clear();
      return;
    }
    this.#deadline ??= new Deadline(() => this.#onLate());
    this.#deadline.set(bodyMs);
  }

  #onLate(): void {
    const context = `the subrequest was given no body bytes for ${this.#owner.limits.bodyMs} ms`;
    this.#owner.fail(new ProxyError("ReadTimedout", { context, status: 408 }));
  }
}
