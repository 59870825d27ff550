import { checkOptionNames } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { checkSessionLimit, DEFAULT_SESSION_LIMITS, type SessionLimitValues } from "../http/session-limits.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import type { Http1ServerOptions } from "../http1/server-options.ts";
import type { EndpointSettings } from "./connection/endpoint-owner.ts";
import { FIELD_OVERHEAD_BYTES } from "./heads/field-rules.ts";

/**
 * How HTTP/2 clients are treated. Times are milliseconds; 0 waits for ever. What HTTP/1 has too is as it is there, unless it is
 * said here.
 */
export interface Http2ServerOptions extends HeadLimits, SessionLimitValues {
  /**
   * Speak HTTP/2 without TLS to clients that begin with its preface (prior knowledge, RFC 9113, section 3.3), on the port of
   * HTTP/1. Default false: browsers do not, so only a proxy in front or a client of your own asks for it; without it such clients
   * get a 505. Does not concern TLS, where ALPN decides.
   */
  h2c: boolean;
  /**
   * Streams that a client may have open at a time (SETTINGS_MAX_CONCURRENT_STREAMS). Default 100, the least that RFC 9113 section
   * 6.5.2 recommends: it is also what one connection can make an upstream do at once. Beyond: REFUSED_STREAM.
   */
  maxConcurrentStreams: number;
  /**
   * Bytes of a request body that may be under way, or wait for a slow upstream, on a stream (SETTINGS_INITIAL_WINDOW_SIZE).
   * Default 262,144: at a round trip of 50 ms an upload of 5 MB/s.
   */
  streamWindowBytes: number;
  /** The same for all streams of a connection together. Default 1,048,576. At least 65,535. */
  connectionWindowBytes: number;
  /** The largest frame that is taken (SETTINGS_MAX_FRAME_SIZE), 16,384 to 16,777,215. Default 16,384. */
  maxFrameBytes: number;
  /** Take extended CONNECT (RFC 8441), by which browsers speak WebSocket over HTTP/2. Default true. */
  extendedConnect: boolean;
  /** Requests on one connection, after which it takes no more (GOAWAY). Default: no limit. */
  maxRequests: number;
  /**
   * Time for a client to close its side after we have closed ours, and to answer our PING at a shutdown before that. Default 5000.
   * Again, at most twenty times, while bytes of it come: it may still be reading what the system has for it. So it may behind a
   * response of more than 64 KiB without a word, for `writeMs` or 60 s, whichever is less.
   */
  lingerMs: number;
  /** See `Http1ServerOptions`. */
  tunnelIdleMs: number;
  tunnelHalfCloseMs: number;
  /**
   * Streams that may end by a reset within ten seconds, whoever sends it, before the connection ends with ENHANCE_YOUR_CALM: a
   * client that opens and resets streams makes work without waiting for it (CVE-2023-44487), and so does one that makes us reset
   * them. Default 200: two pages' worth of requests that are given up.
   */
  maxResets: number;
  /**
   * PING, SETTINGS, WINDOW_UPDATE and other frames that carry nothing, within ten seconds, before the connection ends with
   * ENHANCE_YOUR_CALM. Default 1000; each head, each frame of a body either way, and each KiB that we send allow four more.
   */
  maxControlFrames: number;
}

type Own = Omit<
  Http2ServerOptions,
  keyof HeadLimits | keyof SessionLimitValues | "lingerMs" | "tunnelIdleMs" | "tunnelHalfCloseMs"
>;

const OWN: Own = {
  h2c: false,
  maxConcurrentStreams: 100,
  streamWindowBytes: 262_144,
  connectionWindowBytes: 1_048_576,
  maxFrameBytes: 16_384,
  extendedConnect: true,
  maxRequests: Number.POSITIVE_INFINITY,
  maxResets: 200,
  maxControlFrames: 1000,
};

/** RFC 9113, sections 6.5.2 and 6.9.1. */
const RANGES: Readonly<Record<string, readonly [least: number, most: number]>> = {
  maxConcurrentStreams: [1, 2 ** 31 - 1],
  streamWindowBytes: [1, 2 ** 31 - 1],
  connectionWindowBytes: [65_535, 2 ** 31 - 1],
  maxFrameBytes: [16_384, 2 ** 24 - 1],
  maxHeadBytes: [1, 2 ** 30],
  maxFields: [1, 2 ** 20],
  maxRequests: [1, Number.POSITIVE_INFINITY],
  maxResets: [1, Number.POSITIVE_INFINITY],
  maxControlFrames: [1, Number.POSITIVE_INFINITY],
};

/**
 * @param http1 What holds where nothing else is said.
 * @throws RangeError or TypeError naming the option that is out of range.
 */
export function resolveHttp2ServerOptions(
  given: Partial<Http2ServerOptions>,
  http1: Http1ServerOptions,
): Http2ServerOptions {
  const { maxRequests: _, headMs: __, ...shared } = http1;
  const defaults: Http2ServerOptions = { ...shared, ...OWN };
  checkOptionNames("http2", given, Object.keys(defaults));
  const options = { ...defaults, ...given };
  for (const [name, value] of Object.entries(options) as [string, unknown][]) check(name, value);
  return options;
}

/** What a connection says of itself to its client. */
export function endpointSettings(options: Http2ServerOptions): EndpointSettings {
  const { streamWindowBytes, connectionWindowBytes, maxFrameBytes, maxConcurrentStreams } = options;
  const { maxHeadBytes, maxFields, extendedConnect, maxResets, maxControlFrames } = options;
  return {
    role: "server",
    streamWindowBytes,
    connectionWindowBytes,
    creditsConnection: "when-taken",
    maxFrameBytes,
    // Beyond our own limits a request is answered; beyond twice as much its stream is reset.
    maxHeaderListBytes: (maxHeadBytes + maxFields * FIELD_OVERHEAD_BYTES) * 2,
    maxConcurrentStreams,
    extendedConnect,
    maxResets,
    maxControlFrames,
  };
}

function check(name: string, value: unknown): void {
  if (name in DEFAULT_SESSION_LIMITS) {
    checkSessionLimit(name, value);
  } else if (name === "h2c" || name === "extendedConnect") {
    if (typeof value !== "boolean") throw new TypeError(`http2.${name}: expected true or false, got ${shown(value)}`);
  } else {
    const [least, most] = RANGES[name] ?? [0, Number.POSITIVE_INFINITY];
    const whole = name.endsWith("Ms") || value === Number.POSITIVE_INFINITY || Number.isInteger(value);
    if (typeof value === "number" && value >= least && value <= most && whole) return;
    const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new RangeError(`http2.${name}: expected a number ${range}, got ${shown(value)}`);
  }
}
