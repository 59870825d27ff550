import { logger, Roster, type RosterMember, type SubrequestHandle } from "@sluice/core";
import { ProxyError } from "@sluice/error";

/** What subrequests that were given up have for telling it to their `logging` hook. */
const LAST_WORDS_MS = 1000;

const log = logger("proxy");

interface Running extends RosterMember {
  readonly handle: SubrequestHandle;
  /** For the log. */
  readonly name: string;
  readonly done: Promise<void>;
}

/** The subrequests of one service that nobody waits for, but its end. */
export class BackgroundSubrequests {
  readonly #running = new Roster<Running>();
  #ended = false;

  /** How many run. */
  get size(): number {
    return this.#running.size;
  }

  /** @throws ProxyError `InternalError` when the service has ended. */
  checkOpen(): void {
    if (this.#ended) throw ProxyError.internal("InternalError", "a subrequest after the end of its service");
  }

  /**
   * @param name The method and target, for the log.
   * @param done Resolves when it is over; never rejects.
   */
  add(handle: SubrequestHandle, name: string, done: Promise<void>): void {
    const running = { handle, name, done, rosterPlace: -1 };
    this.#running.add(running);
    void done.then(() => this.#running.delete(running));
  }

  /**
   * Waits until all are over, also those that begin meanwhile; then none can begin any more.
   * @param force Gives up those that still run. Those that are not over a second later, as one whose `logging` hook never
   * settles, are named in the log and left.
   */
  async end(force: AbortSignal): Promise<void> {
    const late = Promise.withResolvers<boolean>();
    let timer: NodeJS.Timeout | undefined;
    const cut = (): void => {
      this.#cutAll();
      timer ??= setTimeout(() => late.resolve(true), LAST_WORDS_MS);
    };
    force.addEventListener("abort", cut, { once: true });
    for (let isLate = false; this.#running.size > 0 && !isLate;) {
      if (force.aborted) cut();
      const all = Promise.all(Array.from(this.#running, ({ done }) => done));
      isLate = await Promise.race([all.then(() => false), late.promise]);
    }
    force.removeEventListener("abort", cut);
    clearTimeout(timer);
    this.#ended = true;
    if (this.#running.size === 0) return;
    // Some may have begun since.
    this.#cutAll();
    const requests = Array.from(this.#running, ({ name }) => name);
    log.warn({ requests }, `subrequests are still busy ${LAST_WORDS_MS} ms after they were cut; not waiting for them`);
  }

  #cutAll(): void {
    for (const { handle } of this.#running) {
      const error = ProxyError.downstream("ConnectionClosed", "we cut the subrequest: the server stops");
      handle.cancel(error.setDetail("server-stop"));
    }
  }
}
