import { closeSync } from "node:fs";
import { AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "./abi.ts";
import { readOptionBytes } from "../sockets/socket-option.ts";
import { systemCall, tryCall } from "./system-call.ts";
import { unixAddress } from "./unix-address.ts";

/** Who is at the other end of a Unix socket, as the kernel vouches (`SO_PEERCRED`): when it connected, or listened. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** A Unix socket, close-on-exec, non-blocking. */
export function openUnixSocket(type: "stream" | "datagram", attempted: string): number {
  const flags = (type === "stream" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return systemCall("socket", attempted, (libc) => libc.socket(AF_UNIX, flags, 0));
}

/** A socket that is bound to `path`; nobody can connect before it listens. */
export function bindUnixSocket(path: string, attempted: string): number {
  const address = unixAddress(path, attempted);
  const fd = openUnixSocket("stream", attempted);
  try {
    systemCall("bind", attempted, (libc) => libc.bind(fd, address, address.length));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export function listenUnixSocket(fd: number, backlog: number, attempted: string): void {
  systemCall("listen", attempted, (libc) => libc.listen(fd, backlog));
}

/** A connected socket, or the errno, negated. */
export function connectUnixSocket(path: string, attempted: string): number {
  const address = unixAddress(path, attempted);
  const fd = openUnixSocket("stream", attempted);
  const result = tryCall((libc) => libc.connect(fd, address, address.length));
  if (result >= 0) return fd;
  closeSync(fd);
  return result;
}

/** The connection of one who waits, or the errno, negated. */
export function acceptUnixSocket(fd: number): number {
  return tryCall((libc) => libc.accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

export function peerCredentials(fd: number, attempted: string): PeerCredentials {
  const bytes = readOptionBytes(fd, SOL_SOCKET, SO_PEERCRED, 12, attempted);
  const [pid = 0, uid = 0, gid = 0] = new Uint32Array(bytes.buffer, bytes.byteOffset, 3);
  return { pid, uid, gid };
}
