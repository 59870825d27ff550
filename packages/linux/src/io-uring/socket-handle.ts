import type { Socket } from "node:net";

/** What a socket of Node's holds of libuv, without it being documented: it has the descriptor, and closes it. */
export interface SocketHandle {
  readonly fd: number;
  close(closed: () => void): void;
  /** Of TCP only: closes so that the peer gets a reset. Another value than 0 is an error. */
  reset?(closed: () => void): number;
  getpeername?(into: SocketName): number;
  getsockname?(into: SocketName): number;
}

/** A Unix socket has none of it. */
export interface SocketName {
  address?: string;
  port?: number;
}

/**
 * Takes the handle of a connection; `undefined` if there is none, or it has no descriptor. The socket is dead then: with its streams and
 * listeners it would take twice the memory that a `UringStream` does.
 */
export function takeHandle(socket: Socket): SocketHandle | undefined {
  const holder = socket as unknown as { _handle?: (SocketHandle & Record<symbol, unknown>) | null };
  const handle = holder._handle ?? undefined;
  if (handle === undefined || !(handle.fd >= 0)) return undefined;
  holder._handle = null;
  // It knows its socket by a symbol of Node's own.
  for (const key of Object.getOwnPropertySymbols(handle)) if (handle[key] === socket) handle[key] = null;
  return handle;
}
