/** Whoever gives a request to an app. */
export interface Handing {
  onHandled(): void;
  onHandlerFailed(error: unknown): void;
}

/** So many requests are under way at a time in most processes; 200 bytes each. */
const MAX_FREE = 256;

const free: Handled[] = [];

/**
 * Tells who gave a request to an app that it was handled. Its functions are used for one request after another, of any connection: made for
 * each request they would be garbage, and for each connection memory, of which one that waits should need little.
 */
export class Handled {
  #from: Handing | undefined = undefined;

  /** Calls one of the two of `from` when `handling` is settled; soon, if an app gave no promise, whatever its types say. */
  static tell(handling: Promise<void>, from: Handing): void {
    // Once, also by what only looks like one: the next end that it told would be somebody else's.
    const promise = Promise.resolve(handling);
    const handled = free.pop() ?? new Handled();
    handled.#from = from;
    promise.then(handled.#done, handled.#failed);
  }

  readonly #done = (): void => this.#take().onHandled();
  readonly #failed = (error: unknown): void => this.#take().onHandlerFailed(error);

  #take(): Handing {
    const from = this.#from!;
    this.#from = undefined;
    if (free.length < MAX_FREE) free.push(this);
    return from;
  }
}
