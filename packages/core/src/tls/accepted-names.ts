import type { HttpPeer } from "../upstreams/http-peer.ts";

/**
 * The names, any of which the certificate of a peer may be for: its SNI, else the host of its address, and `alternativeCn`; each also
 * with hyphens for the underscores of its leftmost label, as in Pingora: certificates cannot be for names with underscores, and such
 * names exist. Empty if there is none to check.
 */
export function acceptedNames(peer: HttpPeer): readonly string[] {
  const names: string[] = [];
  // An empty SNI sends none; the certificate must be for somebody all the same.
  const name = peer.sni === undefined || peer.sni === "" ? peer.address.host : peer.sni;
  for (const wanted of [name, peer.tlsOptions.alternativeCn]) {
    if (wanted === undefined || wanted === "") continue;
    names.push(wanted);
    const replaced = withoutUnderscores(wanted);
    if (replaced !== undefined) names.push(replaced);
  }
  return names;
}

/** `bb_b.some.com` → `bb-b.some.com`; `undefined` for names with fewer than two dots, or without such underscores. */
function withoutUnderscores(name: string): string | undefined {
  const [leftmost = "", ...rest] = name.split(".");
  if (rest.length < 2 || !leftmost.includes("_") || rest.some((label) => label.includes("_"))) return undefined;
  return [leftmost.replaceAll("_", "-"), ...rest].join(".");
}
