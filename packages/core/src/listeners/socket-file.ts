import { chmodSync, renameSync, statSync, unlinkSync } from "node:fs";
import path from "node:path";
import { ProxyError } from "@sluice/error";
import { connectSocket } from "../net/connect.ts";
import type { SocketAddress } from "../net/socket-address.ts";

let made = 0;

/**
 * The file of a Unix socket. The socket is bound beside its place and then moved there: it appears with its permissions, what a
 * dead process left is replaced without a moment in which there is nothing, and the runtime, which removes the name it has
 * bound, does not remove that of a socket that was handed to another process.
 */
export class SocketFile {
  /** Where to bind. */
  readonly temporary: string;
  readonly #path: string;
  /** Which file is ours, once it is in its place. */
  #inode: bigint | undefined = undefined;

  constructor(file: string) {
    this.#path = file;
    this.temporary = path.join(path.dirname(file), `.${process.pid.toString(36)}-${(made++).toString(36)}`);
  }

  /** What is there now; a file that comes later in its place is another. */
  static there(place: string): SocketFile {
    const file = new SocketFile(place);
    file.claim();
    return file;
  }

  /** Moves what was bound to its place. */
  publish(mode: number): void {
    chmodSync(this.temporary, mode);
    renameSync(this.temporary, this.#path);
    this.claim();
  }

  /** The file that is there now is ours, to be removed at the end. */
  claim(): void {
    this.#inode = inodeOf(this.#path);
  }

  /** It belongs to another process now. */
  disclaim(): void {
    this.#inode = undefined;
  }

  /** Removes the file, unless somebody else has put another in its place. */
  remove(): void {
    if (this.#inode === undefined || inodeOf(this.#path) !== this.#inode) return;
    this.#inode = undefined;
    try {
      unlinkSync(this.#path);
    } catch {
      // A folder that we may no longer write to; the next one replaces it.
    }
  }
}

/** `sun_path` of Linux, and of the others, without the zero at its end. */
export const MAX_PATH_BYTES: number = process.platform === "linux" ? 107 : 103;

/**
 * A socket file outlives its process; that of a living one is not to be replaced, and nothing that is no socket.
 * @throws Error with a code: EADDRINUSE when somebody accepts there, EEXIST for another kind of file, ENAMETOOLONG for a path that no
 *   client could connect to.
 */
export async function checkPlace(address: SocketAddress): Promise<void> {
  const file = address.path!;
  if (Buffer.byteLength(file) > MAX_PATH_BYTES) throw withCode("ENAMETOOLONG", "the path of a socket is limited");
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw withCode("EEXIST", "what is there is no socket");
  const living = await connectSocket(address).catch(connectionOf);
  if (living === undefined) return;
  living.destroy();
  throw withCode("EADDRINUSE", "a connection was accepted");
}

function withCode(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Nobody is there, or nobody can be told to be. */
function connectionOf(error: unknown): undefined {
  if (error instanceof ProxyError) return undefined;
  throw error;
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino;
}
