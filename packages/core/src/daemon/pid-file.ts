import { chownSync, closeSync, constants, openSync, readFileSync, renameSync, unlinkSync, writeSync } from "node:fs";
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

  /** Renames the file that is there to `….old`; whether one was. */
  putAside(): boolean {
    try {
      renameSync(this.path, this.old);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw refused(`pid_file: cannot rename ${this.path}`, error);
    }
  }

  /** The server before goes on, for this one could not start: its file gets its name back, unless another is there. */
  restore(): void {
    try {
      readFileSync(this.path);
    } catch {
      renameSync(this.old, this.path);
    }
  }

  /**
   * Writes the number of this process to a new file.
   * @param owner Who may remove it later. Default: whoever this process is.
   * @throws ProxyError when it cannot, or a file is there.
   */
  write(owner?: { readonly uid: number; readonly gid: number }): void {
    try {
      // Nobody who put a link there, in a folder for all, has us write elsewhere.
      const fd = openSync(this.path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o644);
      writeSync(fd, `${process.pid}\n`);
      closeSync(fd);
      if (owner !== undefined) chownSync(this.path, owner.uid, owner.gid);
    } catch (error) {
      throw refused(`pid_file: cannot write ${this.path}`, error);
    }
  }

  /** Removes the file if it names this process. What cannot be removed stays. */
  remove(): void {
    try {
      if (Number(readFileSync(this.path, "utf8")) === process.pid) unlinkSync(this.path);
    } catch {
      // It is gone, or in a folder that only root may write to.
    }
  }
}

function refused(what: string, cause: unknown): ProxyError {
  return ProxyError.internal("InternalError", what, cause);
}
