import { isIPv6 } from "node:net";
import { logger } from "../log/logger.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { nowMs } from "../net/clock.ts";

/** How often a limit that holds is told. */
const TELL_EVERY_MS = 10_000;

/** Which limit keeps somebody out. */
export type ConnectionLimit = "listener-limit" | "client-limit";

/** Counts the connections of one listener, and refuses those that would be too many. */
export class ConnectionLimits {
  readonly #most: number;
  readonly #mostPerClient: number;
  readonly #listener: SocketAddress;
  readonly #perClient = new Map<string, number>();
  #open = 0;
  #refusedSinceTold = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(listener: SocketAddress, most: number, mostPerClient: number) {
    this.#listener = listener;
    this.#most = most;
    this.#mostPerClient = mostPerClient;
  }

  /** Connections that are open, those that wait for a filter included. */
  get open(): number {
    return this.#open;
  }

  /**
   * Takes one more in and returns how to give its place back, or says which limit keeps it out.
   * @param client `undefined` on a Unix socket: only the listener's limit counts.
   */
  admit(client: SocketAddress | undefined): (() => void) | ConnectionLimit {
    if (this.#open >= this.#most) return this.#refuse("listener-limit", client);
    const key = client?.host === undefined ? undefined : clientKey(client.host);
    const ofClient = key === undefined ? 0 : (this.#perClient.get(key) ?? 0);
    if (ofClient >= this.#mostPerClient) return this.#refuse("client-limit", client);
    this.#open++;
    if (key !== undefined) this.#perClient.set(key, ofClient + 1);
    let held = true;
    return () => {
      if (held) this.#release(key);
      held = false;
    };
  }

  #release(key: string | undefined): void {
    this.#open--;
    if (key === undefined) return;
    const left = (this.#perClient.get(key) ?? 1) - 1;
    if (left > 0) this.#perClient.set(key, left);
    else this.#perClient.delete(key);
  }

  #refuse(limit: ConnectionLimit, client: SocketAddress | undefined): ConnectionLimit {
    this.#refusedSinceTold++;
    const now = nowMs();
    if (now - this.#toldAtMs >= TELL_EVERY_MS) {
      const [option, most] =
        limit === "listener-limit" ? ["maxConnections", this.#most] : ["maxConnectionsPerClient", this.#mostPerClient];
      const fields = {
        listener: this.#listener.text,
        limit,
        [option]: most,
        client: client?.text,
        refused: this.#refusedSinceTold,
      };
      logger("core").warn(fields, "too many connections; refused");
      this.#refusedSinceTold = 0;
      this.#toldAtMs = now;
    }
    return limit;
  }
}

/** An IPv4 address as it is; of an IPv6 address the network that one client has to itself (RFC 6177: at least a /64). */
export function clientKey(host: string): string {
  if (!isIPv6(host)) return host;
  const [left = "", right] = host.split("%", 1)[0]!.split("::", 2);
  const groups = left === "" ? [] : left.split(":");
  // What `::` leaves out is zero, and only the first four groups are wanted; an IPv4 tail is never among them.
  if (right !== undefined) {
    const behind = right === "" ? [] : right.split(":");
    const missing = 8 - groups.length - behind.length - (right.includes(".") ? 1 : 0);
    groups.push(...Array.from({ length: missing }, () => "0"), ...behind);
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
