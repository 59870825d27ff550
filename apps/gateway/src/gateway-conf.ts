import { isIPv6 } from "node:net";
import { loadYamlConfig, serverConfShape } from "@sluice/core";
import { z } from "zod";
import { checkReferences } from "./gateway-conf-references.ts";
import { parseAddress } from "./parse-address.ts";
import { listenerTls, upstreamTls } from "./tls-conf.ts";

/** The longest wait that a Node timer can do; a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647;

const milliseconds = z.int().min(0).max(MAX_TIMER_MS);

const listenAddress = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, "expected host:port, [IPv6]:port or unix:/path");

const upstreamAddress = z
  .string()
  .refine((text) => parseAddress(text) !== undefined && parseAddress(text)?.port !== 0, {
    error: "expected host:port with a port from 1 to 65535, [IPv6]:port or unix:/path",
  });

const positive = z.int().min(1);

/** When a silent client is asked whether it is still there, and when it counts as gone. */
const keepalive = z.strictObject({
  idle_seconds: z.int().min(1).max(32_767).default(60),
  interval_seconds: z.int().min(1).max(32_767).default(10),
  count: z.int().min(1).max(127).default(6),
  /** How long what was sent may stay unacknowledged; without it the system decides. Linux. */
  user_timeout_ms: milliseconds.min(1).optional(),
});

const bufferBytes = positive.max(0x3fff_ffff);

const listener = z.strictObject({
  address: listenAddress,
  /** Connections that the system keeps until they are accepted. */
  backlog: positive.max(2_147_483_647).optional(),
  /** Connections that may be open at once; more are closed. */
  max_connections: positive.optional(),
  /** The same for each client address. */
  max_connections_per_client: positive.optional(),
  /** IPv6: refuse IPv4 clients. */
  ipv6_only: z.boolean().optional(),
  /** Unix: permissions of the file, octal. */
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'expected octal permissions in quotes, such as "0660"')
    .optional(),
  /** TCP: share the port with other processes that say so, too. */
  so_reuseport: z.boolean().optional(),
  /** TCP: ask silent clients whether they are still there. */
  tcp_keepalive: keepalive.optional(),
  /** TCP, Linux: let clients send with their first segment; how many may wait that have not shown their address. */
  tcp_fastopen: z.int().min(0).max(65_535).optional(),
  /** TCP, Linux: the class of service of what clients are sent. */
  dscp: z.int().min(0).max(63).optional(),
  /** TCP, Linux: fixed buffers of the kernel, in bytes; without them it grows them as needed. */
  tcp_snd_buf: bufferBytes.optional(),
  tcp_recv_buf: bufferBytes.optional(),
  /** Speak TLS. */
  tls: listenerTls.optional(),
});

const accessLog = z.strictObject({
  path: z.string().min(1),
  format: z.enum(["common", "combined", "json"]).default("combined"),
});

const metrics = z.strictObject({
  /** Where Prometheus reads them. Who can connect there can read them. */
  address: listenAddress,
  path: z
    .string()
    .regex(/^\/[!-"$->@-~]*[!-"$-.0->@-~]$/, "expected a path such as /metrics, without a slash at its end")
    .default("/metrics"),
});

const share = z.number().min(0).max(1);

const sentry = z.strictObject({
  /** Where reports go. */
  dsn: z.string().refine(isDsn, "is no DSN, such as https://key@host/1"),
  environment: z.string().min(1).optional(),
  /** What runs, such as `shop@1.4.0`. */
  release: z.string().min(1).optional(),
  /** The name of this machine, if not its own. */
  server_name: z.string().min(1).optional(),
  /** Which share of the requests that failed is reported, by whose fault it was. Crashes are reported in any case. */
  sample_rates: z
    .strictObject({ internal: share.default(1), upstream: share.default(0), downstream: share.default(0) })
    .prefault({}),
  max_per_minute: positive.default(60),
  /** Tell the address of the client, which is personal data. */
  client_address: z.boolean().default(false),
});

