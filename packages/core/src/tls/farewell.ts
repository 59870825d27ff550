import type { ByteStream } from "../net/byte-stream.ts";
import { SocketReader } from "../net/socket-reader.ts";

/** How long what a client still sends is read. */
const LINGER_MS = 2000;

/** `INADEQUATE_SECURITY` (RFC 9113, section 7). */
const INADEQUATE_SECURITY = 0xc;
const EMPTY_SETTINGS = Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0);

/**
 * Tells a client whose handshake is done why there is no connection for it all the same, in the protocol agreed on, and ends. TLS has
 * alerts for it, but whoever has no way to send them says it as nginx does, one layer higher.
 * @param stream Not to be used afterwards.
 * @param alpn The protocol; `undefined` is HTTP/1.
 * @param why A line of ASCII for somebody who looks into it.
 */
export function refuseConnection(stream: ByteStream, alpn: string | undefined, why: string): void {
  stream.on("error", () => undefined);
  stream.write(alpn === "h2" ? http2Refusal(why) : http1Refusal(why));
  partFrom(stream);
}

/**
 * Ends our direction and reads on for a while. Closed at once, with the client still sending, the connection would be reset, and the
 * client's own error hide what it was told last (RFC 9112, section 9.6).
 */
export function partFrom(stream: ByteStream): void {
  const close = (): void => void stream.destroy();
  const timer = setTimeout(close, LINGER_MS).unref();
  stream.on("close", () => clearTimeout(timer));
  stream.on("end", close);
  const reader = SocketReader.of(stream);
  if (reader === undefined) stream.on("data", () => undefined);
  else reader.start({ onData: () => undefined });
  stream.end();
  stream.resume();
}

function http1Refusal(why: string): Buffer {
  const body = `${why}\n`;
  const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close`;
  return Buffer.from(`${head}\r\n\r\n${body}`);
}

/** A server's preface (RFC 9113, section 3.4), and GOAWAY with the reason as debug data (section 6.8). */
function http2Refusal(why: string): Buffer {
  const head = Buffer.alloc(17);
  head.writeUIntBE(8 + why.length, 0, 3);
  head[3] = 7;
  head.writeUInt32BE(INADEQUATE_SECURITY, 13);
  return Buffer.concat([EMPTY_SETTINGS, head, Buffer.from(why, "latin1")]);
}
