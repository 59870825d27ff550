/** How the proxy of the tests is started: its only argument, as JSON. */
export interface ProxyConfig {
  /** `host:port` of each origin. */
  readonly upstreams: readonly string[];
  /** TCP health checks at this interval. Default: none. */
  readonly healthCheckIntervalMs?: number;
  /** Tell of every attempt and every request. Default false: a million messages would be the load. */
  readonly report?: boolean;
  /**
   * Another attempt goes where none went before, if it can. Default false: to the balancer's next choice, whichever it is.
   */
  readonly elsewhere?: boolean;
  /**
   * A GET is sent again also when a new connection ended before a byte of the response. Default false, the proxy's own rule.
   */
  readonly getAgain?: boolean;
}

/** What the proxy tells, in the order in which it happened. */
export type ProxyEvent =
  | { readonly kind: "attempt"; readonly id: string; readonly peer: string }
  | RequestEvent
  /** A health check of `peer` begins. */
  | { readonly kind: "check"; readonly peer: string }
  | { readonly kind: "health"; readonly peer: string; readonly healthy: boolean };

/** A request is over. */
export interface RequestEvent {
  readonly kind: "request";
  /** What stands behind `id=` in the target. */
  readonly id: string;
  /** The peer of each attempt. */
  readonly peers: readonly string[];
  readonly tries: number;
  readonly status: number | undefined;
  /** Why it failed, with its whole chain; `undefined` for one that did not. */
  readonly error: string | undefined;
}

/** Answer of the proxy to `"counts"`. */
export interface ProxyCounts {
  /** Open connections of clients. */
  readonly clients: number;
  /** Idle connections to origins. */
  readonly idle: number;
}

/** How an origin is started. */
export interface OriginConfig {
  readonly port: number;
  /** Comes in the `X-Origin` field of every response. */
  readonly tag: string;
  /** Each POST to `/job` appends its id here before it is answered. */
  readonly jobs?: string;
  /** It closes idle connections after this time, and does not say so. Default: 5 s. */
  readonly keepAliveMs?: number;
  /** Every so many responses one says `Connection: close`. Default: none. */
  readonly closeEvery?: number;
}

/** Answer of an origin to `"counts"`. */
export interface OriginCounts {
  readonly connections: number;
  /** Bytes of bodies that it gave to its sockets. */
  readonly sentBytes: number;
  /** Requests that arrived with `/held` and were not let go. */
  readonly held: number;
}

/** To a program: `call` asks for an answer under the same number. */
export interface Call {
  readonly call: string;
  readonly argument?: unknown;
  readonly number: number;
}

/** From a program. */
export type Message =
  | { readonly listening: number }
  | { readonly answer: unknown; readonly number: number }
  | { readonly event: unknown };
