/**
 * Something that a server runs: a listener with its app, a health checker, a metrics endpoint.
 *
 * Made ready-to-use by the packages (`httpProxy(…)`, `backgroundService(…)`); implement it for anything else.
 */
export interface Service {
  /** Shown in logs. */
  readonly name: string;
  /**
   * Called once. Resolves when the service is ready: sockets bound, a first round done. Services start in the order in
   * which they were added, each after the one before is ready. Rejecting stops the server's start.
   */
  start(): Promise<void>;
  /**
   * Called once, at shutdown: takes nothing new and resolves when nothing is in flight.
   * @param force Aborts when the grace period is over; then everything ends at once.
   */
  stop(force: AbortSignal): Promise<void>;
}
