import { execFileSync } from "node:child_process";
import { ProxyError } from "@sluice/error";
import type { ServerConf } from "../config/server-conf.ts";

/** Whom a process is to become. */
export interface Account {
  /** `undefined`: whoever it is. */
  readonly user: { readonly name: string; readonly uid: number } | undefined;
  readonly gid: number;
}

/**
 * Looks up `user` and `group`; `undefined` when neither is set. Blocks; meant for the start.
 * @throws ProxyError naming the account that the system does not know.
 */
export function lookUpAccount({ user, group }: Pick<ServerConf, "user" | "group">): Account | undefined {
  const gid = group === undefined ? undefined : named("group", () => findGroup(group));
  if (user === undefined) return gid === undefined ? undefined : { user: undefined, gid };
  const { uid, gid: primary } = named("user", () => findUser(user));
  return { user: { name: user, uid }, gid: gid ?? primary };
}

function named<T>(key: string, find: () => T): T {
  try {
    return find();
  } catch (error) {
    throw refused(`${key}: ${(error as Error).message}`, (error as Error).cause);
  }
}

/** In Node.js since 0.9, and not in its types. */
interface WithInitgroups {
  initgroups?: (user: string | number, extraGroup: string | number) => void;
}

/**
 * Becomes `account`, with its supplementary groups, for good. Nothing happens when that is who the process is.
 * @throws ProxyError when it may not: only root may.
 */
export function becomeAccount({ user, gid }: Account): void {
  const { setgid, setuid, initgroups, setgroups, getuid, getgid } = process as NodeJS.Process & WithInitgroups;
  if (setgid === undefined || setuid === undefined || initgroups === undefined || setgroups === undefined) {
    throw refused("user and group: this system has no accounts to change to");
  }
  if ((user === undefined || user.uid === getuid?.()) && gid === getgid?.()) return;
  if (process.geteuid?.() !== 0) {
    throw refused(
      `cannot become ${user?.name ?? `group ${gid}`}: only root may, and this process is user ${getuid?.()}`,
    );
  }
  // In this order: who is no longer root can change no groups.
  if (user === undefined) setgroups([gid]);
  else initgroups(user.name, gid);
  setgid(gid);
  if (user !== undefined) setuid(user.uid);
}

/** By `id`, which asks whatever directory of accounts the system has. @throws Error naming one that the system does not know. */
export function findUser(user: string): { readonly uid: number; readonly gid: number } {
  try {
    return { uid: idOf("-u", user), gid: idOf("-g", user) };
  } catch (cause) {
    throw new Error(`the system knows no account ${JSON.stringify(user)}`, { cause });
  }
}

/** The number of a group. @throws Error naming one that the system does not know. */
export function findGroup(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  try {
    const entry = execFileSync("getent", ["group", group], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return Number(entry.split(":")[2]);
  } catch (cause) {
    throw new Error(`the system knows no group ${JSON.stringify(group)}`, { cause });
  }
}

function idOf(option: "-u" | "-g", user: string): number {
  return Number(execFileSync("id", [option, user], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
}

function refused(what: string, cause?: unknown): ProxyError {
  return ProxyError.internal("InternalError", what, cause);
}
