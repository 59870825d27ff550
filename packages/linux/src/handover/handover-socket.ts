import { chmodSync, chownSync, closeSync, lstatSync, unlinkSync, type Stats } from "node:fs";
import { bindUnixSocket, connectUnixSocket, listenUnixSocket } from "../ffi/unix-socket.ts";
import { unixAddress } from "../ffi/unix-address.ts";
import { LinuxError } from "../linux-error.ts";

/** Where the new process waits. */
export interface HandoverSocket {
  /** Listens; non-blocking. */
  readonly fd: number;
  /** Removes the file as well, if it is still this one. */
  close(): void;
}

/** @param allowedUids Other users that must be able to connect. @throws LinuxError */
export function listenForHandover(path: string, allowedUids: readonly number[], attempted: string): HandoverSocket {
  unixAddress(path, attempted); // An address that cannot be is no path for the file system either.
  const isFile = !path.startsWith("@") && !path.startsWith("\0");
  if (isFile) removeStale(path, attempted);
  const fd = bindUnixSocket(path, attempted);
  const own = isFile ? lstatSync(path) : undefined;
  const close = (): void => {
    closeSync(fd);
    if (own !== undefined) unlinkIfSame(path, own);
  };
  try {
    // Before it listens nobody can connect, so nobody can connect before the mode is right.
    if (isFile) allowUsers(path, allowedUids);
    listenUnixSocket(fd, 8, attempted);
    return { fd, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The kernel vouches for who connects, so a mode that is too wide lets nobody in; a narrow one keeps others from trying. */
function allowUsers(path: string, uids: readonly number[]): void {
  const [uid, ...more] = uids;
  chmodSync(path, more.length > 0 ? 0o666 : 0o600);
  if (uid === undefined || more.length > 0) return;
  try {
    chownSync(path, uid, -1);
  } catch {
    chmodSync(path, 0o666);
  }
}

function removeStale(path: string, attempted: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new LinuxError("EADDRINUSE", attempted, "a file that is no socket is in the way");
  const probe = connectUnixSocket(path, attempted);
  if (probe >= 0) {
    closeSync(probe);
    throw new LinuxError("EADDRINUSE", attempted, "another process waits there already");
  }
  unlinkIfSame(path, stats);
}

function unlinkIfSame(path: string, { dev, ino }: Stats): void {
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now?.dev !== dev || now.ino !== ino) return;
  try {
    unlinkSync(path);
  } catch {
    // Then the next one finds it stale.
  }
}
