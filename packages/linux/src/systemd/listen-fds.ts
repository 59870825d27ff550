import { F_GETFD, F_SETFD, FD_CLOEXEC } from "../ffi/abi.ts";
import { whyUnavailable } from "../ffi/libc.ts";
import { systemCall } from "../ffi/system-call.ts";
import { LinuxError } from "../linux-error.ts";
import { describeSocket, type SocketDescription } from "../sockets/describe-socket.ts";

/** A descriptor that systemd has opened for us. */
export interface ActivatedDescriptor {
  readonly fd: number;
  /** `FileDescriptorName=` of the socket unit; by default the unit's name; `unknown` from an old systemd. */
  readonly name: string;
  /** `undefined` for what is no socket, and where the system cannot be asked. */
  readonly socket: SocketDescription | undefined;
}

/** `SD_LISTEN_FDS_START`. */
const FIRST = 3;

/** Far more than a unit has. */
const MAX = 65_536;

/**
 * What systemd has opened for this process (socket activation, `sd_listen_fds(3)`): none when the variables `LISTEN_PID` and
 * `LISTEN_FDS` are not there, or are for another process. The descriptors are made close-on-exec; `server.listen({ fd })` takes one.
 * @param env Default: that of this process; the variables are removed from it, so that a child does not take them for its own.
 * @throws LinuxError `EINVAL` for variables that cannot be, `EBADF` for a descriptor that is not open.
 */
export function listenFds(env: NodeJS.ProcessEnv = process.env): ActivatedDescriptor[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = env;
  if (pid === undefined || count === undefined || pid !== String(process.pid)) return [];
  const attempted = "taking the sockets of systemd";
  if (!/^\d+$/.test(count) || Number(count) > MAX) {
    throw new LinuxError("EINVAL", attempted, `LISTEN_FDS is ${JSON.stringify(count)}; expected a number up to ${MAX}`);
  }
  const given = names === undefined ? [] : names.split(":");
  if (names !== undefined && given.length !== Number(count)) {
    const why = `LISTEN_FDNAMES has ${given.length} names, LISTEN_FDS says ${count}`;
    throw new LinuxError("EINVAL", attempted, why);
  }
  const found = Array.from({ length: Number(count) }, (_, i) => take(FIRST + i, given[i] ?? "unknown", attempted));
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]) delete env[name];
  return found;
}

function take(fd: number, name: string, attempted: string): ActivatedDescriptor {
  if (whyUnavailable() !== undefined) return { fd, name, socket: undefined };
  setCloseOnExec(fd, `${attempted}: descriptor ${fd} (${name})`);
  return { fd, name, socket: describeIfSocket(fd) };
}

function setCloseOnExec(fd: number, attempted: string): void {
  const flags = systemCall("fcntl", attempted, (libc) => libc.fcntl(fd, F_GETFD, 0));
  systemCall("fcntl", attempted, (libc) => libc.fcntl(fd, F_SETFD, flags | FD_CLOEXEC));
}

function describeIfSocket(fd: number): SocketDescription | undefined {
  try {
    return describeSocket(fd);
  } catch (error) {
    if (error instanceof LinuxError && error.code === "ENOTSOCK") return undefined;
    throw error;
  }
}
