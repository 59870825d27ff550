import { constants, open, openSync } from "node:fs";

/** A pipe that nobody reads is an error then (ENXIO), and not something to wait for. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** Less the umask. */
const MODE = 0o666;

/** Opens a file to be appended to; creates it if need be. @throws Error of the system. */
export function openLogSync(path: string): number {
  return openSync(path, FLAGS, MODE);
}

/** As {@link openLogSync}, and nobody waits for the disk. */
export function openLog(path: string, callback: (error: Error | null, fd: number) => void): void {
  open(path, FLAGS, MODE, callback);
}
