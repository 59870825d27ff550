import type { Backend } from "./backend.ts";

/** How backends are probed. Write your own for another protocol; only `check` is required. */
export interface HealthCheck {
  /**
   * Resolves if the backend is well, rejects with what is wrong. Called for each backend in each round, also for disabled
   * ones; several at a time, but never twice at a time for one backend within a round.
   * @param signal Aborts when the time of this check is over, or at shutdown: free what you hold. A check that does not
   * react counts as failed all the same.
   */
  check(backend: Backend, signal: AbortSignal): Promise<void>;
  /** Total time for one check, in milliseconds, more than 0. Default 5000. */
  readonly timeoutMs?: number;
  /** Successes in a row until an unhealthy backend counts as healthy. At least 1, which is the default. */
  readonly consecutiveSuccess?: number;
  /** Failures in a row until a healthy backend counts as unhealthy. At least 1, which is the default. */
  readonly consecutiveFailure?: number;
  /**
   * Called when a backend has become healthy or unhealthy, after selection knows of it. Nobody waits for it (Pingora
   * does); what it throws, or rejects with, is logged.
   */
  onStatusChange?(backend: Backend, healthy: boolean): void | Promise<void>;
  /** How logs name the backend when its health changes. Default: its address. */
  summary?(backend: Backend): string;
}

/** The default of {@link HealthCheck.timeoutMs}. */
export const DEFAULT_CHECK_TIMEOUT_MS = 5000;
