import { IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPV6_TCLASS } from "../ffi/abi.ts";
import { LinuxError } from "../linux-error.ts";
import { checkRange } from "./check-range.ts";
import { describeSocket } from "./describe-socket.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOption, writeOption } from "./socket-option.ts";

/**
 * Sets the byte that routers go by: `IP_TOS`, for IPv6 `IPV6_TCLASS`. On a listening socket it holds for the answer to the
 * first segment and for the connections accepted from then on.
 * @param byte 0 to 255, as it is on the wire. It is not the DSCP itself, which is its upper six bits (RFC 2474, section 3):
 *   `dscp << 2`, so 184 for 46 (expedited forwarding). The kernel keeps the two lower bits (ECN) of TCP for itself.
 * @throws LinuxError `EAFNOSUPPORT` for a socket that is not of IP; else as {@link describeSocket}.
 */
export function setTypeOfService(socket: SocketHandle, byte: number): void {
  const attempted = "setting the type of service";
  checkRange(attempted, "the byte", byte, 0, 255);
  const fd = descriptorOf(socket, attempted);
  const { family } = describeSocket(fd);
  for (const [level, option] of optionsOf(family, attempted)) writeOption(fd, level, option, byte, attempted);
}

/** What {@link setTypeOfService} has set. @throws LinuxError */
export function typeOfService(socket: SocketHandle): number {
  const attempted = "reading the type of service";
  const fd = descriptorOf(socket, attempted);
  const [level, option] = optionsOf(describeSocket(fd).family, attempted)[0]!;
  return readOption(fd, level, option, attempted);
}

function optionsOf(family: string, attempted: string): [level: number, option: number][] {
  if (family === "ipv4") return [[IPPROTO_IP, IP_TOS]];
  // A socket for both takes IPv4 connections by the option of IPv4.
  if (family === "ipv6") {
    return [
      [IPPROTO_IPV6, IPV6_TCLASS],
      [IPPROTO_IP, IP_TOS],
    ];
  }
  throw new LinuxError("EAFNOSUPPORT", attempted, `expected a socket of IPv4 or IPv6, not of the family ${family}`);
}
