import { z, type ZodType } from "zod";
import { logger } from "../log/logger.ts";
import { processRole } from "../server/process-role.ts";
import { ConfigError } from "./config-error.ts";
import { keyPathText } from "./key-path.ts";
import { loadYamlConfig, parseYamlConfig } from "./load-yaml.ts";
import { nearestName } from "./nearest-name.ts";
import { findings, PARSING } from "./schema-issues.ts";
import { KEYS_WITHOUT_EFFECT, serverConfShape } from "./server-conf-keys.ts";

/** The settings of a server. Keys and spelling are those of the YAML file, and of Pingora. */
export interface ServerConf {
  /** Version of the format. Always 1; nothing depends on it yet. Default 1. */
  version: number;
  /**
   * How many processes serve. Integer from 1. Default 1: the process itself. From 2 on that many workers share the listening
   * sockets, which the process itself holds; each has pools, caches and counters of its own.
   */
  threads: number;
  /**
   * How long a worker's event loop may be blocked. Seconds, integer; 0: for ever. Then it is killed, which ends its requests,
   * and replaced. Default 30: what blocks that long serves nobody, and nothing that ends by itself takes longer. Ours.
   */
  watchdog_seconds: number;
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
  /** Run in the background, by the same program started again. Default false. */
  daemon: boolean;
  /**
   * Where a daemon writes its process number, and removes it at its end. One that is there is renamed to `….old` first.
   * Default `/run/sluice.pid`: in a folder for all, such as `/tmp`, somebody else could have put a link of that name.
   */
  pid_file: string;
  /**
   * Where a daemon's log lines and standard error go; created if need be, appended to, opened again at SIGUSR1. Relative to the
   * folder it is started in. Default: where those of the starting process go.
   */
  error_log?: string | undefined;
  /** Where a daemon runs; `pid_file` and `upgrade_sock` are relative to it. Default `/`, which no unmount waits for. */
  working_directory?: string | undefined;
  /**
   * The starting process ends only when the daemon is ready, told by SIGUSR1: it serves; with `--upgrade`, it waits for the sockets
   * of the old server, which may now be told to send them. Default false: when the daemon runs as it should.
   */
  daemon_wait_for_ready: boolean;
  /** How long the starting process waits for that; then it ends with exit code 1. Seconds, integer from 1. Default 600, as in Pingora. */
  daemon_ready_timeout_seconds: number;
  /**
   * How long the daemon tries to tell a process that it may not signal yet, since it is still root's. Seconds, integer from 1.
   * Default 60, as in Pingora.
   */
  daemon_notify_timeout_seconds: number;
  /**
   * Whom to become once the addresses are bound, with the groups of that account: a name or a number. Counts in the foreground,
   * too. Needs root. Default: stay who started it.
   */
  user?: string | undefined;
  /** The group to become a member of. Default: the primary group of `user` (Pingora: root's stays). */
  group?: string | undefined;
  /** The Unix socket on which a server started with `--upgrade` receives the listening sockets of the one before. The same for both. */
  upgrade_sock: string;
  /** How often, a second apart, the old and the new server try to meet there after the first time. Default 5, as in Pingora. */
  upgrade_sock_connect_accept_max_retries: number;
  /** A PEM file of the authorities that upstreams are verified with. Default: those that Node.js brings. */
  ca_file?: string | undefined;
  /**
   * How many idle connections to upstreams are kept for reuse, over all upstreams of one connector; beyond it the one stored
   * longest ago is closed. Integer from 0, which keeps none, to 1,000,000. Default 128, as in Pingora.
   */
  upstream_keepalive_pool_size: number;
  /**
   * Write the TLS secrets of upstream connections to the file that the variable `SSLKEYLOGFILE` names, for those who read captures.
   * Whoever has them can read the traffic. Default false.
   */
  upstream_debug_ssl_keylog: boolean;
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
  /**
   * Threads for file access, name lookup and compression of daemons and workers (libuv's; Node.js has 4). Integer from 1 to 1024.
   * A process that is neither cannot change them any more; the variable `UV_THREADPOOL_SIZE` can.
   */
  max_blocking_threads?: number | undefined;
  /** Without effect: the threads of Node.js stay. */
  blocking_threads_ttl_seconds?: number | undefined;
  /** Without effect: a process accepts in one loop. */
  listener_tasks_per_fd: number;
  /** Without effect: processes share no tasks. */
  work_stealing: boolean;
  /** Without effect: there is no s2n. */
  s2n_config_cache_size?: number | undefined;
  /** Without effect: connecting blocks nothing here. */
  upstream_connect_offload_threadpools?: number | undefined;
  /** Without effect: connecting blocks nothing here. */
  upstream_connect_offload_thread_per_pool?: number | undefined;
}

