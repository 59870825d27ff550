import { checkOptionNames, checkOptionType, shown } from "@sluice/core";
import type { ErrorEvent } from "@sentry/node";

export interface SentryOptions {
  /** Where reports go, as Sentry's project settings show it. Nothing is ever sent anywhere else, and no variable is read instead. */
  dsn: string;
  /** Such as `production`, which is the default. */
  environment?: string;
  /** What runs, such as `shop@1.4.0`. Default: not said. */
  release?: string;
  /** Default: the name of the machine. */
  serverName?: string;
  /**
   * How many of the requests that failed for good are reported, by the source of the error: 1 all, 0 none. Default: all that are
   * `internal`, our own fault, and none else: upstreams and clients fail every day, and metrics count that better. `unset` are those
   * by which a hook says what status it wants. Errors in hooks are reported in any case.
   */
  sample?: Partial<SampleRates>;
  /** At most so many reports in a minute; those of uncaught errors and ended workers have as many for themselves. Default 60. */
  maxPerMinute?: number;
  /** At most so many of those that look alike in a minute: same kind, type and place. Default 5. */
  maxAlikePerMinute?: number;
  /** Fields of the request that are told; all others are not, and their values are struck out wherever they turn up. */
  requestFields?: readonly string[];
  /** Parameters of the query that are told. Default: none. */
  queryParameters?: readonly string[];
  /** What is told of the path, for paths that hold secrets. Default: all of it. */
  path?: (path: string) => string;
  /** Tell the address of the client. Default false: it is personal data. */
  clientAddress?: boolean;
  /** How long the end of the process may wait for reports to be sent; what takes longer is given up. Milliseconds, default 2000. */
  flushMs?: number;
  /** A proxy to send through, `http://host:port`. Default: none; the variables of the environment do not count. */
  proxy?: string;
  /** Sees each report last; may change it, or give `null` to drop it. */
  beforeSend?: (event: ErrorEvent) => ErrorEvent | null | Promise<ErrorEvent | null>;
}

/** From 0, none, to 1, all. */
export interface SampleRates {
  readonly internal: number;
  readonly upstream: number;
  readonly downstream: number;
  readonly unset: number;
}

/** All there is to know, with defaults. */
export interface ResolvedOptions {
  readonly dsn: string;
  readonly environment: string;
  readonly release: string | undefined;
  readonly serverName: string | undefined;
  readonly sample: SampleRates;
  readonly maxPerMinute: number;
  readonly maxAlikePerMinute: number;
  /** In lower case. */
  readonly requestFields: ReadonlySet<string>;
  readonly queryParameters: ReadonlySet<string>;
  readonly path: (path: string) => string;
  readonly clientAddress: boolean;
  readonly flushMs: number;
  readonly proxy: string | undefined;
  readonly beforeSend: SentryOptions["beforeSend"];
}

/** Fields that say how a request is made, and not who made it. */
export const DEFAULT_REQUEST_FIELDS: readonly string[] = [
  "accept",
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "range",
  "te",
  "traceparent",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "via",
  "x-request-id",
];

/** Fields that are never told, whatever is asked for. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

/** @throws TypeError or RangeError for an option that cannot be. */
export function resolveSentryOptions(options: SentryOptions): ResolvedOptions {
  checkOptionNames(WHAT, options, OPTION_NAMES);
  checkDsn(options.dsn);
  // Before anything is spread: a number has no names.
  if (options.sample !== undefined) checkOptionNames("sample", options.sample, SOURCES);
  const sample = { internal: 1, upstream: 0, downstream: 0, unset: 0, ...options.sample };
  for (const [source, share] of Object.entries(sample)) checkRange(`sample.${source}`, share, 0, 1, "a share");
  for (const name of ["requestFields", "queryParameters"] as const) checkNames(name, options[name]);
  for (const name of ["path", "beforeSend"] as const) checkOptionType(WHAT, name, options[name], "function");
  for (const name of ["environment", "release", "serverName"] as const) {
    checkOptionType(WHAT, name, options[name], "string");
  }
  checkOptionType(WHAT, "clientAddress", options.clientAddress, "boolean");
  checkProxy(options.proxy);
  const requestFields = new Set((options.requestFields ?? DEFAULT_REQUEST_FIELDS).map((name) => name.toLowerCase()));
  for (const name of requestFields) {
    if (SECRET_FIELDS.has(name)) throw new TypeError(`requestFields: ${name} holds secrets, and cannot be told`);
  }
  return {
    dsn: options.dsn,
    environment: options.environment ?? "production",
    release: options.release,
    serverName: options.serverName,
    sample,
    maxPerMinute: checkRange("maxPerMinute", options.maxPerMinute ?? 60, 0, 100_000, "a number"),
    maxAlikePerMinute: checkRange("maxAlikePerMinute", options.maxAlikePerMinute ?? 5, 0, 100_000, "a number"),
    requestFields,
    queryParameters: new Set(options.queryParameters),
    path: options.path ?? ((path) => path),
    clientAddress: options.clientAddress ?? false,
    flushMs: checkRange("flushMs", options.flushMs ?? 2000, 1, 60_000, "milliseconds"),
    proxy: options.proxy,
    beforeSend: options.beforeSend,
  };
}

const WHAT = "sentryReporter";
const SOURCES = ["internal", "upstream", "downstream", "unset"];
const OPTION_NAMES: readonly (keyof SentryOptions)[] = [
  "dsn",
  "environment",
  "release",
  "serverName",
  "sample",
  "maxPerMinute",
  "maxAlikePerMinute",
  "requestFields",
  "queryParameters",
  "path",
  "clientAddress",
  "flushMs",
  "proxy",
  "beforeSend",
];

function checkNames(name: string, given: unknown): void {
  if (given === undefined || (Array.isArray(given) && given.every((each) => typeof each === "string"))) return;
  throw new TypeError(`${name}: expected an array of names, got ${shown(given)}`);
}

/** Its address may hold a password, and is not shown. */
function checkProxy(proxy: unknown): void {
  if (proxy === undefined) return;
  const url = typeof proxy === "string" ? URL.parse(proxy) : null;
  if (url?.protocol === "http:" || url?.protocol === "https:") return;
  throw new TypeError(`${WHAT}: proxy: expected http://host:port, and got something else`);
}

/** Sentry's own client says nothing of a DSN that it cannot read, and sends nothing. */
function checkDsn(dsn: unknown): void {
  const url = typeof dsn === "string" ? URL.parse(dsn) : null;
  const isHttp = url?.protocol === "https:" || url?.protocol === "http:";
  if (isHttp && url?.username !== "" && /\/\d+$/.test(url?.pathname ?? "")) return;
  // Without the value: whoever reads the log need not be able to report in our name.
  throw new TypeError("dsn: expected https://KEY@HOST/PROJECT, as Sentry shows it, and got something else");
}

function checkRange(name: string, value: number, min: number, max: number, what: string): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  throw new RangeError(`${name}: expected ${what} from ${min} to ${max}, got ${shown(value)}`);
}
