import { logger } from "@sluice/core";

const log = logger("sentry");

export interface UncaughtErrorOptions {
  /** Called with each error that nobody caught, and whether it was a promise that rejected. */
  readonly report: (error: unknown, origin: NodeJS.UncaughtExceptionOrigin) => void;
  /** Resolves when what was reported is on its way; within a bound. */
  readonly flush: () => Promise<unknown>;
}

/** What the process waits for before it ends. */
const flushes = new Set<UncaughtErrorOptions["flush"]>();

let ending = false;

/**
 * Sees errors that nobody catches. Node would end the process before a report could leave it, so where nobody else decides what is to
 * become of the process, it ends here, as Node would do it, a little later. Returns how to undo it.
 */
export function watchUncaughtErrors({ report, flush }: UncaughtErrorOptions): () => void {
  const onMonitor = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void => report(error, origin);
  process.on("uncaughtExceptionMonitor", onMonitor);
  if (flushes.size === 0) process.on("uncaughtException", endUnlessOthersDo);
  flushes.add(flush);
  return () => {
    process.off("uncaughtExceptionMonitor", onMonitor);
    flushes.delete(flush);
    if (flushes.size === 0) process.off("uncaughtException", endUnlessOthersDo);
  };
}

function endUnlessOthersDo(err: unknown, origin: NodeJS.UncaughtExceptionOrigin): void {
  // A server that drains first, for one.
  if (process.listenerCount("uncaughtException") > 1) return;
  log.fatal({ err, origin }, "an error that nobody caught; ending");
  if (ending) return;
  ending = true;
  void Promise.allSettled(Array.from(flushes, (flush) => flush())).then(() => process.exit(1));
}
