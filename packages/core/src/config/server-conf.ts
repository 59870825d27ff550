import { isIPv4, isIPv6 } from "node:net";
import { z, type ZodType } from "zod";
import { logger } from "../log/logger.ts";
import { loadYamlConfig, parseYamlConfig } from "./load-yaml.ts";
import { nearestName } from "./nearest-name.ts";

/** The settings of a server. Keys and spelling are those of the YAML file, and of Pingora. */
export interface ServerConf {
  /** Version of the format. Always 1; nothing depends on it yet. Default 1. */
  version: number;
  /**
   * How long requests in flight may go on after the server was asked to stop. Seconds, integer; 0 does not wait. It is an
   * upper bound: the server is done when they are (Pingora waits the whole time, 300 by default). Default 30: what
   * orchestrators such as Kubernetes grant before they kill.
   */
  grace_period_seconds: number;
  /**
   * How long services may take to end after the grace period, when their connections were closed. Seconds, integer; 0 does
   * not wait. Default 5, as in Pingora.
   */
  graceful_shutdown_timeout_seconds: number;
  /**
   * How many idle connections to upstreams are kept for reuse, over all upstreams of one connector; beyond it the one stored
   * longest ago is closed. Integer from 0, which keeps none, to 1,000,000. Default 128, as in Pingora.
   */
  upstream_keepalive_pool_size: number;
  /**
   * How many times a request is attempted in total, when errors say that it may be tried again. Integer, at least 1, which
   * means no second attempt. Default 3: one upstream that refuses costs little, a whole set that does is not hammered
   * (Pingora: 16).
   */
  max_retries: number;
  /**
   * IPv4 addresses of this machine to connect to IPv4 upstreams from, one at random a connection. Default none: the system
   * chooses. An address that is not this machine's fails each connect with `BindError`.
   */
  client_bind_to_ipv4: readonly string[];
  /** As `client_bind_to_ipv4`, for IPv6. */
  client_bind_to_ipv6: readonly string[];
}

/** A {@link ServerConf} from a file, with the keys that are not ours. */
export interface LoadedServerConf extends ServerConf {
  /** Keys of the file that the server does not know, unchecked, for the application's own use. */
  readonly extensions: Readonly<Record<string, unknown>>;
}

/** What holds for the keys that are not given. A new object each time. */
export function defaultServerConf(): ServerConf {
  return {
    version: 1,
    grace_period_seconds: 30,
    graceful_shutdown_timeout_seconds: 5,
    upstream_keepalive_pool_size: 128,
    max_retries: 3,
    client_bind_to_ipv4: [],
    client_bind_to_ipv6: [],
  };
}

/** The longest wait that a Node timer can do, in whole seconds; a longer one would fire at once. */
const MAX_TIMER_SECONDS = 2_147_483;

/** What the pool takes; see `maxIdle` of `@sluice/pool`. */
const MAX_POOL_SIZE = 1_000_000;

const defaults = defaultServerConf();
const seconds = z.int().min(0).max(MAX_TIMER_SECONDS);

/** A schema for each key, with its default, to build a larger configuration: `z.strictObject({ ...serverConfShape, … })`. */
export const serverConfShape: { readonly [Key in keyof ServerConf]: ZodType<ServerConf[Key]> } = {
  version: z.literal(1).default(1),
  grace_period_seconds: seconds.default(defaults.grace_period_seconds),
  graceful_shutdown_timeout_seconds: seconds.default(defaults.graceful_shutdown_timeout_seconds),
  upstream_keepalive_pool_size: z.int().min(0).max(MAX_POOL_SIZE).default(defaults.upstream_keepalive_pool_size),
  max_retries: z.int().min(1).default(defaults.max_retries),
  client_bind_to_ipv4: z.array(z.string().refine(isIPv4, "expected an IPv4 address")).default([]),
  client_bind_to_ipv6: z.array(z.string().refine(isIPv6, "expected an IPv6 address")).default([]),
};

const schema: ZodType<LoadedServerConf> = z.looseObject(serverConfShape).transform((given) => {
  const known: Record<string, unknown> = {};
  const extensions: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given))
    (Object.hasOwn(serverConfShape, key) ? known : extensions)[key] = value;
  return { ...(known as unknown as ServerConf), extensions };
});

/**
 * Reads a server's configuration from a YAML file. Every key is optional. Keys that are not ours land in `extensions`
 * and are named in one debug line of the `core` log, with the key that was perhaps meant.
 * @throws ConfigError when the file cannot be read or a value is not valid.
 */
export function loadServerConf(path: string): LoadedServerConf {
  return reportExtensions(loadYamlConfig(path, schema), path);
}

/** As {@link loadServerConf}, from text. */
export function parseServerConf(text: string, fileName: string): LoadedServerConf {
  return reportExtensions(parseYamlConfig(text, schema, fileName), fileName);
}

function reportExtensions(conf: LoadedServerConf, file: string): LoadedServerConf {
  const keys = Object.keys(conf.extensions);
  if (keys.length > 0 && logger("core").isLevelEnabled("debug")) {
    logger("core").debug({ file, keys: keys.map(withNearest) }, "configuration keys that the server does not use");
  }
  return conf;
}

function withNearest(key: string): string {
  const near = nearestName(key, Object.keys(serverConfShape));
  return near === undefined ? key : `${key} (did you mean ${near}?)`;
}
