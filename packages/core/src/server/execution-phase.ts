import { eventChannel, type EventChannel } from "../diagnostics.ts";
import { logger } from "../log/logger.ts";

/**
 * Where a server is in its life:
 * - `Setup`: `run()` was not called yet.
 * - `Bootstrap`: it takes over listening sockets, if it was asked to, and binds.
 * - `BootstrapComplete`: that is done; its privileges are dropped.
 * - `Running`: its services are ready.
 * - `GracefulUpgradeTransferringFds`: it gives its listening sockets to the next one. `Running` follows when that fails.
 * - `GracefulTerminate`: SIGTERM came.
 * - `ShutdownStarted`: it takes nothing new, whatever the reason.
 * - `ShutdownGracePeriod`: it waits for what is in flight; not when it was told to end fast.
 * - `ShutdownRuntimes`: nothing is in flight any more, or had its time; what is left is ended.
 * - `Terminated`: all is over.
 */
export type ExecutionPhase =
  | "Setup"
  | "Bootstrap"
  | "BootstrapComplete"
  | "Running"
  | "GracefulUpgradeTransferringFds"
  | "GracefulTerminate"
  | "ShutdownStarted"
  | "ShutdownGracePeriod"
  | "ShutdownRuntimes"
  | "Terminated";

/** A server has come to another phase. */
export interface PhaseMessage {
  readonly phase: ExecutionPhase;
  /** Milliseconds since the process was started. */
  readonly atMs: number;
}

/** Where the server of this process is in its life. */
export const phaseChannel: EventChannel<PhaseMessage> = eventChannel("sluice:server:phase");

/** Knows the phase, and tells of each new one. */
export class PhaseWatch {
  #phase: ExecutionPhase = "Setup";
  readonly #listeners = new Set<(phase: ExecutionPhase) => void>();

  get current(): ExecutionPhase {
    return this.#phase;
  }

  /** Nothing happens when it is that one already. */
  enter(phase: ExecutionPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    logger("core").debug({ phase }, "server phase");
    if (phaseChannel.hasSubscribers) phaseChannel.publish({ phase, atMs: performance.now() });
    for (const listener of this.#listeners) {
      try {
        listener(phase);
      } catch (err) {
        logger("core").error({ err, phase }, "a listener of the server's phases failed");
      }
    }
  }

  /** Calls `listener` with each phase from now on, until the function that it returns is called. */
  watch(listener: (phase: ExecutionPhase) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
