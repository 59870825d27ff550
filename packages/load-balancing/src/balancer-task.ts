import { logger, type BackgroundTask } from "@sluice/core";

const log = logger("load-balancing");

/** What the task drives; times in milliseconds. */
export interface BalancerTaskOptions {
  update: (signal: AbortSignal) => Promise<void>;
  checkHealth: (signal: AbortSignal) => Promise<void>;
  updateIntervalMs: number | undefined;
  healthCheckIntervalMs: number | undefined;
}

/**
 * Keeps a balancer up to date: discovery, then a round of health checks, then ready; after that each at its interval.
 * Without intervals it ends after the first turn. Discovery and checks do not overlap, and a slow one delays the other.
 */
export function balancerTask(options: BalancerTaskOptions): BackgroundTask {
  return { run: (shutdown, ready) => run(options, shutdown, ready) };
}

async function run(options: BalancerTaskOptions, shutdown: AbortSignal, ready: () => void): Promise<void> {
  let first = true;
  let updateAt = 0;
  let checkAt = 0;
  while (!shutdown.aborted) {
    const start = performance.now();
    if (updateAt <= start) {
      updateAt = start + jittered(options.updateIntervalMs);
      await updateOrLog(options, shutdown);
    }
    if (checkAt <= start) {
      checkAt = start + jittered(options.healthCheckIntervalMs);
      await options.checkHealth(shutdown);
    }
    if (first) ready();
    first = false;
    const next = Math.min(updateAt, checkAt);
    if (next === Infinity) return;
    await sleep(next - performance.now(), shutdown);
  }
}

async function updateOrLog(options: BalancerTaskOptions, shutdown: AbortSignal): Promise<void> {
  try {
    await options.update(shutdown);
  } catch (err) {
    if (!shutdown.aborted) log.warn({ err }, "discovery failed; the backends stay as they are");
  }
}

/** Up to a tenth shorter, so that the checkers of many processes do not stay in step, and an interval is never exceeded. */
function jittered(intervalMs: number | undefined): number {
  return intervalMs === undefined ? Infinity : intervalMs * (1 - Math.random() / 10);
}

/** Resolves after `ms`, or as soon as the signal aborts. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(ms, 0));
    signal.addEventListener("abort", done, { once: true });
  });
}
