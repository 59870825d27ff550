import { logger } from "@sluice/core";
import type { BackendState, Thresholds } from "./backend-state.ts";
import type { Backend } from "./backend.ts";
import { DEFAULT_CHECK_TIMEOUT_MS, type HealthCheck } from "./health-check.ts";
import { within } from "./within.ts";

const log = logger("load-balancing");

export interface HealthRound {
  check: HealthCheck;
  states: readonly BackendState[];
  /** How many checks run at a time. */
  concurrency: number;
  /** Whether the backend is still in the set; the outcome for one that left is dropped. */
  isCurrent: (state: BackendState) => boolean;
  /** Told of each check that counts. */
  onChecked?: ((state: BackendState, check: FinishedCheck) => void) | undefined;
  /** Ends the round at once; checks that were cut off by it do not count. */
  signal?: AbortSignal | undefined;
}

interface FinishedCheck {
  success: boolean;
  /** The health of the backend is another than before. */
  changed: boolean;
  /** What the check rejected with. */
  error: unknown;
  checkMs: number;
}

/** Checks each backend once. Never rejects. */
export async function runHealthRound(round: HealthRound): Promise<void> {
  const queue = round.states.values();
  const runner = async (): Promise<void> => {
    // The iterator is shared: each runner takes the next one.
    for (const state of queue) await checkOne(state, round);
  };
  await Promise.all(Array.from({ length: Math.min(round.concurrency, round.states.length) }, runner));
}

async function checkOne(state: BackendState, round: HealthRound): Promise<void> {
  const { check, signal } = round;
  if (signal?.aborted) return;
  const { backend } = state;
  let failed = false;
  let error: unknown;
  const startMs = performance.now();
  try {
    await within(
      check.timeoutMs ?? DEFAULT_CHECK_TIMEOUT_MS,
      `health check of ${backend.address.text}`,
      signal,
      (limit) => check.check(backend, limit),
    );
  } catch (thrown) {
    failed = true;
    error = thrown;
  }
  if (signal?.aborted || !round.isCurrent(state)) return;
  const changed = state.observe(!failed, error, thresholdsOf(check));
  if (changed) tellChange(check, state.backend, !failed, error);
  round.onChecked?.(state, { success: !failed, changed, error, checkMs: performance.now() - startMs });
}

function thresholdsOf(check: HealthCheck): Thresholds {
  return { success: check.consecutiveSuccess ?? 1, failure: check.consecutiveFailure ?? 1 };
}

function tellChange(check: HealthCheck, backend: Backend, healthy: boolean, err: unknown): void {
  const callbackFailed = (thrown: unknown): void =>
    log.error({ backend: backend.address.text, healthy, err: thrown }, "onStatusChange of the health check failed");
  try {
    check.onStatusChange?.(backend, healthy)?.catch(callbackFailed);
  } catch (thrown) {
    callbackFailed(thrown);
  }
  const name = summarize(check, backend);
  if (healthy) log.info({ backend: name }, "backend becomes healthy");
  else log.warn({ backend: name, err }, "backend becomes unhealthy");
}

function summarize(check: HealthCheck, backend: Backend): string {
  try {
    return check.summary?.(backend) ?? backend.address.text;
  } catch (err) {
    log.error({ backend: backend.address.text, err }, "summary of the health check failed");
    return backend.address.text;
  }
}
