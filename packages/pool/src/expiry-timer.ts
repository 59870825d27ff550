/** No sweep follows another sooner than this, so that many deadlines close together cost one sweep. Milliseconds. */
const MIN_DELAY_MS = 10;
/** The longest delay `setTimeout` takes; a timer that fires before its time finds nothing due and is armed again. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * One timer for many deadlines. It moves only towards an earlier deadline, so a deadline later than the armed one, which
 * is the common case, costs a comparison. It does not keep the process alive.
 */
export class ExpiryTimer {
  readonly #onDue: () => void;
  #deadline = Infinity;
  #timer: NodeJS.Timeout | undefined;

  /** @param onDue Sweeps what is due and calls {@link armBy} with the earliest deadline that is left. */
  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** Sees to it that `onDue` runs soon after `deadline`, a time of `performance.now()`, at the latest. */
  armBy(deadline: number): void {
    if (deadline >= this.#deadline) return;
    clearTimeout(this.#timer);
    this.#deadline = deadline;
    const delay = Math.ceil(deadline - performance.now());
    this.#timer = setTimeout(this.#fire, Math.min(Math.max(delay, MIN_DELAY_MS), MAX_DELAY_MS));
    this.#timer.unref();
  }

  disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#deadline = Infinity;
  }

  readonly #fire = (): void => {
    this.disarm();
    this.#onDue();
  };
}
