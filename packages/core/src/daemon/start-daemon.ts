import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, fchownSync } from "node:fs";
import path from "node:path";
import { ProxyError } from "@sluice/error";
import type { ServerConf } from "../config/server-conf.ts";
import { logger } from "../log/logger.ts";
import { openLogSync } from "../log/open-log.ts";
import { roleEnvironment, type ProcessRole } from "../server/process-role.ts";
import type { DaemonMessage } from "./daemon-messages.ts";
import { PidFile } from "./pid-file.ts";
import { lookUpAccount, type Account } from "./privileges.ts";

/** Where a daemon runs: `pid_file` and `upgrade_sock` are relative to it. */
export function daemonFolder(conf: Pick<ServerConf, "working_directory">): string {
  return path.resolve(conf.working_directory ?? "/");
}

/**
 * Starts this program again, in the background, and waits until it has its addresses, or with `daemon_wait_for_ready` until it has
 * told by SIGUSR1 that it is ready.
 * @returns the exit code for this process: 0, or 1 when the daemon ended or took too long.
 * @throws ProxyError when something is wrong that can be seen from here.
 */
export async function startDaemon(conf: ServerConf): Promise<0 | 1> {
  if (process.platform === "win32") throw refused("daemon: not on Windows; use its service manager");
  const account = lookUpAccount(conf);
  const errorLog = conf.error_log === undefined ? undefined : path.resolve(conf.error_log);
  const output = errorLog === undefined ? undefined : openLog(errorLog, account);
  const pidFile = new PidFile(path.resolve(daemonFolder(conf), conf.pid_file));
  const hadOne = pidFile.putAside();

  // Before there is a daemon: the signal of one that is quick would end this process.
  const ready = Promise.withResolvers<void>();
  process.on("SIGUSR1", () => ready.resolve());
  const child = start(conf, { kind: "daemon", errorLog, hadPidFile: hadOne }, output);
  if (output !== undefined) closeSync(output);
  // The daemon may not signal root; and there is nothing left to do that only root may.
  if (conf.daemon_wait_for_ready && account?.user !== undefined && process.geteuid?.() === 0) {
    process.setuid?.(account.user.uid);
  }

  const problem = await problemOf(child, conf, conf.daemon_wait_for_ready ? ready.promise : undefined);
  if (problem === undefined) {
    logger("core").info({ pid: child.pid, waited: conf.daemon_wait_for_ready }, "the daemon runs");
  } else {
    const details = { pid: child.pid, problem: problem.text, error_log: errorLog };
    logger("core").error(details, problem.ended ? "the daemon could not be started" : "the daemon is not ready");
    if (hadOne && problem.ended) restore(pidFile);
  }
  if (child.connected) child.disconnect();
  child.unref();
  return problem === undefined ? 0 : 1;
}

/** Why a daemon is not as it should be. */
interface Problem {
  readonly text: string;
  /** It is gone. */
  readonly ended: boolean;
}

/** Undefined when all is well. */
function problemOf(
  child: ChildProcess,
  conf: ServerConf,
  ready: Promise<void> | undefined,
): Promise<Problem | undefined> {
  return new Promise((resolve) => {
    const seconds = conf.daemon_ready_timeout_seconds;
    const late = `it was not ready within ${seconds} s, and goes on (daemon_ready_timeout_seconds)`;
    const timer = setTimeout(resolve, seconds * 1000, { text: late, ended: false });
    let told: string | undefined;
    const settle = (text?: string): void => {
      clearTimeout(timer);
      resolve(text === undefined ? undefined : { text, ended: true });
    };
    child.on("message", (message: DaemonMessage) => {
      if (message.daemon === "failed") told = message.message;
      else if (ready === undefined) settle();
    });
    child.once("error", (error) => settle(error.message));
    // And not `exit`: then what it told has arrived.
    child.once("close", (code, signal) =>
      settle(told ?? `it ended (${signal ?? `exit code ${code}`}) before it was ready`),
    );
    void ready?.then(() => settle());
  });
}

function start(conf: ServerConf, role: ProcessRole, output: number | undefined): ChildProcess {
  const [, program, ...args] = process.argv;
  if (program === undefined) throw refused("daemon: runs the program that was started, and there is none");
  const env: NodeJS.ProcessEnv = { ...process.env, ...roleEnvironment(role) };
  if (conf.max_blocking_threads !== undefined) env["UV_THREADPOOL_SIZE"] = String(conf.max_blocking_threads);
  return spawn(process.execPath, [...process.execArgv, program, ...args], {
    // Its own session: no terminal's signals reach it.
    detached: true,
    env,
    stdio: ["ignore", output === undefined ? "inherit" : "ignore", output ?? "inherit", "ipc"],
  });
}

function openLog(file: string, account: Account | undefined): number {
  try {
    const fd = openLogSync(file);
    // Who is to open it again must be allowed to.
    if (account?.user !== undefined && process.geteuid?.() === 0) fchownSync(fd, account.user.uid, account.gid);
    return fd;
  } catch (error) {
    throw refused(`error_log: cannot open ${file}`, error);
  }
}

function restore(pidFile: PidFile): void {
  try {
    pidFile.restore();
  } catch (err) {
    logger("core").error({ err, pid_file: pidFile.path }, "could not give the old file its name back");
  }
}

function refused(what: string, cause?: unknown): ProxyError {
  return ProxyError.internal("InternalError", what, cause);
}
