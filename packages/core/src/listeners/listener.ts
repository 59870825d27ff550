import { chmodSync, existsSync, unlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { ProxyError } from "@sluice/error";
import { checkOptionNames } from "../config/known-options.ts";
import { connectSocket } from "../net/connect.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { checkAcceptFilter, type AcceptFilter } from "./accept-filter.ts";
import { AcceptGate } from "./accept-gate.ts";

/** Connections that the kernel completes and keeps until we accept them: a burst should wait, not be refused. */
const BACKLOG = 65_535;

export interface ListenOptions {
  /** Unix sockets: permissions of the file. Default `0o666`, as in Pingora. */
  mode?: number;
  /** IPv6: refuse IPv4 clients. Default false. */
  ipv6Only?: boolean;
  /** Whom to let in, before TLS and HTTP; asked after the filter of the service, if that lets the client in. Default: all. */
  acceptFilter?: AcceptFilter;
}

const OPTION_NAMES = ["mode", "ipv6Only", "acceptFilter"];

/** One listening socket. */
export class Listener {
  /** As it was asked for; {@link address} has the port that the system chose. */
  readonly wanted: SocketAddress;
  readonly #server: Server;
  readonly #options: ListenOptions;

  /**
   * @param onConnection Called with each socket that is let in: half-open, without Nagle's delay, paused.
   * @param gate Asked about each; all that came are counted there.
   * @throws TypeError for an option that cannot be.
   */
  constructor(
    address: SocketAddress,
    options: ListenOptions,
    onConnection: (socket: Socket, listener: Listener) => void,
    gate: AcceptGate = new AcceptGate(),
  ) {
    checkOptionNames(`listening on ${address.text}`, options, OPTION_NAMES);
    const { acceptFilter } = options;
    if (acceptFilter !== undefined) checkAcceptFilter(acceptFilter);
    this.wanted = address;
    this.#options = options;
    const letIn = (socket: Socket): void => onConnection(socket, this);
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) =>
      gate.pass(socket, acceptFilter, address, letIn),
    );
  }

  /** The address as bound: with the port that the system chose for port 0. */
  get address(): string {
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") return this.wanted.text;
    return bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Rejects with a ProxyError `BindError` that names the address and what to do. */
  async bind(): Promise<void> {
    const { path, host, port } = this.wanted;
    if (path !== undefined) await removeStaleSocket(this.wanted);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(bindError(cause, this.wanted)));
      const where = path === undefined ? { host, port, ipv6Only: this.#options.ipv6Only ?? false } : { path };
      this.#server.listen({ ...where, backlog: BACKLOG }, resolve);
    });
    if (path !== undefined) chmodSync(path, this.#options.mode ?? 0o666);
  }

  /** Accepts no more; resolves at once, whatever the accepted connections do. */
  close(): void {
    this.#server.close();
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there; stop it or choose another address",
  EACCES: "not permitted; ports below 1024 need privileges",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "the host name is not known",
};

function bindError(cause: Error, address: SocketAddress): ProxyError {
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const hint = HINTS[code] ?? "see the cause";
  return ProxyError.internal("BindError", `cannot listen on ${address.text} (${hint})`, cause);
}

/** A socket file outlives its process, and a new bind would fail on it; the file of a living process stays. */
async function removeStaleSocket(address: SocketAddress): Promise<void> {
  if (!existsSync(address.path!)) return;
  const living = await connectSocket(address).catch(() => undefined);
  if (living !== undefined) {
    living.destroy();
    throw bindError(Object.assign(new Error("a connection was accepted"), { code: "EADDRINUSE" }), address);
  }
  try {
    unlinkSync(address.path!);
  } catch (error) {
    throw ProxyError.internal("BindError", `cannot replace the socket file ${address.path!}`, error);
  }
}
