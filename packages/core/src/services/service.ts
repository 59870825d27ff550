import type { Listener } from "../listeners/listener.ts";

/**
 * Something that a server runs: a listener with its app, a health checker, a metrics endpoint.
 *
 * Made ready-to-use by the packages (`httpProxy(…)`, `backgroundService(…)`); implement it for anything else.
 */
export interface Service {
  /** Shown in logs. */
  readonly name: string;
  /**
   * Where there are workers: runs in the process that has started them, and not in each of them. Default false. Services of this kind
   * start before the others and end after them; what they find out reaches the workers by the server's bus.
   */
  readonly oncePerServer?: boolean;
  /** What it listens on: bound by the server before it gives up its privileges, taken over from the one before. */
  readonly listeners?: readonly Listener[];
  /**
   * Called once. Resolves when the service is ready: sockets bound, a first round done. A service starts when those it waits for
   * are ready; by default these are all that were added before it. Rejecting stops the server's start.
   */
  start(): Promise<void>;
  /**
   * Called once, at shutdown: takes nothing new and resolves when nothing is in flight.
   * @param force Aborts when the grace period is over; then everything ends at once.
   */
  stop(force: AbortSignal): Promise<void>;
}
