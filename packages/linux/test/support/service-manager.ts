import { closeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { receiveMessage } from "../../src/ffi/message.ts";
import { systemCall } from "../../src/ffi/system-call.ts";
import { openUnixSocket } from "../../src/ffi/unix-socket.ts";
import { unixAddress } from "../../src/ffi/unix-address.ts";

/** In the place of systemd, at `address`: what it was told next, or `undefined` when there is nothing. */
export function serviceManager(address: string): () => string | undefined {
  const fd = openUnixSocket("datagram", "test");
  onTestFinished(() => closeSync(fd));
  const bytes = unixAddress(address, "test");
  systemCall("bind", "test", (libc) => libc.bind(fd, bytes, bytes.length));
  return () => {
    const message = receiveMessage(fd, 4096);
    return typeof message === "number" ? undefined : message.bytes.toString();
  };
}
