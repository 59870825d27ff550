import type { Certificate } from "./certificate.ts";
import type { Wire } from "./wire.ts";

/** A proxy that takes part. */
export interface Contender {
  /** As `--only` and the tables call it. */
  readonly name: string;
  /**
   * Whether it runs the hooks of `proxies/sluice.ts`; then each check also looks for their traces: `x-bench` at the
   * origin, `x-proxied` at the client, the count of the logging hook at the end.
   */
  readonly hooks: boolean;
  /** What it speaks. */
  readonly wire: Wire;
  available(): Promise<Availability> | Availability;
  /** Starts it on the proxy core and waits until it listens. Throws a `StartError` when it does not. */
  start(place: Place): Promise<RunningProxy>;
}

export type Availability =
  | { readonly kind: "available"; readonly version: string }
  | { readonly kind: "missing"; readonly reason: string };

/** Where a proxy is to listen, what it is to pass on to, both on 127.0.0.1, and where its files go. */
export interface Place {
  readonly port: number;
  /** Where the origin speaks as the contender's `wire` says. */
  readonly originPort: number;
  /** To be presented to clients that come by TLS. */
  readonly certificate: Certificate;
  /** A folder for this proxy alone; may not exist yet. */
  readonly folder: string;
}

export interface RunningProxy {
  /** The process whose tree is the proxy. */
  readonly pid: number;
  /** `undefined` while it runs, then how it ended. */
  ending(): string | undefined;
  /** Stops it. Resolves with what it wrote to its output. */
  stop(): Promise<string>;
}
