import type { ConnectStream } from "./connect-stream.ts";
import type { PeerProtocol } from "./http-peer.ts";

/** What two peers must have in common, beside their address, to share connections: all that the origin, or the way there, could tell. */
export interface ReuseParts {
  readonly tls: boolean;
  readonly sni: string | undefined;
  /** All else that is asked of TLS, as a text; "" for nothing. */
  readonly tlsKey: string;
  readonly bindTo: string | undefined;
  readonly group: string;
  readonly connectStream: ConnectStream | undefined;
  readonly tunnel: boolean;
  readonly protocol: PeerProtocol;
  /** By this limit a peer asks for company, or for none; without meaning by HTTP/1. */
  readonly maxH2Streams: number;
}

/** What was made lately, by address: peers are often made anew for each request. */
const lately = new Map<string, { readonly parts: ReuseParts; readonly key: string }>();
const MAX_KEPT = 1024;

/**
 * The key under which a peer's connections are kept: a text, so that nothing collides and logs can show it.
 *
 * For the same peer it is the very same string again. To find a new one of the same letters in a `Map` costs the engine a quarter of a
 * microsecond, and a peer with options another one to make it: 3 % of a request by HTTP/2.
 */
export function reuseKey(address: string, parts: ReuseParts): string {
  if (parts.protocol === "http1" && isPlain(parts)) return address;
  const known = lately.get(address);
  if (known !== undefined && isSame(known.parts, parts)) return known.key;
  const key = keyOf(address, parts);
  if (lately.size >= MAX_KEPT) lately.clear();
  lately.set(address, { parts, key });
  return key;
}

function isSame(one: ReuseParts, other: ReuseParts): boolean {
  return (
    one.tls === other.tls &&
    one.sni === other.sni &&
    one.tlsKey === other.tlsKey &&
    one.bindTo === other.bindTo &&
    one.group === other.group &&
    one.connectStream === other.connectStream &&
    one.tunnel === other.tunnel &&
    one.protocol === other.protocol &&
    (one.maxH2Streams === other.maxH2Streams || one.protocol === "http1")
  );
}

/** Nothing is said of it but the protocol. */
function isPlain({ tls, bindTo, group, connectStream, tunnel }: ReuseParts): boolean {
  return !tls && bindTo === undefined && group === "" && connectStream === undefined && !tunnel;
}

function keyOf(address: string, parts: ReuseParts): string {
  const key = isPlain(parts) ? address : textOf(address, parts);
  return parts.protocol === "http1" ? key : `${key} ${parts.protocol} ${parts.maxH2Streams}`;
}

function textOf(address: string, { tls, sni, tlsKey, bindTo, group, connectStream, tunnel }: ReuseParts): string {
  const made = connectStream === undefined ? undefined : identityOf(connectStream);
  const parts = [address, tls, tlsKey === "" ? sni : [sni, tlsKey], bindTo, group, made];
  // Tunnels are never pooled, and no connection that is serves one.
  return JSON.stringify(tunnel ? [...parts, "tunnel"] : parts);
}

/** A number for each function, by which keys tell them apart. */
const identities = new WeakMap<ConnectStream, number>();
let lastIdentity = 0;

function identityOf(connectStream: ConnectStream): number {
  let identity = identities.get(connectStream);
  if (identity === undefined) identities.set(connectStream, (identity = ++lastIdentity));
  return identity;
}
