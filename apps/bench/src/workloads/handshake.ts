import type { Handshake, Workload } from "../workload.ts";
import { download } from "./download.ts";

/** A handshake, then a GET of 13 B, then the end of the connection. */
export function handshake(kind: Handshake): Workload {
  return { ...download(13, `/${kind}.bin`), name: `${kind} handshake`, handshake: kind };
}
