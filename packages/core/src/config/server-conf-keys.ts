import { isIPv4, isIPv6 } from "node:net";
import { z, type ZodType } from "zod";
import type { ServerConf } from "./server-conf.ts";

/** The longest wait that a Node timer can do, in whole seconds; a longer one would fire at once. */
const MAX_TIMER_SECONDS = 2_147_483;

/** What the pool takes; see `maxIdle` of `@sluice/pool`. */
const MAX_POOL_SIZE = 1_000_000;

/** More processes than any machine has use for; a typing error, rather. */
const MAX_WORKERS = 1024;

/** The most threads that libuv's pool can have. */
const MAX_BLOCKING_THREADS = 1024;

/** A path that a file can have; `sun_path` of a Unix socket is checked where it is bound. */
const path = z
  .string()
  .min(1)
  .refine((text) => !text.includes("\0"), "expected a path without NUL");

/** A name that the system may know, or a number. Never what a program would take for an option. */
const account = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/, "expected the name or number of an account")
  .or(z.int().min(0).transform(String));

const seconds = z.int().min(0).max(MAX_TIMER_SECONDS);
const positiveSeconds = seconds.min(1);
const count = z.int().min(0).max(MAX_BLOCKING_THREADS);

/** A schema for each key, with its default, to build a larger configuration: `z.strictObject({ ...serverConfShape, … })`. */
export const serverConfShape: { readonly [Key in keyof Required<ServerConf>]: ZodType<ServerConf[Key]> } = {
  version: z.literal(1).default(1).describe("Version of the format; always 1."),
  threads: z
    .int()
    .min(1)
    .max(MAX_WORKERS)
    .default(1)
    .describe(
      "How many processes serve. 1 serves in the process itself; more are workers that share the listening sockets.",
    ),
  watchdog_seconds: seconds
    .default(30)
    .describe(
      "How long a worker's event loop may be blocked before that worker is killed and replaced. 0: for ever. Without effect if `threads` is 1.",
    ),
  grace_period_seconds: seconds
    .default(30)
    .describe(
      "How long requests in flight may go on after the server was asked to stop. An upper bound: the server ends when they do.",
    ),
  graceful_shutdown_timeout_seconds: seconds
    .default(5)
    .describe("How long services may take to end after the grace period, when their connections were closed."),
  daemon: z.boolean().default(false).describe("Run in the background; as `--daemon`."),
  pid_file: path
    .default("/run/sluice.pid")
    .describe("Where a daemon writes its process number. One that is there is renamed to `….old` first."),
  error_log: path
    .optional()
    .describe(
      "Where a daemon's log lines and standard error go; opened again at SIGUSR1. Without it they go where those of the starting process go.",
    ),
  working_directory: path.optional().describe("Where a daemon runs. Without it: `/`."),
  daemon_wait_for_ready: z
    .boolean()
    .default(false)
    .describe(
      "The starting process ends only when the daemon serves (with `--upgrade`: when it waits for the old one's sockets), which it tells by SIGUSR1.",
    ),
  daemon_ready_timeout_seconds: positiveSeconds
    .default(600)
    .describe("How long the starting process waits for that; then it ends with exit code 1."),
  daemon_notify_timeout_seconds: positiveSeconds
    .default(60)
    .describe("How long the daemon tries to tell a process that it may not signal yet."),
  user: account
    .optional()
    .describe("Whom to become, with that account's groups, once the addresses are bound. Needs root."),
  group: account
    .optional()
    .describe("The group to become a member of instead of the primary group of `user`. Needs root."),
  upgrade_sock: path
    .default("/run/sluice_upgrade.sock")
    .describe(
      "The Unix socket on which a server started with `--upgrade` receives the listening sockets of the one before. The same for both.",
    ),
  upgrade_sock_connect_accept_max_retries: z
    .int()
    .min(0)
    .max(MAX_TIMER_SECONDS)
    .default(5)
    .describe(
      "How often, a second apart, the old and the new server try to meet on `upgrade_sock` after the first time.",
    ),
  ca_file: path
    .optional()
    .describe(
      "Certificates of the authorities that upstreams are verified with (PEM). Without it: those that Node.js brings.",
    ),
  client_bind_to_ipv4: z
    .array(z.string().refine(isIPv4, "expected an IPv4 address"))
    .default([])
    .describe(
      "IPv4 addresses of this machine to connect to IPv4 upstreams from, one at random a connection. Empty: the system chooses.",
    ),
  client_bind_to_ipv6: z
    .array(z.string().refine(isIPv6, "expected an IPv6 address"))
    .default([])
    .describe("As `client_bind_to_ipv4`, for IPv6."),
  upstream_keepalive_pool_size: z
    .int()
    .min(0)
    .max(MAX_POOL_SIZE)
    .default(128)
    .describe("How many idle connections to upstreams each pool of each process keeps for reuse. 0: none."),
  upstream_debug_ssl_keylog: z
    .boolean()
    .default(false)
    .describe(
      "Write the TLS secrets of upstream connections to the file that the variable SSLKEYLOGFILE names. Whoever has them can read the traffic.",
    ),
  max_retries: z
    .int()
    .min(1)
    .default(3)
    .describe("How many times a request is attempted in total, when errors say that it may be tried again."),
  max_blocking_threads: count
    .min(1)
    .optional()
    .describe(
      "Threads for file access, name lookup and compression (`UV_THREADPOOL_SIZE`) of daemons and workers; Node.js has 4. A foreground process with one thread takes the variable itself.",
    ),
  blocking_threads_ttl_seconds: seconds.optional().describe("Without effect: the threads of Node.js stay."),
  listener_tasks_per_fd: z
    .int()
    .min(1)
    .default(1)
    .describe("Without effect: a process accepts in one loop; see `threads`."),
  work_stealing: z.boolean().default(true).describe("Without effect: processes share no tasks."),
  s2n_config_cache_size: z.int().min(0).optional().describe("Without effect: there is no s2n."),
  upstream_connect_offload_threadpools: count.optional().describe("Without effect: connecting blocks nothing here."),
  upstream_connect_offload_thread_per_pool: count
    .optional()
    .describe("Without effect: connecting blocks nothing here."),
};

/** Keys that Pingora has a use for and we have not: a file that sets them is good, and is told. */
export const KEYS_WITHOUT_EFFECT: readonly (keyof ServerConf)[] = [
  "blocking_threads_ttl_seconds",
  "listener_tasks_per_fd",
  "work_stealing",
  "s2n_config_cache_size",
  "upstream_connect_offload_threadpools",
  "upstream_connect_offload_thread_per_pool",
];
