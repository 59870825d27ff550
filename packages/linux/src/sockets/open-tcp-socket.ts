import { closeSync } from "node:fs";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  TCP_FASTOPEN_CONNECT,
} from "../ffi/abi.ts";
import { checkOptions, checkType } from "../check-options.ts";
import { systemCall } from "../ffi/system-call.ts";
import { LinuxError } from "../linux-error.ts";
import { checkBufferSizes, writeBufferSizes, type BufferSizes } from "./buffer-sizes.ts";
import { checkRange } from "./check-range.ts";
import { checkKeepAlive, writeKeepAlive, type KeepAlive } from "./keep-alive.ts";
import { writeOption } from "./socket-option.ts";
import { setTypeOfService } from "./type-of-service.ts";

/** What must be set before a connection begins. */
export interface TcpSocketOptions extends BufferSizes {
  /**
   * Sends the first data with the first segment, to a server that we were connected to before (RFC 7413). `connect` is then
   * reported before the server was asked, and a server that is not there shows at the first write. Only for data that may arrive
   * twice. Default false.
   */
  fastOpen?: boolean;
  /** See {@link setTypeOfService}; here it holds from the first segment on. */
  typeOfService?: number;
  keepAlive?: KeepAlive;
}

/**
 * A TCP socket that is not connected yet, for what Node cannot set on one:
 * `new net.Socket({ fd: openTcpSocket("ipv4", { fastOpen: true }) }).connect(80, "192.0.2.1")`.
 * @param family That of the address which it will connect to.
 * @returns Its descriptor, close-on-exec, non-blocking. Whoever asked closes it, or gives it to a `net.Socket`, which does.
 * @throws LinuxError; nothing is left open then.
 */
export function openTcpSocket(family: "ipv4" | "ipv6", options: TcpSocketOptions = {}): number {
  if (family !== "ipv4" && family !== "ipv6") {
    throw new LinuxError("EINVAL", ATTEMPTED, `family must be "ipv4" or "ipv6", not ${String(family)}`);
  }
  checkTcpSocketOptions(options);
  return openChecked(family, options);
}

const ATTEMPTED = "opening a TCP socket";
const OPTION_NAMES = ["fastOpen", "typeOfService", "keepAlive", "sendBytes", "receiveBytes"];

/** @throws LinuxError `EINVAL` for an option that cannot be. */
export function checkTcpSocketOptions(options: TcpSocketOptions): void {
  checkOptions(ATTEMPTED, options, OPTION_NAMES);
  checkType(ATTEMPTED, "fastOpen", options.fastOpen, "boolean");
  checkRange(ATTEMPTED, "typeOfService", options.typeOfService, 0, 255);
  checkBufferSizes(options);
  if (options.keepAlive !== undefined) checkKeepAlive(options.keepAlive);
}

/** {@link openTcpSocket} with options that were checked. */
export function openChecked(family: "ipv4" | "ipv6", options: TcpSocketOptions): number {
  const domain = family === "ipv6" ? AF_INET6 : AF_INET;
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = systemCall("socket", ATTEMPTED, (libc) => libc.socket(domain, type, 0));
  try {
    if (options.fastOpen === true) {
      writeOption(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1, "setting TCP fast open for a connection");
    }
    writeBufferSizes(fd, options);
    if (options.typeOfService !== undefined) setTypeOfService(fd, options.typeOfService);
    if (options.keepAlive !== undefined) writeKeepAlive(fd, options.keepAlive);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
