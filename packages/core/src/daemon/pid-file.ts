import {
  closeSync,
  constants,
  existsSync,
  fchownSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { ProxyError } from "@sluice/error";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** The file that says which process the server is. */
export class PidFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The file of the server before, so that its number is not taken for this one's. */
  get old(): string {
    return `${this.path}.old`;
  }

  /**
   * Whether {@link putAside} and {@link write} could do what they do, whoever will do it.
   * @throws Error that says why not.
   */
  check(): void {
    const folder = dirname(this.path);
    if (!statSync(folder).isDirectory()) throw new Error(`${folder} is no folder`);
    if (existsSync(this.path) && !mayBePidFile(this.path)) throw noPidFile();
  }

  /**
   * Renames the file that is there to `….old`; whether one was.
   * @throws ProxyError when it cannot, or what is there is no pid file, which a slip in the configuration is not to take away.
   */
  putAside(): boolean {
    try {
      if (!mayBePidFile(this.path)) throw noPidFile();
      renameSync(this.path, this.old);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw refused(`pid_file: cannot rename ${this.path}`, error);
    }
  }

  /**
   * The server before goes on, for this one could not start or take over: its file gets its name back, unless another is there, or it
   * has ended and taken its file with it.
   */
  restore(): void {
    if (!existsSync(this.path) && existsSync(this.old)) renameSync(this.old, this.path);
  }

  /**
   * Writes the number of this process to a new file.
   * @param owner Who may remove it later. Default: whoever this process is.
   * @throws ProxyError when it cannot, or a file is there.
   */
  write(owner?: { readonly uid: number; readonly gid: number }): void {
    let fd: number | undefined;
    try {
      // Nobody who put a link there, in a folder for all, has us write elsewhere.
      fd = openSync(this.path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o644);
      writeFileSync(fd, `${process.pid}\n`);
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    } catch (error) {
      // An empty one, as a full disk leaves it, would be in the way of that of the server before.
      if (fd !== undefined) unlinkSync(this.path);
      throw refused(`pid_file: cannot write ${this.path}`, error);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /**
   * Removes the file if it names this process, also where the next server has renamed it. What cannot be removed stays.
   */
  remove(): void {
    for (const file of [this.path, this.old]) {
      try {
        if (Number(readFileSync(file, "utf8")) === process.pid) unlinkSync(file);
      } catch {
        // It is gone, or in a folder that only root may write to.
      }
    }
  }
}

/** A number, nothing yet, or a link, which is not followed. */
function mayBePidFile(file: string): boolean {
  const stats = lstatSync(file);
  if (!stats.isFile()) return stats.isSymbolicLink();
  return stats.size <= MAX_PID_FILE_BYTES && /^\s*\d*\s*$/.test(readFileSync(file, "latin1"));
}

const MAX_PID_FILE_BYTES = 32;

function noPidFile(): Error {
  return new Error("there is something that is no pid file; choose another path");
}

function refused(what: string, cause: unknown): ProxyError {
  return ProxyError.internal("InternalError", what, cause);
}
