/** What a proxy speaks. */
export interface Wire {
  /** With its clients; HTTP/2 without TLS by prior knowledge. */
  readonly client: "h1" | "h2";
  /** Whether clients come by TLS, always 1.3. To the origin nobody does. */
  readonly tls: boolean;
  readonly origin: "h1" | "h2";
}

/** HTTP/1 without TLS, to both sides. */
export const HTTP1: Wire = { client: "h1", tls: false, origin: "h1" };

/** The URL of a path at a proxy. */
export function urlOf({ tls }: Pick<Wire, "tls">, port: number, path: string): string {
  return `${tls ? "https" : "http"}://127.0.0.1:${port}${path}`;
}
