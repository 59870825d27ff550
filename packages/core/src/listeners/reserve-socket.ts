import { lookup } from "node:dns/promises";
import net, { isIP, type AddressInfo } from "node:net";
import { getSystemErrorName } from "node:util";
import type { SocketAddress } from "../net/socket-address.ts";
import type { ListenOptions } from "./listen-options.ts";

/**
 * A socket that is bound and accepts nobody: others cannot have its address, and its descriptor can be given to other
 * processes, which listen on it.
 */
export interface ReservedSocket {
  readonly fd: number;
  close(): void;
  /** Fills in `address`, `family` and `port`; TCP only. */
  getsockname?(out: Partial<AddressInfo>): number;
}

/**
 * What `node:cluster` binds with. Undocumented, and there since Node 0.10; `net.BoundSocket`, which is documented, is newer than
 * what we support.
 */
type CreateHandle = (
  address: string | null,
  port: number | null,
  addressType: 4 | 6 | -1 | null,
  fd: number | undefined,
  flags: number,
) => ReservedSocket | number;

/** libuv's flags of `uv_tcp_bind`. */
const IPV6_ONLY = 1;
const REUSE_PORT = 2;

/**
 * Binds `address`; a host name stands for the first of its addresses.
 * @param path Where to create the file of a Unix socket.
 * @throws what the system says, with its `code`.
 */
export async function reserveSocket(
  address: SocketAddress,
  path: string | undefined,
  options: Pick<ListenOptions, "ipv6Only" | "reusePort">,
): Promise<ReservedSocket> {
  if (path !== undefined) return create(path, -1, -1, 0);
  const { host = "", port = 0 } = address;
  const ip = isIP(host) === 0 ? (await lookup(host)).address : host;
  const flags = (options.ipv6Only === true ? IPV6_ONLY : 0) | (options.reusePort === true ? REUSE_PORT : 0);
  return create(ip, port, isIP(ip) === 6 ? 6 : 4, flags);
}

/** A socket that somebody else has bound; `undefined` for a descriptor that is none, which shows when it is to listen. */
export function reservedSocketOf(fd: number): ReservedSocket | undefined {
  const { _createServerHandle: createHandle } = net as unknown as { _createServerHandle?: CreateHandle };
  const handle = createHandle?.(null, null, null, fd, 0);
  return typeof handle === "number" ? undefined : handle;
}

function create(address: string, port: number, addressType: 4 | 6 | -1, flags: number): ReservedSocket {
  const { _createServerHandle: createHandle } = net as unknown as { _createServerHandle?: CreateHandle };
  if (createHandle === undefined) throw new Error("this Node.js cannot bind a socket without listening on it");
  const handle = createHandle(address, port, addressType, undefined, flags);
  // That an address is taken is told only where it is asked for.
  const error = typeof handle === "number" ? handle : (handle.getsockname?.({}) ?? 0);
  if (typeof handle !== "number" && error === 0) return handle;
  if (typeof handle !== "number") handle.close();
  const code = getSystemErrorName(error);
  throw Object.assign(new Error(`bind ${code}`), { code });
}
