import { connect, type NetConnectOpts, type Socket } from "node:net";
import { ProxyError, type ErrorDetail, type ErrorType } from "@sluice/error";
import { Deadline } from "./deadline.ts";
import type { SocketReader } from "./socket-reader.ts";
import type { SocketAddress } from "./socket-address.ts";

export interface ConnectOptions {
  /**
   * Time until the connection is established, name resolution included. Milliseconds; 0 waits as long as the system does.
   * Default 5000: room for two SYN retransmissions (after 1 s and 3 s).
   */
  connectMs?: number;
  /** Local IP address to connect from. Default: the system chooses. */
  bindTo?: string;
}

/** The default of {@link ConnectOptions.connectMs}. */
export const DEFAULT_CONNECT_MS = 5000;

const CONNECT_ERRORS: Readonly<Record<string, ErrorType>> = {
  ECONNREFUSED: "ConnectRefused",
  ETIMEDOUT: "ConnectTimedout",
  ENETUNREACH: "ConnectNoRoute",
  EHOSTUNREACH: "ConnectNoRoute",
};

/** System errors while connecting that are our own machine's fault, not the upstream's. */
const LOCAL_ERRORS: Readonly<Record<string, ErrorType>> = {
  EADDRNOTAVAIL: "BindError",
  EACCES: "InternalError",
  EPERM: "InternalError",
  EADDRINUSE: "InternalError",
  EMFILE: "SocketError",
  ENFILE: "SocketError",
};

/**
 * Opens a TCP or Unix-socket connection, half-open and without Nagle's delay. The socket comes paused, without listeners.
 *
 * Rejects with a ProxyError: `ConnectTimedout`, `ConnectRefused`, `ConnectNoRoute` or `ConnectError` (source upstream),
 * or `BindError`, `SocketError`, `InternalError` (source internal: a fault on our side). No byte was sent.
 * @param signal Gives up: the attempt is closed and the promise rejects with the signal's reason.
 * @param reader Receives what is read, instead of `data` events. `unread`: nothing is read until somebody asks.
 */
export function connectSocket(
  address: SocketAddress,
  options: ConnectOptions = {},
  signal?: AbortSignal,
  reader?: SocketReader | "unread",
): Promise<Socket> {
  const connectMs = options.connectMs ?? DEFAULT_CONNECT_MS;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const socket = connect({
      ...toNetOptions(address, options),
      ...(typeof reader === "object" && { onread: reader.onread }),
    });
    // Node begins to read when it is connected, what is not paused.
    if (reader === "unread") socket.pause();
    const settle = (): void => {
      deadline.dispose();
      signal?.removeEventListener("abort", onAbort);
      socket.off("connect", onConnect).off("error", onError);
    };
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    const onError = (cause: Error): void => {
      settle();
      reject(fromConnectError(cause, address));
    };
    const giveUp = (error: unknown): void => {
      settle();
      // A late error of a socket nobody waits for is no news.
      socket.on("error", () => undefined);
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const deadline = new Deadline(() => giveUp(timedOut(address, connectMs)));
    deadline.set(connectMs);
    socket.once("connect", onConnect).once("error", onError);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function toNetOptions(address: SocketAddress, options: ConnectOptions): NetConnectOpts {
  if (address.path !== undefined) return { path: address.path, allowHalfOpen: true };
  const { host, port } = address as { host: string; port: number };
  const net: NetConnectOpts = { host, port, noDelay: true, allowHalfOpen: true };
  if (options.bindTo !== undefined) net.localAddress = options.bindTo;
  return net;
}

function timedOut(address: SocketAddress, connectMs: number): ProxyError {
  return ProxyError.upstream("ConnectTimedout", `connecting to ${address.text} took longer than ${connectMs} ms`);
}

/** Turns an error event of a connecting socket into ours. */
export function fromConnectError(cause: Error, address: SocketAddress): ProxyError {
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const local = LOCAL_ERRORS[code];
  if (local !== undefined) {
    const fault = ProxyError.internal(local, `connecting to ${address.text}`, cause);
    return code === "EACCES" || code === "EPERM" ? fault.setDetail("no-permission") : fault;
  }
  const error = ProxyError.upstream(CONNECT_ERRORS[code] ?? "ConnectError", `connecting to ${address.text}`, cause);
  const detail = code === "ENOENT" && address.path !== undefined ? "no-such-socket" : lookupDetail(cause);
  return detail === undefined ? error : error.setDetail(detail);
}

/** Whether it was the name that could not be looked up. */
function lookupDetail(cause: NodeJS.ErrnoException): ErrorDetail | undefined {
  if (cause.syscall !== "getaddrinfo") return undefined;
  return cause.code === "EAI_AGAIN" ? "name-lookup-timeout" : "name-lookup";
}
