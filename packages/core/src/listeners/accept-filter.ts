import { shown } from "../config/shown.ts";
import type { SocketAddress } from "../net/socket-address.ts";

/**
 * Decides about a client before anything is read from it: `true` lets it in, `false` closes its connection at once, without
 * an answer.
 *
 * Called once for each connection that was accepted. Others are accepted while a promise is waited for; the client waits, and
 * is refused after 60 seconds. A filter that throws, or gives anything but `true` or `false`, refuses, and is logged as an error.
 *
 * @param client Where it comes from; an IPv4 client of an IPv6 listener has its IPv4 address. `undefined` for a client on a Unix
 * socket. A TCP client that had already left when it was accepted has no address any more: it is refused without a call.
 */
export type AcceptFilter = (client: SocketAddress | undefined) => boolean | PromiseLike<boolean>;

/** @throws TypeError for what is no function. */
export function checkAcceptFilter(filter: unknown): void {
  if (typeof filter !== "function") throw new TypeError(`acceptFilter: expected a function, got ${shown(filter)}`);
}
