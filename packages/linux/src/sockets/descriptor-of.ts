import { LinuxError } from "../linux-error.ts";

/**
 * A socket of the system: the number of its descriptor, or an object of `node:net` or `node:tls` that has one, listening or
 * connected. (A `net.Socket` that has not begun to connect has none, nor has one that is closed.)
 */
export type SocketHandle = number | object;

/** Node does not document it; unchanged since Node 0.10 for sockets and servers. */
type WithHandle = { readonly _handle?: { readonly fd?: number } | null };

/**
 * The number of a socket's descriptor.
 * @throws LinuxError `EBADF` when it has none: it is closed, or not open yet, or no socket at all.
 */
export function descriptorOf(socket: SocketHandle, attempted: string = "finding the descriptor of a socket"): number {
  const fd = typeof socket === "number" ? socket : (socket as WithHandle | null)?._handle?.fd;
  if (fd !== undefined && Number.isInteger(fd) && fd >= 0) return fd;
  throw new LinuxError("EBADF", attempted, "the socket has no descriptor: it is closed, or not open yet");
}
