import { behindWholeTurn } from "@sluice/core";

/**
 * Runs `work` for `ms` milliseconds at most, and no longer than until `outer` aborts: whichever comes first aborts the
 * signal that `work` gets and rejects, whether `work` reacts or not.
 * @param what Stands in the message of the error it then rejects with.
 */
export function within<T>(
  ms: number,
  what: string,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const inner = new AbortController();
    const giveUp = (reason: unknown): void => {
      settle();
      inner.abort(reason);
      reject(reason);
    };
    const onTimeout = (): void => giveUp(new Error(`${what} took longer than ${ms} ms`));
    const onOuterAbort = (): void => giveUp(outer?.reason);
    let settled = false;
    const expire = (): void => void (settled || onTimeout());
    // What came in time is read first, though this process stood still: a check that was done then would count as failed.
    const timer = setTimeout(() => behindWholeTurn(expire), ms);
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
      outer?.removeEventListener("abort", onOuterAbort);
    };
    if (outer?.aborted) {
      giveUp(outer.reason);
      return;
    }
    outer?.addEventListener("abort", onOuterAbort, { once: true });
    // Within a promise, so that a throw of work itself rejects as well.
    Promise.resolve()
      .then(() => work(inner.signal))
      .then(resolve, reject)
      .finally(settle);
  });
}
