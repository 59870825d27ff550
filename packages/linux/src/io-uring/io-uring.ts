import type { Socket } from "node:net";
import { LinuxError } from "../linux-error.ts";
import type { NativeCalls } from "./calls.ts";
import { Ring } from "./ring.ts";
import { takeHandle } from "./socket-handle.ts";
import { UringStream, type StreamReader } from "./uring-stream.ts";

/** A transport for `@sluice/core`. */
export interface IoUring {
  /**
   * Carries the connection of `socket` from now on, which must be open and paused, and must not have been read. `undefined` for one
   * without a descriptor; it is as it was, and otherwise dead.
   */
  adopt(socket: Socket, reader: StreamReader): UringStream | undefined;
  /** Delivers what has arrived on all connections. */
  readArrived(): void;
  /** For those who need more of the program than the connections, such as TLS. */
  readonly native: NativeCalls;
}

let made: { readonly ring: Ring } | { readonly error: LinuxError } | undefined;

/**
 * Carries connections by io_uring: many are read and written by one system call, in place of one for each. The more requests are under
 * way at a time, the more it saves. To be given to a proxy as its `transport`.
 *
 * There is one ring in a process, of some 20 MB, of which what was used once is resident.
 * @throws LinuxError `ENOSYS` where there can be none: on another system than Linux 6.0 or later, where a container forbids it, in a worker
 * thread, or where koffi has no binary.
 */
export function ioUring(): IoUring {
  made ??= make();
  if ("error" in made) throw made.error;
  const { ring } = made;
  return {
    adopt(socket, reader) {
      const handle = takeHandle(socket);
      return handle && new UringStream(ring, handle, reader);
    },
    readArrived: () => ring.turnAll(),
    native: ring.native,
  };
}

function make(): NonNullable<typeof made> {
  try {
    return { ring: new Ring() };
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    return { error };
  }
}
