import { LinuxError } from "../linux-error.ts";
import { libc, type Libc } from "./libc.ts";

/**
 * Calls the C library, again when a signal came between.
 * @param syscall Its name, for the error.
 * @param attempted What it is for, for the error: `reading TCP_INFO of descriptor 12`.
 * @returns What it returned, 0 or more.
 * @throws LinuxError with the errno of a call that failed.
 */
export function systemCall(syscall: string, attempted: string, call: (libc: Libc) => number): number {
  const result = tryCall(call);
  if (result < 0) throw LinuxError.fromErrno(-result, syscall, attempted);
  return result;
}

/** As {@link systemCall}, for calls whose failure is expected: returns the errno, negated, in place of throwing it. */
export function tryCall(call: (libc: Libc) => number): number {
  const library = libc();
  for (;;) {
    const result = call(library);
    if (result >= 0) return result;
    const errno = library.errno();
    if (errno !== EINTR) return -errno;
  }
}

const EINTR = 4;
