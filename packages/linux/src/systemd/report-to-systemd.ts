import { notifySystemd } from "./notify.ts";
import { startWatchdog, type Watchdog } from "./watchdog.ts";

/** What is reported: a `Server` of `@sluice/core`, or anything else that passes through the same phases. */
export interface ReportedServer {
  /** Calls the listener with each phase from now on; returns how to undo it. */
  onPhase(listener: (phase: string) => void): () => void;
}

export interface ReportToSystemdOptions {
  /** Told when systemd could not be told. Default: a warning of the process. */
  onError?: (error: unknown) => void;
  /** Default: that of this process. */
  env?: NodeJS.ProcessEnv;
}

/**
 * Tells systemd when a server is ready and when it stops, and answers its watchdog. Call it before the server runs. In a worker it
 * does nothing, and where nobody wants to know: without `NOTIFY_SOCKET`.
 *
 * A server that has handed its sockets over stops in silence: for systemd the service goes on, with the new main process.
 */
export function reportToSystemd(server: ReportedServer, options: ReportToSystemdOptions = {}): void {
  const { onError = warn, env = process.env } = options;
  let watchdog: Watchdog | undefined;
  /** Only the process that has the listening sockets passes through `Bootstrap`. */
  let isServer = false;
  let isHandingOver = false;
  const tell = (state: Parameters<typeof notifySystemd>[0]): void => {
    try {
      notifySystemd(state, env);
    } catch (error) {
      onError(error);
    }
  };
  const phases: Readonly<Record<string, () => void>> = {
    Bootstrap: () => (isServer = true),
    GracefulUpgradeTransferringFds: () => (isHandingOver = true),
    Running: () => {
      if (!isServer) return;
      if (!isHandingOver) tell({ ready: true, mainPid: process.pid, status: "serving" });
      isHandingOver = false;
      watchdog ??= startWatchdog(onError, undefined, env);
    },
    ShutdownStarted: () => {
      watchdog?.stop();
      if (isServer && !isHandingOver) tell({ stopping: true, status: "finishing what is in flight" });
    },
  };
  server.onPhase((phase) => phases[phase]?.());
}

export function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
