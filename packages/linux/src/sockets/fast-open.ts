import { IPPROTO_TCP, TCP_FASTOPEN } from "../ffi/abi.ts";
import { checkRange } from "./check-range.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOption, writeOption } from "./socket-option.ts";

/**
 * Lets clients that were here before send data with their first segment (TCP fast open, RFC 7413). It takes effect where
 * `net.ipv4.tcp_fastopen` has bit 2 set. Such data may come twice (RFC 7413, section 2.1): a request that must not be repeated
 * belongs behind TLS, or on a listener without it.
 * @param queueLength How many such connections may wait whose client has not yet shown to be at its address; 0 switches it off.
 * @throws LinuxError `EINVAL` for a socket that does not listen; else as for other options.
 */
export function setFastOpen(listener: SocketHandle, queueLength: number): void {
  const attempted = "setting TCP fast open";
  checkRange(attempted, "queueLength", queueLength, 0, 65_535);
  writeOption(descriptorOf(listener, attempted), IPPROTO_TCP, TCP_FASTOPEN, queueLength, attempted);
}

/** What {@link setFastOpen} has set. @throws LinuxError */
export function fastOpen(listener: SocketHandle): number {
  const attempted = "reading TCP fast open";
  return readOption(descriptorOf(listener, attempted), IPPROTO_TCP, TCP_FASTOPEN, attempted);
}
