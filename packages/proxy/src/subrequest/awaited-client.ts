import type { ServerSession, ServerSessionEvents } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";

/** Bytes of the client, or the end of its body or of its direction. */
export type ClientInput = Buffer | { readonly trailers: HeaderFields | undefined };

/**
 * A client's session for who waits instead of listening: input is asked for piece by piece, and nothing more is read
 * meanwhile.
 */
export class AwaitedClient implements ServerSessionEvents {
  readonly #downstream: ServerSession;
  readonly #onError: (error: ProxyError) => void;
  readonly #inputs: ClientInput[] = [];
  #waiter: ((input: ClientInput | undefined) => void) | undefined = undefined;
  #onWritable: (() => void) | undefined = undefined;
  /** The session was left: to others, or by the client. */
  over = false;

  /** @param onError Called once, when the client is lost; then everything that waits is given up. */
  constructor(downstream: ServerSession, onError: (error: ProxyError) => void) {
    this.#downstream = downstream;
    this.#onError = onError;
    downstream.pauseBody();
    downstream.events = this;
  }

  /** The next input; `undefined` when the session was left. One call at a time. */
  next(): Promise<ClientInput | undefined> {
    const input = this.#inputs.shift();
    if (input !== undefined || this.over) return Promise.resolve(input);
    return new Promise((resolve) => {
      this.#waiter = resolve;
      this.#downstream.resumeBody();
    });
  }

  /** Until `writeBody`, which said to wait, can be called again, or the session was left. */
  writable(): Promise<void> {
    return this.over ? Promise.resolve() : new Promise((resolve) => (this.#onWritable = resolve));
  }

  /** Leaves the session to others. */
  leave(): void {
    if (this.over) return;
    this.over = true;
    if (this.#downstream.events === this) this.#downstream.events = undefined;
    this.#waiter?.(undefined);
    this.#onWritable?.();
  }

  onRequestData(chunk: Buffer): void {
    this.#downstream.keepChunk();
    this.#give(chunk);
  }

  onRequestEnd(trailers: HeaderFields | undefined): void {
    this.#give({ trailers });
  }

  onRequestBatch(): void {
    // Nothing is held back to leave together.
  }

  onDownstreamWritable(): void {
    this.#onWritable?.();
    this.#onWritable = undefined;
  }

  onDownstreamError(error: ProxyError): void {
    this.leave();
    this.#onError(error);
  }

  #give(input: ClientInput): void {
    if (this.over) return;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) this.#inputs.push(input);
    else waiter(input);
    this.#downstream.pauseBody();
  }
}
