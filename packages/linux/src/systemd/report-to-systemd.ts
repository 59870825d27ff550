import { subscribe } from "node:diagnostics_channel";
import { checkOptions, checkType } from "../check-options.ts";
import { LinuxError } from "../linux-error.ts";
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

/** Of `@sluice/core`, which this package does not need. */
const RELOAD_START = "sluice:server:reload-start";
const RELOAD_END = "sluice:server:reload";

interface ReloadEnd {
  readonly outcome: "applied" | "refused";
}

const STATUS = { applied: "serving", refused: "serving; the last reload was refused, the log says why" };

/**
 * Tells systemd when a server is ready, when it reloads (`Type=notify-reload`) and when it stops, and answers its watchdog. Call it before the server runs. In a worker it
 * does nothing, and where nobody wants to know: without `NOTIFY_SOCKET`.
 *
 * A server that has handed its sockets over stops in silence: for systemd the service goes on, with the new main process.
 * @throws LinuxError `EINVAL` for a server that is none, and for an option that cannot be.
 */
export function reportToSystemd(server: ReportedServer, options: ReportToSystemdOptions = {}): void {
  const attempted = "reporting to systemd";
  if (typeof server?.onPhase !== "function") {
    throw new LinuxError("EINVAL", attempted, "the server must be one of @sluice/core, or have onPhase()");
  }
  checkOptions(attempted, options, ["onError", "env"]);
  const { onError = warn, env = process.env } = options;
  checkType(attempted, "onError", onError, "function");
  let watchdog: Watchdog | undefined;
  /** Only the process that has the listening sockets passes through `Bootstrap`. */
  let isServer = false;
  let isHandingOver = false;
  /** It is ready, and has neither begun to stop nor handed over. */
  let serves = false;
  let isReloading = false;
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
      serves = true;
      watchdog ??= startWatchdog(onError, undefined, env);
    },
    ShutdownStarted: () => {
      serves = false;
      watchdog?.stop();
      if (isServer && !isHandingOver) tell({ stopping: true, status: "finishing what is in flight" });
    },
  };
  server.onPhase((phase) => phases[phase]?.());
  if (env["NOTIFY_SOCKET"] === undefined) return;
  subscribe(RELOAD_START, () => {
    isReloading = serves;
    if (isReloading) tell({ reloading: true });
  });
  subscribe(RELOAD_END, (message) => {
    // One that stops meanwhile takes nothing back.
    if (isReloading && serves) tell({ ready: true, status: STATUS[(message as ReloadEnd).outcome] });
    isReloading = false;
  });
}

export function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
