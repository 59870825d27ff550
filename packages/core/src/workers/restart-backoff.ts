/** One that has lived this long was well, whatever it died of. */
const WELL_AFTER_MS = 10_000;

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 30_000;

/**
 * How long to wait before a worker that died is replaced: not at all if it had been well, so that its place is not empty;
 * else longer each time, so that one that cannot live does not keep the machine busy.
 */
export class RestartBackoff {
  #deaths = 0;

  /** @param livedMs How long it had been ready; 0 for one that never was. */
  delayMs(livedMs: number): number {
    if (livedMs >= WELL_AFTER_MS) this.#deaths = 0;
    const delay = this.#deaths === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (this.#deaths - 1), MAX_DELAY_MS);
    this.#deaths++;
    return delay;
  }
}
