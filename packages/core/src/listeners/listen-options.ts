import { Socket } from "node:net";
import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { checkAcceptFilter, type AcceptFilter } from "./accept-filter.ts";

/** How one place is listened on. */
export interface ListenOptions {
  /** Unix sockets: permissions of the file. Default `0o666`, as in Pingora. */
  mode?: number;
  /** IPv6: refuse IPv4 clients. Default false. */
  ipv6Only?: boolean;
  /** TCP: let other sockets listen on the same address (`SO_REUSEPORT`); the system spreads connections over them. Default false. */
  reusePort?: boolean;
  /**
   * Connections that the system completes and keeps until they are accepted. Integer from 1; the system has a limit of its own
   * (Linux: `net.core.somaxconn`). Default 65,535, as in Pingora: a burst should wait, not be refused.
   */
  backlog?: number;
  /** TCP: ask a silent client now and then whether it is still there. Default: never. */
  keepAlive?: TcpKeepAlive;
  /**
   * TCP: the class of service of what is sent to clients, 0 to 63 (RFC 2474; Pingora takes the whole byte, four times that).
   * Default: the system's. Needs Node.js 24.15 or newer.
   */
  dscp?: number;
  /** Connections of this listener that may be open at once; those that come then are closed without an answer. Default: any number. */
  maxConnections?: number;
  /**
   * The same for each client: an IPv4 address, or the first 64 bits of an IPv6 address, which one client has to itself (RFC 6177).
   * Without effect on Unix sockets, whose clients have no address. Default: any number.
   */
  maxConnectionsPerClient?: number;
  /** Whom to let in, before TLS and HTTP; asked after the filter of the service, if that lets the client in. Default: all. */
  acceptFilter?: AcceptFilter;
  /**
   * Called with the descriptor once the address is bound and before anybody is accepted, for socket options that Node.js has no
   * name for; most are inherited by accepted connections. An error that it throws is that of binding. For a socket of the server
   * before, in an upgrade, it is called when that one has stopped accepting, and an error is only logged; not for one of a service
   * manager.
   */
  onBound?: (fd: number) => void;
}

/** When to ask, and how often. */
export interface TcpKeepAlive {
  /** Silence before the first question. Milliseconds, whole seconds count. Default 60,000. */
  idleMs?: number;
  /** Between two questions. Milliseconds, whole seconds count. Default 10,000. Ignored before Node.js 24.19. */
  intervalMs?: number;
  /** Questions without an answer until the connection is broken. Default 6. Ignored before Node.js 24.19. */
  count?: number;
}

const OPTION_NAMES = [
  "mode",
  "ipv6Only",
  "reusePort",
  "backlog",
  "keepAlive",
  "dscp",
  "maxConnections",
  "maxConnectionsPerClient",
  "acceptFilter",
  "onBound",
];

const KEEP_ALIVE_NAMES = ["idleMs", "intervalMs", "count"];

/** The longest the kernel takes, in milliseconds. */
const MAX_KEEP_ALIVE_MS = 32_767_000;

/**
 * @param what For the messages: whose options they are.
 * @throws TypeError for an option that is not known or of another type, RangeError for a number out of range.
 */
export function checkListenOptions(what: string, options: ListenOptions): void {
  checkOptionNames(what, options, OPTION_NAMES);
  const { acceptFilter, keepAlive } = options;
  for (const name of ["ipv6Only", "reusePort"] as const) checkOptionType(what, name, options[name], "boolean");
  checkOptionType(what, "onBound", options.onBound, "function");
  checkInteger(what, options, "mode", 0, 0o7777);
  checkInteger(what, options, "backlog", 1, 2_147_483_647);
  checkInteger(what, options, "dscp", 0, 63);
  checkInteger(what, options, "maxConnections", 1, Number.MAX_SAFE_INTEGER);
  checkInteger(what, options, "maxConnectionsPerClient", 1, Number.MAX_SAFE_INTEGER);
  if (options.dscp !== undefined && !("setTypeOfService" in Socket.prototype)) {
    throw new TypeError(`${what}: dscp: this Node.js cannot set it; 24.15 and newer can`);
  }
  if (acceptFilter !== undefined) checkAcceptFilter(acceptFilter);
  if (keepAlive === undefined) return;
  checkOptionNames(`${what}: keepAlive`, keepAlive, KEEP_ALIVE_NAMES);
  checkInteger(`${what}: keepAlive`, keepAlive, "idleMs", 1000, MAX_KEEP_ALIVE_MS);
  checkInteger(`${what}: keepAlive`, keepAlive, "intervalMs", 1000, MAX_KEEP_ALIVE_MS);
  checkInteger(`${what}: keepAlive`, keepAlive, "count", 1, 127);
}

function checkInteger<Options extends object>(
  what: string,
  options: Options,
  name: keyof Options & string,
  least: number,
  most: number,
): void {
  const value: unknown = options[name];
  if (value === undefined) return;
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new RangeError(`${what}: ${name}: expected an integer ${range}, got ${shown(value)}`);
}
