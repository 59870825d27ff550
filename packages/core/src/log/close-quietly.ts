import { close } from "node:fs";

/** Closes a file that nobody needs any more: what the system says of that, such as that a disk is gone, is nobody's concern. */
export function closeQuietly(fd: number): void {
  close(fd, () => undefined);
}
