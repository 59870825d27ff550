import { endianness } from "node:os";
import { systemCall } from "../ffi/system-call.ts";

const LITTLE = endianness() === "LE";

/** A whole number that is an option of a socket. @throws LinuxError */
export function readOption(fd: number, level: number, option: number, attempted: string): number {
  const bytes = readOptionBytes(fd, level, option, 4, attempted);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getInt32(0, LITTLE);
}

/** Sets what {@link readOption} reads. @throws LinuxError */
export function writeOption(fd: number, level: number, option: number, value: number, attempted: string): void {
  const memory = new Int32Array([value]);
  systemCall("setsockopt", attempted, (libc) => libc.setsockopt(fd, level, option, memory, memory.byteLength));
}

/** An option that is a structure; as many bytes as the kernel has of it, at most `maxBytes`. @throws LinuxError */
export function readOptionBytes(
  fd: number,
  level: number,
  option: number,
  maxBytes: number,
  attempted: string,
): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(maxBytes);
  const length = new Uint32Array([maxBytes]);
  systemCall("getsockopt", attempted, (libc) => libc.getsockopt(fd, level, option, bytes, length));
  return bytes.subarray(0, length[0]);
}
