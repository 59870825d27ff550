import type { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";
import { BoundedQueue } from "./bounded-queue.ts";
import type { SubrequestEvent } from "./subrequest-event.ts";

/** Bytes that go to the subrequest, or their end. */
export type SubrequestInput = Buffer | { readonly trailers: HeaderFields | undefined };

/** A promise with its outcome to be told. The compiler of whoever uses our types may not know `PromiseWithResolvers`. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

/** What a subrequest's session and its handle share. */
export class SubrequestLink {
  readonly input: BoundedQueue<SubrequestInput> = new BoundedQueue((item) =>
    item instanceof Uint8Array ? item.length : 0,
  );
  readonly output: BoundedQueue<SubrequestEvent> = new BoundedQueue((event) =>
    event.type === "data" ? event.data.length : 0,
  );
  readonly wantsBody: Deferred<boolean> = Promise.withResolvers();
  readonly proxyError: Deferred<ProxyError | undefined> = Promise.withResolvers();
  /** How long `output` may be full without anything being taken, unless the app says otherwise. Milliseconds; 0: for ever. */
  readonly writeMs: number;
  /** How long to wait for `input`, likewise. */
  readonly bodyMs: number;
  /** Neither of them holds. */
  untimed = false;
  /** The end of the request body is told by the handle in any case. */
  tellsEnd = false;
  /** What is in `output` is thrown away as it comes. */
  dropping = false;
  /** Nothing follows what is in `output`. */
  closed = false;
  /** The response was cut; comes after what is in `output`. */
  failure: ProxyError | undefined = undefined;
  /** The handle was given up. */
  cancelled = false;
  /** Tells the session. */
  onCancelled: ((error: ProxyError | undefined) => void) | undefined = undefined;
  /** Tells the handle of {@link closed}. */
  onClosed: (() => void) | undefined = undefined;
  /** Tells the session that something was taken off `output`. */
  onTaken: (() => void) | undefined = undefined;

  constructor(writeMs: number, bodyMs: number) {
    this.writeMs = writeMs;
    this.bodyMs = bodyMs;
  }

  /** Ends the response: whole, never begun, or cut by `failure`. */
  close(failure?: ProxyError): void {
    if (this.closed) return;
    this.closed = true;
    this.failure = failure;
    this.onClosed?.();
  }
}
