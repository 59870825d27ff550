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
