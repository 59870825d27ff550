import type { SubrequestHandle } from "@sluice/core";
import { ProxyError } from "@sluice/error";

/** The subrequests of one service that nobody waits for, but its end. */
export class BackgroundSubrequests {
  readonly #running = new Map<SubrequestHandle, Promise<void>>();
  #ended = false;

  /** How many run. */
  get size(): number {
    return this.#running.size;
  }

  /** @throws ProxyError `InternalError` when the service has ended. */
  checkOpen(): void {
    if (this.#ended) throw ProxyError.internal("InternalError", "a subrequest after the end of its service");
  }

  /** @param done Resolves when it is over; never rejects. */
  add(handle: SubrequestHandle, done: Promise<void>): void {
    this.#running.set(handle, done);
    void done.then(() => this.#running.delete(handle));
  }

  /**
   * Waits until all are over, also those that begin meanwhile; then none can begin any more.
   * @param force Gives up those that still run.
   */
  async end(force: AbortSignal): Promise<void> {
    const cut = (): void => {
      for (const handle of this.#running.keys()) {
        const error = ProxyError.downstream("ConnectionClosed", "we cut the subrequest: the server stops");
        handle.cancel(error.setDetail("server-stop"));
      }
    };
    force.addEventListener("abort", cut, { once: true });
    while (this.#running.size > 0) {
      if (force.aborted) cut();
      await Promise.all(this.#running.values());
    }
    force.removeEventListener("abort", cut);
    this.#ended = true;
  }
}
