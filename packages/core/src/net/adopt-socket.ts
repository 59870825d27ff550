import { Socket, type SocketConstructorOpts } from "node:net";
import { SocketReader } from "./socket-reader.ts";

/** What Node keeps in a socket, and takes in its constructor, without documenting it; unchanged since Node 0.10. */
type WithHandle = { _handle?: object | null };

/**
 * Hands an accepted socket's connection over to a socket that reads through `reader`. Node offers `onread` for sockets that
 * connect, not for those that a server accepts; so the handle moves. Should a Node without that handle come, the socket stays
 * what it is, and its bytes come by `data` events: `undefined` is returned.
 * @param accepted From a server with `pauseOnConnect`, not yet read from. It is dead afterwards.
 */
export function adoptSocket(accepted: Socket, reader: SocketReader): Socket | undefined {
  const handle = (accepted as WithHandle)._handle;
  if (handle === undefined || handle === null) return undefined;
  const options = { handle, allowHalfOpen: true, onread: SocketReader.onread };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  reader.attach(socket);
  (accepted as WithHandle)._handle = null;
  return socket;
}
