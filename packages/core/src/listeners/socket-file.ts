import { chmodSync, existsSync, renameSync, statSync, unlinkSync } from "node:fs";
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

/**
 * A socket file outlives its process; that of a living one is not to be replaced.
 * @throws Error with the code EADDRINUSE when somebody accepts there.
 */
export async function refuseLivingSocket(address: SocketAddress): Promise<void> {
  if (!existsSync(address.path!)) return;
  const living = await connectSocket(address).catch(connectionOf);
  if (living === undefined) return;
  living.destroy();
  throw Object.assign(new Error("a connection was accepted"), { code: "EADDRINUSE" });
}

/** Nobody is there, or nobody can be told to be. */
function connectionOf(error: unknown): undefined {
  if (error instanceof ProxyError) return undefined;
  throw error;
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino;
}
