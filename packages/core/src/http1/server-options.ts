import { checkOptionNames } from "../config/known-options.ts";
import { DEFAULT_HEAD_LIMITS, type HeadLimits } from "./head-limits.ts";

/** How HTTP/1 clients are treated. Times are milliseconds; 0 waits for ever. */
export interface Http1ServerOptions extends HeadLimits {
  /**
   * Time for a whole head, from its first byte. Default 60,000. On expiry: 408 and close; a head sent byte by byte does not
   * extend it.
   */
  headMs: number;
  /** Wait for the first byte of a connection's next (or first) request. Default 75,000, as nginx. On expiry: close. */
  keepAliveMs: number;
  /** Wait for the next bytes of a request body. Default 60,000. On expiry: 408 if nothing was answered yet, and close. */
  bodyMs: number;
  /** Wait for a client that takes no bytes. Default 60,000. On expiry: the connection is cut. */
  writeMs: number;
  /**
   * How much a client that is behind must take, averaged over each `writeMs`. Bytes a second. Default 0: anything will do. On
   * falling short: the connection is cut.
   */
  minSendBytesPerSecond: number;
  /**
   * After a change of protocol (WebSocket): how long neither side may send anything. Default 3,600,000, an hour: such
   * connections are quiet by nature, and many send no pings. On expiry: both connections are cut.
   */
  tunnelIdleMs: number;
  /** After a response that closes: how long what the client still sends is read and dropped. Default 5000. */
  lingerMs: number;
  /** Requests on one connection, after which it is closed. Default: no limit. */
  maxRequests: number;
}

const DEFAULTS: Http1ServerOptions = {
  ...DEFAULT_HEAD_LIMITS,
  headMs: 60_000,
  keepAliveMs: 75_000,
  bodyMs: 60_000,
  writeMs: 60_000,
  minSendBytesPerSecond: 0,
  tunnelIdleMs: 3_600_000,
  lingerMs: 5000,
  maxRequests: Number.POSITIVE_INFINITY,
};

/** @throws RangeError naming the option that is out of range. */
export function resolveHttp1ServerOptions(given: Partial<Http1ServerOptions> = {}): Http1ServerOptions {
  checkOptionNames("http1", given, Object.keys(DEFAULTS));
  const options = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(options)) {
    const least = name.endsWith("Ms") || name === "minSendBytesPerSecond" ? 0 : 1;
    if (typeof value !== "number" || Number.isNaN(value) || value < least) {
      throw new RangeError(`${name}: expected a number of at least ${least}, got ${String(value)}`);
    }
  }
  return options;
}
