import type { PeerOptions } from "../../packages/proxy/src/index.ts";
import { certificateAuthority } from "../../packages/tls-openssl/src/certificates/make-certificate.ts";

/** A client's version of HTTP, and an upstream's, with TLS on both sides or on none. */
export interface Leg {
  readonly name: string;
  readonly downstream: 1 | 2;
  readonly upstream: 1 | 2;
  readonly tls: boolean;
}

const authority = certificateAuthority();

/** What everybody of the tests believes. */
export const TRUSTED: string = authority.cert;

/** What every server of the tests shows. */
export const CERTIFICATE: { readonly cert: string; readonly key: string } = authority.issue({
  names: ["127.0.0.1", "localhost"],
});

export const LEGS: readonly Leg[] = [false, true].flatMap((tls) =>
  ([1, 2] as const).flatMap((downstream) =>
    ([1, 2] as const).map((upstream) => {
      const name = `h${downstream} to h${upstream}${tls ? ", by TLS" : ""}`;
      return { name, downstream, upstream, tls };
    }),
  ),
);

/** HTTP/1 on both sides, without TLS. */
export const PLAIN: Leg = LEGS[0]!;

/** How a peer speaks to the origin of a leg. With TLS the versions are left to ALPN. */
export function peerOptions({ tls, upstream }: Leg): PeerOptions {
  if (tls) return { tls: true, ca: TRUSTED, maxHttpVersion: upstream };
  return upstream === 2 ? { minHttpVersion: 2 } : {};
}
