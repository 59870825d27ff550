import { endianness } from "node:os";
import { IPPROTO_TCP, TCP_INFO } from "../ffi/abi.ts";
import { LinuxError } from "../linux-error.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOptionBytes } from "./socket-option.ts";

/**
 * What the kernel knows of a TCP connection (`struct tcp_info`). Times in the units of their names. A field that this kernel
 * does not have yet is `undefined`; those without `undefined` are in every kernel since 2.6.
 */
export interface TcpInfo {
  /** Such as `ESTABLISHED`, `CLOSE_WAIT`, `LISTEN`. */
  readonly state: string;
  /** Round-trip time, smoothed. Microseconds. */
  readonly rttUs: number;
  /** Its mean deviation. Microseconds. */
  readonly rttVarUs: number;
  /** The smallest seen lately. Microseconds. */
  readonly minRttUs: number | undefined;
  /** Time until an unacknowledged segment is sent again. Microseconds. */
  readonly retransmissionTimeoutUs: number;
  /** Bytes of a segment that we send, at most. */
  readonly sendMss: number;
  /** Bytes of a segment as the peer sends them, estimated. */
  readonly receiveMss: number;
  /** Path MTU. Bytes. */
  readonly pathMtu: number;
  /** Segments that may be under way. */
  readonly congestionWindow: number;
  /** Segments under way, of which nobody knows yet. */
  readonly unacknowledged: number;
  /** Segments thought to be lost now. */
  readonly lost: number;
  /** Times in a row that the oldest segment was sent again, by timeout. */
  readonly retransmits: number;
  /** Segments sent again since the connection began. */
  readonly totalRetransmits: number;
  /** Since the last data came. Milliseconds. */
  readonly sinceReceivedMs: number;
  /** Since data was sent last. Milliseconds. */
  readonly sinceSentMs: number;
  readonly bytesAcknowledged: bigint | undefined;
  readonly bytesReceived: bigint | undefined;
  /** In the kernel, and not sent yet. */
  readonly notSentBytes: number | undefined;
  /** As measured last. Bytes a second. */
  readonly deliveryRate: bigint | undefined;
  /** The connection was opened with data in its first segment, and the peer took it (TCP fast open). */
  readonly usedFastOpen: boolean;
}

/**
 * Asks the kernel about a TCP connection. It is a system call each time (about a microsecond): ask once a request, not once a
 * chunk.
 * @param socket A `net.Socket`, `tls.TLSSocket` or descriptor.
 * @throws LinuxError `EBADF` when it is closed, `EOPNOTSUPP` or `ENOPROTOOPT` when it is not TCP, `ENOSYS` on other systems.
 */
export function tcpInfo(socket: SocketHandle): TcpInfo {
  const attempted = "reading TCP_INFO";
  const bytes = readOptionBytes(descriptorOf(socket, attempted), IPPROTO_TCP, TCP_INFO, MAX_BYTES, attempted);
  return parseTcpInfo(bytes);
}

/** What {@link tcpInfoOf} asks for: the `digest` of a session, or of an upstream's connection. */
export interface WithDescriptor {
  readonly descriptor: number | undefined;
}

/**
 * {@link tcpInfo} of a connection of `@sluice/core`, when it is asked for: `tcpInfoOf(session.digest)?.rttUs`. Never throws, so that a
 * log line can have it.
 * @returns `undefined` for what is closed by now or is not TCP, and where `@sluice/linux` cannot work.
 */
export function tcpInfoOf({ descriptor }: WithDescriptor): TcpInfo | undefined {
  if (descriptor === undefined) return undefined;
  try {
    return tcpInfo(descriptor);
  } catch (error) {
    if (error instanceof LinuxError) return undefined;
    throw error;
  }
}

/** More than any kernel has, so that none cuts it. */
const MAX_BYTES = 512;

const LITTLE = endianness() === "LE";

/** As in `linux/tcp.h`; 0 is not used. */
const STATES = [
  "UNKNOWN",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];

/** `TCPI_OPT_SYN_DATA`. */
const OPTION_SYN_DATA = 32;

/** `bytes`: as the kernel gave it; it grows at its end from version to version. */
export function parseTcpInfo(bytes: Buffer): TcpInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const has = (at: number, size: number): boolean => at + size <= bytes.byteLength;
  const number = (at: number): number => (has(at, 4) ? view.getUint32(at, LITTLE) : 0);
  const newer = (at: number): number | undefined => (has(at, 4) ? view.getUint32(at, LITTLE) : undefined);
  const newerBig = (at: number): bigint | undefined => (has(at, 8) ? view.getBigUint64(at, LITTLE) : undefined);
  return {
    state: STATES[bytes[0] ?? 0] ?? STATES[0]!,
    retransmits: bytes[2] ?? 0,
    usedFastOpen: ((bytes[5] ?? 0) & OPTION_SYN_DATA) !== 0,
    retransmissionTimeoutUs: number(8),
    sendMss: number(16),
    receiveMss: number(20),
    unacknowledged: number(24),
    lost: number(32),
    sinceSentMs: number(44),
    sinceReceivedMs: number(52),
    pathMtu: number(60),
    rttUs: number(68),
    rttVarUs: number(72),
    congestionWindow: number(80),
    totalRetransmits: number(100),
    bytesAcknowledged: newerBig(120),
    bytesReceived: newerBig(128),
    notSentBytes: newer(144),
    minRttUs: newer(148),
    deliveryRate: newerBig(160),
  };
}
