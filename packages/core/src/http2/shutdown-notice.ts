import { Socket } from "node:net";
import type { ByteStream } from "../net/byte-stream.ts";

/** GOAWAY with the highest stream there can be, and NO_ERROR (RFC 9113, section 6.8). */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * Sends the first of the two GOAWAY frames of a graceful shutdown; returns whether it could. Node offers none: after its own, nghttp2
 * ignores new streams without a word, whichever stream the frame names. So the bytes go on the socket beside those of Node, which writes
 * whole frames and, on a plain socket, is queued behind. TLS of Node takes no second writer: there it is not done.
 */
export function sendGoawayForAll(stream: ByteStream): boolean {
  if (!(stream instanceof Socket) || (stream as { encrypted?: boolean }).encrypted === true) return false;
  stream.write(NOTICE);
  return true;
}
