/** A client's version of HTTP, and an upstream's, with TLS on both sides or on none. */
export interface Leg {
  readonly name: string;
  readonly downstream: 1 | 2;
  readonly upstream: 1 | 2;
  readonly tls: boolean;
  /** What the client needs to believe our certificate. */
  readonly clientTls: { readonly ca?: string; readonly servername?: string };
}

export const LEGS: readonly Leg[] = [1, 2].flatMap((downstream) =>
  [1, 2].map((upstream) => ({
    name: `h${downstream} to h${upstream}`,
    downstream: downstream as 1 | 2,
    upstream: upstream as 1 | 2,
    tls: false,
    clientTls: {},
  })),
);
