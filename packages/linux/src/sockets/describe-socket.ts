import { endianness } from "node:os";
import { AF_INET, AF_INET6, AF_UNIX, SO_ACCEPTCONN, SO_TYPE, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET } from "../ffi/abi.ts";
import { systemCall, tryCall } from "../ffi/system-call.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOption } from "./socket-option.ts";

/** What the system knows of a socket. */
export interface SocketDescription {
  /** `other` for what is neither of these, such as vsock. */
  readonly family: "ipv4" | "ipv6" | "unix" | "other";
  readonly type: "stream" | "datagram" | "other";
  /** It accepts connections. */
  readonly listening: boolean;
  /** It has a peer. One that neither listens nor has a peer is only bound, or not even that. */
  readonly connected: boolean;
  /**
   * Where it is bound: `127.0.0.1:80`, `[::1]:80`, `unix:/run/app.sock`, `unix:@name` in the abstract namespace; `unix:` for a
   * Unix socket without a name, empty for other families.
   */
  readonly address: string;
}

/** @throws LinuxError `EBADF` for no descriptor, `ENOTSOCK` for one that is no socket. */
export function describeSocket(socket: SocketHandle): SocketDescription {
  const attempted = "describing a socket";
  const fd = descriptorOf(socket, attempted);
  const type = readOption(fd, SOL_SOCKET, SO_TYPE, attempted);
  return {
    type: type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "datagram" : "other",
    listening: readOption(fd, SOL_SOCKET, SO_ACCEPTCONN, attempted) !== 0,
    connected: hasPeer(fd),
    ...addressOf(boundAddress(fd, attempted)),
  };
}

/** `struct sockaddr_storage`. */
const MAX_ADDRESS_BYTES = 128;

function boundAddress(fd: number, attempted: string): Buffer {
  const bytes = Buffer.alloc(MAX_ADDRESS_BYTES);
  const length = new Uint32Array([MAX_ADDRESS_BYTES]);
  systemCall("getsockname", attempted, (libc) => libc.getsockname(fd, bytes, length));
  return bytes.subarray(0, length[0]);
}

function hasPeer(fd: number): boolean {
  const bytes = Buffer.alloc(MAX_ADDRESS_BYTES);
  return tryCall((libc) => libc.getpeername(fd, bytes, new Uint32Array([MAX_ADDRESS_BYTES]))) >= 0;
}

function addressOf(bytes: Buffer): Pick<SocketDescription, "family" | "address"> {
  const family = endianness() === "LE" ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  if (family === AF_INET) return { family: "ipv4", address: `${ipv4Text(bytes.subarray(4, 8))}:${portOf(bytes)}` };
  if (family === AF_INET6) return { family: "ipv6", address: `[${ipv6Text(bytes.subarray(8, 24))}]:${portOf(bytes)}` };
  if (family === AF_UNIX) return { family: "unix", address: `unix:${unixText(bytes.subarray(2))}` };
  return { family: "other", address: "" };
}

function portOf(bytes: Buffer): number {
  return bytes.readUInt16BE(2);
}

function ipv4Text(bytes: Buffer): string {
  return [...bytes].join(".");
}

/** Shortened as in RFC 5952, by the one who knows how: the parser of URLs. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function unixText(path: Buffer): string {
  if (path[0] === 0 && path.length > 1) return `@${path.subarray(1).toString()}`;
  const end = path.indexOf(0);
  return path.subarray(0, end < 0 ? path.length : end).toString();
}
