import path from "node:path";
import type { ServerConf } from "../config/server-conf.ts";
import { standardLog } from "../log/log-sinks.ts";
import { logger } from "../log/logger.ts";
import type { ProcessRole } from "../server/process-role.ts";
import { tellParent } from "../server/tell-parent.ts";
import type { DaemonMessage } from "./daemon-messages.ts";
import { PidFile } from "./pid-file.ts";
import type { Account } from "./privileges.ts";
import { daemonFolder } from "./start-daemon.ts";

/** Nobody but the account and its group gets at what a daemon creates. */
const UMASK = 0o007;

/** How often a process is signalled that may not be yet. */
const NOTIFY_AGAIN_MS = 100;

/** This process, where it is a server in the background. */
export class DaemonProcess {
  readonly #conf: ServerConf;
  readonly #pidFile: PidFile;
  readonly #parent: number = process.ppid;
  #told = false;
  /** The server before has a pid file to get back, should this one not serve. */
  #owesPidFile: boolean;

  private constructor(conf: ServerConf, hadPidFile: boolean) {
    this.#conf = conf;
    this.#owesPidFile = hadPidFile;
    this.#pidFile = new PidFile(path.resolve(conf.pid_file));
  }

  /**
   * Leaves where it was started, and writes to its log. Rejects when the folder or the log is not there, which the process that has
   * started this one is told.
   */
  static async begin(
    conf: ServerConf,
    { errorLog, hadPidFile }: Extract<ProcessRole, { kind: "daemon" }>,
  ): Promise<DaemonProcess> {
    try {
      if (errorLog !== undefined) standardLog.toFile(errorLog);
      process.chdir(daemonFolder(conf));
    } catch (error) {
      await tellFailure(error);
      throw error;
    }
    process.umask(UMASK);
    return new DaemonProcess(conf, hadPidFile);
  }

  /** @throws ProxyError when the pid file cannot be written. */
  writePid(account: Account | undefined): void {
    this.#pidFile.write(account?.user && { uid: account.user.uid, gid: account.gid });
  }

  /** The process that has started this one need not wait any longer. Does nothing when called again. */
  started(): void {
    if (this.#told) return;
    this.#told = true;
    const { daemon_wait_for_ready, daemon_notify_timeout_seconds } = this.#conf;
    if (daemon_wait_for_ready) this.#notify(performance.now() + daemon_notify_timeout_seconds * 1000);
    else void tellParent({ daemon: "started" } satisfies DaemonMessage).then(() => this.#leave());
  }

  /** This process serves, in the place of the server before if there was one. */
  serves(): void {
    this.#owesPidFile = false;
    this.started();
  }

  /** This process ends: the one that has started it is told why, if it still waits. */
  failed(error: unknown): Promise<void> {
    this.#leavePidFile();
    if (this.#told) return Promise.resolve();
    this.#told = true;
    return tellFailure(error);
  }

  ended(): void {
    this.#leavePidFile();
    this.#leave();
  }

  #leavePidFile(): void {
    this.#pidFile.remove();
    if (!this.#owesPidFile) return;
    this.#owesPidFile = false;
    try {
      this.#pidFile.restore();
    } catch (err) {
      const { path: pid_file } = this.#pidFile;
      logger("core").error({ err, pid_file }, "could not give the pid file of the server before its name back");
    }
  }

  #notify(giveUpAtMs: number): void {
    // Not there any more: another process may have its number.
    if (!process.connected) return;
    try {
      process.kill(this.#parent, "SIGUSR1");
      this.#leave();
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "EPERM" && performance.now() < giveUpAtMs) {
        setTimeout(() => this.#notify(giveUpAtMs), NOTIFY_AGAIN_MS);
        return;
      }
      logger("core").error({ err, pid: this.#parent }, "could not tell the starting process that the daemon is ready");
      this.#leave();
    }
  }

  #leave(): void {
    if (process.connected) process.disconnect?.();
  }
}

function tellFailure(error: unknown): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  return tellParent({ daemon: "failed", message } satisfies DaemonMessage);
}
