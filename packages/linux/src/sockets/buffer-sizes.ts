import { SO_RCVBUF, SO_SNDBUF, SOL_SOCKET } from "../ffi/abi.ts";
import { checkOptions } from "../check-options.ts";
import { checkRange } from "./check-range.ts";
import { descriptorOf, type SocketHandle } from "./descriptor-of.ts";
import { readOption, writeOption } from "./socket-option.ts";

/** Buffers of the kernel. Bytes. */
export interface BufferSizes {
  /** `SO_SNDBUF`. */
  sendBytes?: number;
  /** `SO_RCVBUF`. */
  receiveBytes?: number;
}

/**
 * Fixes the buffers of a socket; without it the kernel grows them as they are needed, which is mostly better. The kernel doubles
 * the value, for its own book-keeping, and bounds it by `net.core.wmem_max` and `net.core.rmem_max`. For TCP to offer a window of
 * more than 64 KiB, `receiveBytes` must be set before the connection begins: on the listening socket, or by `openTcpSocket`.
 * @throws LinuxError
 */
export function setBufferSizes(socket: SocketHandle, sizes: BufferSizes): void {
  checkOptions(ATTEMPTED, sizes, ["sendBytes", "receiveBytes"]);
  checkBufferSizes(sizes);
  writeBufferSizes(descriptorOf(socket, ATTEMPTED), sizes);
}

const ATTEMPTED = "setting the buffers of a socket";

/** @throws LinuxError for a size that cannot be. */
export function checkBufferSizes({ sendBytes, receiveBytes }: BufferSizes): void {
  checkRange(ATTEMPTED, "sendBytes", sendBytes, 1, 0x3fff_ffff);
  checkRange(ATTEMPTED, "receiveBytes", receiveBytes, 1, 0x3fff_ffff);
}

/** {@link setBufferSizes} of what was checked. */
export function writeBufferSizes(fd: number, { sendBytes, receiveBytes }: BufferSizes): void {
  if (sendBytes !== undefined) writeOption(fd, SOL_SOCKET, SO_SNDBUF, sendBytes, ATTEMPTED);
  if (receiveBytes !== undefined) writeOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBytes, ATTEMPTED);
}

/** The buffers as they are now: what was set, doubled, or what the kernel has grown them to. @throws LinuxError */
export function bufferSizes(socket: SocketHandle): Required<BufferSizes> {
  const attempted = "reading the buffers of a socket";
  const fd = descriptorOf(socket, attempted);
  return {
    sendBytes: readOption(fd, SOL_SOCKET, SO_SNDBUF, attempted),
    receiveBytes: readOption(fd, SOL_SOCKET, SO_RCVBUF, attempted),
  };
}