/** A {@link ServerConf} from a file, with the keys that are not ours. */
export interface LoadedServerConf extends ServerConf {
  /** Keys of the file that the server does not know, unchecked, for the application's own use. */
  readonly extensions: Readonly<Record<string, unknown>>;
}

const known = z.object(serverConfShape) as unknown as ZodType<ServerConf>;

const withExtensions: ZodType<LoadedServerConf> = z.looseObject(serverConfShape).transform((given) => {
  const own: Record<string, unknown> = {};
  const extensions: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    (Object.hasOwn(serverConfShape, key) ? own : extensions)[key] = value;
  }
  return { ...(own as unknown as ServerConf), extensions };
});

/** What holds for the keys that are not given. A new object each time. */
export function defaultServerConf(): ServerConf {
  return known.parse({});
}

/**
 * `given` with the defaults of what it leaves out. Keys that are not ours are left out, since an application may have its own beside
 * them; one that is nearly ours is told, as {@link loadServerConf} tells it.
 * @throws ConfigError naming each key whose value cannot be.
 */
export function completeServerConf(given: Partial<ServerConf>): ServerConf {
  const result = known.safeParse(given, PARSING);
  if (result.success) {
    // What a file had beside them was told when it was read, and stands in `extensions`.
    reportForeignKeys(Object.keys(given).filter((key) => !OURS.has(key)));
    return result.data;
  }
  const problems = result.error.issues
    .flatMap((issue) => findings(issue))
    .map(({ path, message }) => ({ file: "configuration", line: 0, column: 0, key: keyPathText(path), message }));
  throw new ConfigError(problems);
}

/**
 * Reads a server's configuration from a YAML file. Every key is optional. Keys that are not ours land in `extensions`
 * and are named in the `core` log: in a warning those that are nearly ours, with the key that was perhaps meant, and at level `debug`
 * the others.
 * @throws ConfigError when the file cannot be read or a value is not valid.
 */
export function loadServerConf(path: string): LoadedServerConf {
  return reportExtensions(loadYamlConfig(path, withExtensions), path);
}

/** As {@link loadServerConf}, from text. */
export function parseServerConf(text: string, fileName: string): LoadedServerConf {
  return reportExtensions(parseYamlConfig(text, withExtensions, fileName), fileName);
}

/** The keys of `conf` that differ from their default and do nothing. */
export function keysWithoutEffect(conf: ServerConf): readonly string[] {
  const defaults = defaultServerConf();
  return KEYS_WITHOUT_EFFECT.filter((key) => conf[key] !== undefined && conf[key] !== defaults[key]);
}

function reportExtensions(conf: LoadedServerConf, file: string): LoadedServerConf {
  reportForeignKeys(Object.keys(conf.extensions), file);
  return conf;
}

const OURS: ReadonlySet<string> = new Set([...Object.keys(serverConfShape), "extensions"]);

/** One that is nearly ours is more often a slip than an application's own, and would silently do nothing. */
function reportForeignKeys(keys: readonly string[], file?: string): void {
  // A worker would only say it again.
  if (keys.length === 0 || processRole().kind === "worker") return;
  const place = file === undefined ? {} : { file };
  const near: string[] = [];
  const others: string[] = [];
  for (const key of keys) {
    const meant = nearestName(key, Object.keys(serverConfShape));
    if (meant === undefined) others.push(key);
    else near.push(`${key} (did you mean ${meant}?)`);
  }
  if (near.length > 0) {
    logger("core").warn({ ...place, keys: near }, "configuration keys that the server does not use, and nearly knows");
  }
  if (others.length > 0) {
    logger("core").debug({ ...place, keys: others }, "configuration keys that the server does not use");
  }
}
