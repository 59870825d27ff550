import { libc } from "../ffi/libc.ts";
import { peerCredentials, type PeerCredentials } from "../ffi/unix-socket.ts";
import { LinuxError } from "../linux-error.ts";

/**
 * Who may take part in a hand-over: the same user, root, who may do anything anyway, and who was named.
 * @throws LinuxError `EPERM` for anyone else.
 */
export function checkPeer(fd: number, allowedUids: readonly number[], attempted: string): PeerCredentials {
  const peer = peerCredentials(fd, attempted);
  const own = libc().geteuid();
  if (peer.uid === own || peer.uid === 0 || allowedUids.includes(peer.uid)) return peer;
  const why = `process ${peer.pid} belongs to the user ${peer.uid}, this one to ${own}`;
  throw new LinuxError("EPERM", attempted, `${why}; a hand-over needs the same user`);
}

/** @throws LinuxError `EINVAL` for what is no list of numbers of users. */
export function checkUids(attempted: string, uids: unknown): void {
  if (Array.isArray(uids) && uids.every((uid) => Number.isInteger(uid))) return;
  throw new LinuxError("EINVAL", attempted, "allowedUids must be an array of whole numbers");
}
