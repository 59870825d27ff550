import { IPPROTO_IPV6, IPV6_V6ONLY, SO_REUSEPORT, SOL_SOCKET } from "../ffi/abi.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOption } from "./socket-option.ts";

/**
 * Whether others may listen on the same port (`SO_REUSEPORT`). It is set before a socket is bound, by
 * `server.listen({ reusePort: true })`, and stays.
 * @throws LinuxError
 */
export function reusesPort(socket: SocketHandle): boolean {
  const attempted = "reading SO_REUSEPORT";
  return readOption(descriptorOf(socket, attempted), SOL_SOCKET, SO_REUSEPORT, attempted) !== 0;
}

/** Whether a socket of IPv6 refuses IPv4. @throws LinuxError `EOPNOTSUPP` for one that is not of IPv6. */
export function isIpv6Only(socket: SocketHandle): boolean {
  const attempted = "reading IPV6_V6ONLY";
  return readOption(descriptorOf(socket, attempted), IPPROTO_IPV6, IPV6_V6ONLY, attempted) !== 0;
}
