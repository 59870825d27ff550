import { closeSync } from "node:fs";
import { hrtime } from "node:process";
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../ffi/abi.ts";
import { checkOptions, checkType } from "../check-options.ts";
import { systemCall } from "../ffi/system-call.ts";
import { openUnixSocket } from "../ffi/unix-socket.ts";
import { unixAddress } from "../ffi/unix-address.ts";
import { LinuxError } from "../linux-error.ts";
import { checkRange } from "../sockets/check-range.ts";

/** What a service tells its service manager; see `sd_notify(3)`. */
export interface SystemdState {
  /** Started, or done with reloading. */
  ready?: boolean;
  /** Reloading has begun; `ready` ends it. */
  reloading?: boolean;
  stopping?: boolean;
  /** What `systemctl status` shows. One line. */
  status?: string;
  /** The main process of the service, from now on: what a new process says that took over. */
  mainPid?: number;
  /** Alive; see {@link startWatchdog}. `"trigger"`: it is not, end it. */
  watchdog?: true | "trigger";
  /** For a service that failed: a positive errno. */
  errno?: number;
  /** Starting or stopping takes this much longer. Microseconds. */
  extendTimeoutUs?: number;
}

/**
 * Tells systemd, or any manager that sets `NOTIFY_SOCKET`, how the service is. The unit needs `Type=notify` (or
 * `notify-reload`), and `NotifyAccess=all` for `mainPid` from a process that systemd did not start.
 * @param env Default: that of this process.
 * @returns false, and nothing was done, when nobody wants to know: `NOTIFY_SOCKET` is not set.
 * @throws LinuxError when the message could not be sent; a service should log it and go on. `EINVAL` for a state that cannot be.
 */
export function notifySystemd(state: SystemdState, env: NodeJS.ProcessEnv = process.env): boolean {
  checkState(state);
  const path = env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return false;
  const lines = linesOf(state);
  if (lines.length === 0) return false;
  const attempted = `telling systemd ${lines.join(" ")}`;
  if (!path.startsWith("/") && !path.startsWith("@")) {
    const why = `NOTIFY_SOCKET is ${JSON.stringify(path)}; expected a path or an abstract @name`;
    throw new LinuxError("EAFNOSUPPORT", attempted, why);
  }
  const address = unixAddress(path, attempted);
  const message = Buffer.from(lines.join("\n"));
  const fd = openUnixSocket("datagram", attempted);
  try {
    systemCall("sendto", `${attempted} at ${path}`, (libc) =>
      libc.sendto(fd, message, message.length, MSG_NOSIGNAL | MSG_DONTWAIT, address, address.length),
    );
  } finally {
    closeSync(fd);
  }
  return true;
}

const STATE_NAMES: Readonly<Record<keyof SystemdState, true>> = {
  ready: true,
  reloading: true,
  stopping: true,
  status: true,
  mainPid: true,
  watchdog: true,
  errno: true,
  extendTimeoutUs: true,
};

function checkState(state: SystemdState): void {
  const attempted = "telling systemd a state";
  checkOptions(attempted, state, Object.keys(STATE_NAMES));
  for (const name of ["ready", "reloading", "stopping"] as const) checkType(attempted, name, state[name], "boolean");
  checkRange(attempted, "mainPid", state.mainPid, 1, 0x7fff_ffff);
  checkRange(attempted, "errno", state.errno, 1, 0x7fff_ffff);
  checkRange(attempted, "extendTimeoutUs", state.extendTimeoutUs, 0, Number.MAX_SAFE_INTEGER);
  const { status, watchdog } = state;
  if (status !== undefined && typeof status !== "string") {
    throw new LinuxError("EINVAL", attempted, `status must be a text, not ${typeof status}`);
  }
  if (watchdog === undefined || watchdog === true || watchdog === "trigger") return;
  throw new LinuxError("EINVAL", attempted, `watchdog must be true or "trigger", not ${String(watchdog)}`);
}

function linesOf(state: SystemdState): string[] {
  const lines: string[] = [];
  if (state.ready === true) lines.push("READY=1");
  // `Type=notify-reload` takes the time to tell this reload from one before: CLOCK_MONOTONIC, as `hrtime` is.
  if (state.reloading === true) lines.push("RELOADING=1", `MONOTONIC_USEC=${hrtime.bigint() / 1000n}`);
  if (state.stopping === true) lines.push("STOPPING=1");
  if (state.mainPid !== undefined) lines.push(`MAINPID=${state.mainPid}`);
  if (state.watchdog !== undefined) lines.push(`WATCHDOG=${state.watchdog === "trigger" ? "trigger" : 1}`);
  if (state.errno !== undefined) lines.push(`ERRNO=${state.errno}`);
  if (state.extendTimeoutUs !== undefined) lines.push(`EXTEND_TIMEOUT_USEC=${state.extendTimeoutUs}`);
  // A line end would begin another assignment.
  if (state.status !== undefined) lines.push(`STATUS=${state.status.replaceAll(/[\r\n\0]+/g, " ")}`);
  return lines;
}