const weightedServer = z.strictObject({
  address: upstreamAddress,
  /** Share of the requests, in proportion to the other servers. */
  weight: z.int().min(1).max(1000).default(1),
});

const bareServer = upstreamAddress.transform((address) => ({ address, weight: 1 }));

const healthCheck = z.strictObject({
  /** `tcp`: a server is healthy when it accepts a connection. */
  type: z.literal("tcp"),
  /** Pause between two rounds of checks. */
  interval_ms: milliseconds.min(1).default(1000),
  /** How long a check may take. */
  connect_ms: z.int().min(1).max(60_000).default(1000),
});

const upstream = z.strictObject({
  selection: z.enum(["round_robin"]).default("round_robin"),
  health_check: healthCheck.optional(),
  connect_ms: milliseconds.optional(),
  read_ms: milliseconds.optional(),
  write_ms: milliseconds.optional(),
  idle_ms: milliseconds.optional(),
  /** Speak TLS to the servers: `true`, or how. */
  tls: z.union([z.literal(true).transform(() => ({ verify: true })), upstreamTls]).optional(),
  /** `1.1`; `2`, without TLS by prior knowledge; or `negotiate`: what a server with TLS chooses. */
  http: z
    .literal(["1.1", 1.1, "2", 2, "negotiate"], "expected 1.1, 2 or negotiate")
    .transform((version) => (version === "negotiate" ? version : Number(version) === 2 ? "2" : "1.1"))
    .prefault("1.1"),
  servers: z.array(z.union([bareServer, weightedServer])).min(1, "expected at least one server"),
});

const route = z.strictObject({
  host: z
    .string()
    .refine(isHostPattern, "expected a host name, *.name or an IP address (IPv6 in brackets), without a port")
    .transform((host) => host.toLowerCase())
    .optional(),
  path_prefix: z
    .string()
    .regex(/^\/[!-"$->@-~]*$/, "expected a path that begins with / and has no space, ?, # or letter beyond ASCII")
    .transform((path) => path.replace(/\/+$/, "") || "/")
    .default("/"),
  upstream: z.string(),
});

/** The gateway's file: a server's settings and what it serves. */
export const gatewayConfSchema = z
  .strictObject({
    ...serverConfShape,
    listeners: z.array(listener).min(1),
    /** Speak HTTP/2 without TLS to clients that begin with it, on every listener. */
    h2c: z.boolean().default(false),
    /** Read and write connections by io_uring, and call OpenSSL for those of clients; to upstreams, without TLS. Linux 6.0. */
    io_uring: z.boolean().default(false),
    /** A file with a line for each request. */
    access_log: accessLog.optional(),
    /** Give each request an id, in X-Request-Id. */
    request_id: z.boolean().default(false),
    /** Count, and let Prometheus read it. */
    metrics: metrics.optional(),
    /** Report crashes and errors to Sentry. */
    sentry: sentry.optional(),
    /** Reload when this file changes, as at SIGHUP. */
    reload_on_change: z.boolean().default(false),
    upstreams: z.record(z.string().regex(/^[\w.-]+$/, "expected a name of letters, digits, _, . and -"), upstream),
    routes: z.array(route).min(1),
  })
  .superRefine(checkReferences);

/** A gateway's configuration, checked, with defaults; keys as in the file. */
export type GatewayConf = z.infer<typeof gatewayConfSchema>;

/** One entry of `upstreams`. */
export type UpstreamConf = z.infer<typeof upstream>;

/** @throws ConfigError with every problem and its line. */
export function loadGatewayConf(path: string): GatewayConf {
  return loadYamlConfig(path, gatewayConfSchema);
}

/** As `@sluice/sentry` asks for, which is not loaded to find out. */
function isDsn(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username !== "" && /\/\d+$/.test(url.pathname);
}

function isHostPattern(host: string): boolean {
  if (host.startsWith("[")) return host.endsWith("]") && isIPv6(host.slice(1, -1));
  return host.length <= 253 && /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host);
}
