import { statSync } from "node:fs";
import path from "node:path";
import type { ServerConf } from "../config/server-conf.ts";
import { PidFile } from "../daemon/pid-file.ts";
import { becomeAccount, findGroup, findUser, lookUpAccount } from "../daemon/privileges.ts";
import { daemonFolder } from "../daemon/start-daemon.ts";
import { checkLogFile } from "../log/check-log-file.ts";

type HostKey = "user" | "group" | "error_log" | "working_directory" | "pid_file";

/** A key whose value does not fit this machine. */
export interface HostProblem {
  readonly key: HostKey;
  /** What is wrong, without the key. */
  readonly message: string;
}

/**
 * What of a configuration only the machine can tell: whether the account and the folder are there, the log can be opened, and the pid
 * file of a daemon could be written. Creates and changes nothing. Blocks; meant for `--test`.
 */
export function checkHost(conf: Partial<Pick<ServerConf, HostKey | "daemon">>): HostProblem[] {
  const { user, group, error_log: errorLog, working_directory: folder, daemon, pid_file: pidFile } = conf;
  const problems: HostProblem[] = [];
  const check = (key: HostKey, look: () => unknown): void => {
    try {
      look();
    } catch (error) {
      problems.push({ key, message: (error as Error).message });
    }
  };
  if (user !== undefined) check("user", () => findUser(user));
  if (group !== undefined) check("group", () => findGroup(group));
  if (errorLog !== undefined) check("error_log", () => canBeOpened(errorLog));
  if (folder !== undefined) check("working_directory", () => isFolder(path.resolve(folder)));
  if (daemon && pidFile !== undefined) {
    check("pid_file", () => new PidFile(path.resolve(daemonFolder(conf), pidFile)).check());
  }
  return problems;
}

/**
 * Becomes `user` and `group` for good, as a start does once its addresses are bound: to see what follows with the eyes of that account.
 * Does nothing where neither is set, and for who is not root and cannot.
 * @returns whether it was root, and is not any more.
 * @throws ProxyError naming an account that the system does not know.
 */
export function assumeAccount(conf: Pick<ServerConf, "user" | "group">): boolean {
  const account = process.geteuid?.() === 0 ? lookUpAccount(conf) : undefined;
  if (account !== undefined) becomeAccount(account);
  return process.geteuid?.() !== 0 && account !== undefined;
}

function canBeOpened(file: string): void {
  try {
    checkLogFile(path.resolve(file));
  } catch (error) {
    throw new Error(`cannot open ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function isFolder(folder: string): void {
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is no folder`);
}
