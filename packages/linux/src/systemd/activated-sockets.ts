import { listenFds } from "./listen-fds.ts";

/**
 * The listening sockets of systemd by their address, for `new Server(conf, { inherited: activatedSockets() })` of `@sluice/core`:
 * `127.0.0.1:80`, `[::]:443`, `unix:/run/app.sock`; a second one with the same has `#2` behind it, and so on. A listener takes the
 * one whose address it was given, in this spelling. Empty when systemd has passed none.
 * @param env As of {@link listenFds}. @throws LinuxError as that.
 */
export function activatedSockets(env: NodeJS.ProcessEnv = process.env): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { fd, socket } of listenFds(env)) {
    if (socket?.type !== "stream" || !socket.listening) continue;
    let key = socket.address;
    for (let nth = 2; found.has(key); nth++) key = `${socket.address}#${nth}`;
    found.set(key, fd);
  }
  return found;
}
