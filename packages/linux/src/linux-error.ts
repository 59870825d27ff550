import { constants } from "node:os";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";

/** More about a {@link LinuxError}. */
export interface LinuxErrorOptions extends ErrorOptions {
  /** The system call that failed, such as `sendmsg`. */
  readonly syscall?: string;
}

/**
 * Something that this package could not do. `message` says what was attempted, then why not:
 * `passing 3 sockets to /run/proxy.sock: connect: ENOENT (no such file or directory)`.
 */
export class LinuxError extends Error {
  override readonly name = "LinuxError";
  /**
   * The name of an errno, such as `EPERM`. Also where no call failed, for what it means: `ENOSYS` where this system or
   * installation lacks the ability, `EPROTO` for a peer that breaks the protocol, `ETIMEDOUT`, `EINVAL` for a wrong argument.
   */
  readonly code: string;
  /** What was to be done. */
  readonly attempted: string;
  /** The system call that failed; `undefined` when it was not one. */
  readonly syscall: string | undefined;

  constructor(code: string, attempted: string, why: string, { syscall, ...options }: LinuxErrorOptions = {}) {
    super(`${attempted}: ${why}`, options);
    this.code = code;
    this.attempted = attempted;
    this.syscall = syscall;
  }

  /** Of a call that failed. @param errno As in C: positive. */
  static fromErrno(errno: number, syscall: string, attempted: string): LinuxError {
    const code = errnoName(errno);
    return new LinuxError(code, attempted, `${syscall}: ${code} (${getSystemErrorMessage(-errno)})`, { syscall });
  }
}

/** `13` → `EACCES`; a number that nobody knows → `errno 4711`. */
export function errnoName(errno: number): string {
  // Some have two names; libuv's is the usual one, and it does not know all.
  const name = getSystemErrorName(-errno);
  if (!name.startsWith("Unknown")) return name;
  const known = Object.entries(constants.errno).find(([, number]) => number === errno);
  return known?.[0] ?? (errno === ETOOMANYREFS ? "ETOOMANYREFS" : `errno ${errno}`);
}

/** Linux, all but Alpha, MIPS, PA-RISC and SPARC. */
const ETOOMANYREFS = 109;
