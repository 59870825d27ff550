import { endianness } from "node:os";
import { AF_UNIX } from "./abi.ts";
import { LinuxError } from "../linux-error.ts";

/** What `sun_path` holds; a path needs one byte of it for its end. */
const MAX_PATH_BYTES = 108;

/**
 * `struct sockaddr_un` of a path, or of a name in the abstract namespace: `@name` as systemd and `ss` write it, or `\0name`.
 * @param attempted For the error.
 * @throws LinuxError `EINVAL`, `ENAMETOOLONG`.
 */
export function unixAddress(path: string, attempted: string): Buffer {
  const abstract = path.startsWith("@") || path.startsWith("\0");
  const bytes = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`);
  const nulAt = bytes.indexOf(0, abstract ? 1 : 0);
  if (bytes.length < 2 || (nulAt >= 0 && nulAt < bytes.length - (abstract ? 0 : 1))) {
    const expected = "expected a path, or @name for a name in the abstract namespace";
    throw new LinuxError("EINVAL", attempted, `${JSON.stringify(path)} is no address of a Unix socket; ${expected}`);
  }
  if (bytes.length > MAX_PATH_BYTES) {
    const why = `${path} is too long for a Unix socket: ${bytes.length - 1} bytes, ${MAX_PATH_BYTES - 1} are possible`;
    throw new LinuxError("ENAMETOOLONG", attempted, why);
  }
  return Buffer.concat([new Uint8Array(familyBytes), bytes]);
}

const familyBytes = endianness() === "LE" ? [AF_UNIX, 0] : [0, AF_UNIX];
