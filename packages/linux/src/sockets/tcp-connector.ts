import { lookup } from "node:dns/promises";
import { isIP, isIPv6, Socket } from "node:net";
import { whyUnavailable } from "../ffi/libc.ts";
import { LinuxError } from "../linux-error.ts";
import { checkTcpSocketOptions, openChecked, type TcpSocketOptions } from "./open-tcp-socket.ts";

/** Where to connect to; that of an `HttpPeer` of `@sluice/core` is one. */
export interface TcpTarget {
  readonly address: { readonly host: string | undefined; readonly port: number | undefined; readonly text: string };
}

/**
 * What makes connections with options that must be set before they begin, for the peers of a proxy:
 * `new HttpPeer("192.0.2.1:80", { connectStream: tcpConnector({ fastOpen: true }) })`. Make it once for all peers with the same
 * options: peers with different ones share no pooled connections. A name stands for the first of its addresses.
 * @param options Where the system cannot be asked for them (see {@link whyUnavailable}), it connects without.
 * @returns What gives a connected socket, half-open, without Nagle's delay. It rejects with what the system says, with the
 *   signal's reason, and with a LinuxError for a Unix socket.
 * @throws LinuxError `EINVAL` for an option that cannot be, at once.
 */
export function tcpConnector(
  options: TcpSocketOptions = {},
): (target: TcpTarget, signal: AbortSignal) => Promise<Socket> {
  checkTcpSocketOptions(options);
  return async ({ address }, signal) => {
    const { host, port, text } = address;
    if (host === undefined || port === undefined) {
      throw new LinuxError("EAFNOSUPPORT", `connecting to ${text}`, "expected an address of TCP");
    }
    const ip = isIP(host) === 0 ? (await lookup(host)).address : host;
    signal.throwIfAborted();
    const fd = whyUnavailable() === undefined ? openChecked(isIPv6(ip) ? "ipv6" : "ipv4", options) : undefined;
    return await connect(fd === undefined ? new Socket({ allowHalfOpen: true }) : openSocket(fd), ip, port, signal);
  };
}

function openSocket(fd: number): Socket {
  return new Socket({ fd, allowHalfOpen: true });
}

function connect(socket: Socket, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    socket.once("error", reject);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.connect({ host, port }, () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", reject);
      socket.setNoDelay(true);
      // Whoever gets it next reads it.
      resolve(socket.pause());
    });
  });
}
