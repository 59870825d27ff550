import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { checkSessionLimit, DEFAULT_SESSION_LIMITS, type SessionLimitValues } from "../http/session-limits.ts";
import { DEFAULT_HEAD_LIMITS, type HeadLimits } from "./head-limits.ts";

/**
 * How HTTP/1 clients are treated. Times are milliseconds; 0 waits for ever. What concerns a single exchange, a request can
 * have otherwise by the `limits` of its session.
 */
export interface Http1ServerOptions extends HeadLimits, SessionLimitValues {
  /**
   * Time for a whole head, from its first byte. Default 60,000. On expiry: 408 and close; a head sent byte by byte does not
   * extend it.
   */
  headMs: number;
  /**
   * In a tunnel (after a change of protocol, such as WebSocket, or CONNECT): how long neither side may send anything. Default
   * 3,600,000, an hour: such connections are quiet by nature, and many send no pings. On expiry: both connections are cut.
   */
  tunnelIdleMs: number;
  /**
   * The same once one side of a tunnel has ended its direction: the other is then often gone without a word. Default 60,000.
   * As long as it sends, it may go on.
   */
  tunnelHalfCloseMs: number;
  /**
   * How long what the client still sends is read and dropped, so that it is not answered by a reset, which takes what the client has not
   * read (RFC 9112, section 9.6): after a response that closes, after one that is broken off behind others, and where an idle connection
   * closes within a minute of a response, if more than 64 KB were sent on it. Default 5000.
   */
  lingerMs: number;
  /** Requests on one connection, after which it is closed. Default: no limit. */
  maxRequests: number;
}

const DEFAULTS: Http1ServerOptions = {
  ...DEFAULT_HEAD_LIMITS,
  ...DEFAULT_SESSION_LIMITS,
  headMs: 60_000,
  tunnelIdleMs: 3_600_000,
  tunnelHalfCloseMs: 60_000,
  lingerMs: 5000,
  maxRequests: Number.POSITIVE_INFINITY,
};

/** @throws RangeError naming the option that is out of range. */
export function resolveHttp1ServerOptions(given: Partial<Http1ServerOptions> = {}): Http1ServerOptions {
  checkOptionNames("http1", given, Object.keys(DEFAULTS));
  const options = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(options)) {
    if (name in DEFAULT_SESSION_LIMITS) {
      checkSessionLimit(name, value);
      continue;
    }
    const least = name.endsWith("Ms") ? 0 : 1;
    if (typeof value !== "number" || Number.isNaN(value) || value < least) {
      throw new RangeError(`${name}: expected a number of at least ${least}, got ${shown(value)}`);
    }
  }
  return options;
}
