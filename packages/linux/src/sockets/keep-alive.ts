import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_USER_TIMEOUT,
} from "../ffi/abi.ts";
import { checkOptions } from "../check-options.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { checkRange } from "./check-range.ts";
import { readOption, writeOption } from "./socket-option.ts";

/** How a silent peer is found to be gone. What is not given stays as it is. */
export interface KeepAlive {
  /** Silence before the first probe. Seconds, 1 to 32767. System's default: 7200. */
  idleSeconds?: number;
  /** Between probes. Seconds, 1 to 32767. System's default: 75. */
  intervalSeconds?: number;
  /** Probes without an answer after which the connection is dead, 1 to 127. System's default: 9. */
  count?: number;
  /**
   * How long data that we sent may stay unacknowledged before the connection is dead (`TCP_USER_TIMEOUT`). Milliseconds; 0, the
   * default, leaves it to the system (about 15 minutes). It also ends keep-alive probing, in place of `count`.
   */
  userTimeoutMs?: number;
}

/** The state of a socket; see {@link KeepAlive}. */
export interface KeepAliveState extends Required<KeepAlive> {
  readonly enabled: boolean;
}

/**
 * Switches TCP keep-alive on. On a listening socket it holds for the connections accepted from then on.
 * @throws LinuxError `EINVAL` for a value that cannot be, `EBADF` when the socket is closed, `ENOPROTOOPT` or `EOPNOTSUPP` when
 *   it is not TCP, `ENOSYS` on other systems.
 */
export function setKeepAlive(socket: SocketHandle, options: KeepAlive = {}): void {
  checkKeepAlive(options);
  writeKeepAlive(descriptorOf(socket, ATTEMPTED), options);
}

const ATTEMPTED = "setting TCP keep-alive";

/** @throws LinuxError for a name that is none, and a value that cannot be. */
export function checkKeepAlive(options: KeepAlive): void {
  checkOptions(ATTEMPTED, options, ["idleSeconds", "intervalSeconds", "count", "userTimeoutMs"]);
  checkRange(ATTEMPTED, "idleSeconds", options.idleSeconds, 1, 32_767);
  checkRange(ATTEMPTED, "intervalSeconds", options.intervalSeconds, 1, 32_767);
  checkRange(ATTEMPTED, "count", options.count, 1, 127);
  checkRange(ATTEMPTED, "userTimeoutMs", options.userTimeoutMs, 0, 0x7fff_ffff);
}

/** {@link setKeepAlive} of what was checked. */
export function writeKeepAlive(fd: number, options: KeepAlive): void {
  const { idleSeconds, intervalSeconds, count, userTimeoutMs } = options;
  writeOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1, ATTEMPTED);
  const set = (option: number, value: number | undefined): void => {
    if (value !== undefined) writeOption(fd, IPPROTO_TCP, option, value, ATTEMPTED);
  };
  set(TCP_KEEPIDLE, idleSeconds);
  set(TCP_KEEPINTVL, intervalSeconds);
  set(TCP_KEEPCNT, count);
  set(TCP_USER_TIMEOUT, userTimeoutMs);
}

/** As {@link setKeepAlive} has set it, or the system. @throws LinuxError */
export function keepAlive(socket: SocketHandle): KeepAliveState {
  const attempted = "reading TCP keep-alive";
  const fd = descriptorOf(socket, attempted);
  const get = (option: number): number => readOption(fd, IPPROTO_TCP, option, attempted);
  return {
    enabled: readOption(fd, SOL_SOCKET, SO_KEEPALIVE, attempted) !== 0,
    idleSeconds: get(TCP_KEEPIDLE),
    intervalSeconds: get(TCP_KEEPINTVL),
    count: get(TCP_KEEPCNT),
    userTimeoutMs: get(TCP_USER_TIMEOUT),
  };
}
