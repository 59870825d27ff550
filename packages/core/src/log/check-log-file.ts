import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";

/**
 * Whether a log can be written to this file by the account that the process has. Nothing is opened: a file that were created now might
 * belong to another account than the one that is to write it, and whoever reads a pipe would take it for ended.
 * @throws Error of the system, or with what is there instead of a file.
 */
export function checkLogFile(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) throw new Error("it is a directory");
  if (found !== undefined) accessSync(file, constants.W_OK);
  // Else it is created, which its folder must be there for, and allow.
  else accessSync(path.dirname(file), constants.W_OK | constants.X_OK);
}
