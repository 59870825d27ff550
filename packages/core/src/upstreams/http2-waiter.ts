import type { ProxyError } from "@sluice/error";
import type { ClientSession } from "../http/client-session.ts";
import { Deadline } from "../net/deadline.ts";
import type { HttpPeer } from "./http-peer.ts";

/** One who waits for a free stream: until there is one, `connectMs` is over, or the client has left. */
export class Http2Waiter {
  readonly peer: HttpPeer;
  /** Only a connection with extended CONNECT will do. */
  readonly needsExtendedConnect: boolean;
  readonly promise: Promise<ClientSession>;
  #resolve!: (session: ClientSession | PromiseLike<ClientSession>) => void;
  #reject!: (error: unknown) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  readonly #deadline: Deadline;

  /**
   * @param onGone It does not wait any more, for one of these two reasons.
   * @param tooLate What it has waited for in vain, when `connectMs` is over.
   */
  constructor(
    peer: HttpPeer,
    needsExtendedConnect: boolean,
    signal: AbortSignal | undefined,
    onGone: (waiter: Http2Waiter, error: unknown) => void,
    tooLate: () => ProxyError,
  ) {
    this.peer = peer;
    this.needsExtendedConnect = needsExtendedConnect;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#signal = signal;
    this.#onAbort = () => {
      this.reject(signal!.reason);
      onGone(this, signal!.reason);
    };
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#deadline = new Deadline(() => {
      const error = tooLate();
      this.reject(error);
      onGone(this, error);
    });
    this.#deadline.set(peer.connectMs);
  }

  /** @param session One, or that which follows from going another way, under the same signal. */
  resolve(session: ClientSession | PromiseLike<ClientSession>): void {
    this.#settle();
    this.#resolve(session);
  }

  reject(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  get signal(): AbortSignal | undefined {
    return this.#signal;
  }

  #settle(): void {
    this.#deadline.dispose();
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}
