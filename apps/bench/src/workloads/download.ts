import { randomBytes } from "node:crypto";
import { formatBodySize } from "../body-size.ts";
import type { Exchange, Workload } from "../workload.ts";

/** A GET with the fewest fields, answered with a file of random bytes. */
export function download(bytes: number, path: string = `/${bytes}.bin`): Workload {
  const content = randomBytes(bytes);
  const timed: Exchange = { request: { method: "GET", path, fields: [] }, answer: { fields: [], content } };
  return { name: formatBodySize(bytes), timed, checks: [timed], files: [{ path, content }], locations: "" };
}
