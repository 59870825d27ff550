import { createServer, type Server, type Socket } from "node:net";
import { ProxyError } from "@sluice/error";
import { logger } from "../log/logger.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { AcceptGate } from "./accept-gate.ts";
import { ConnectionLimits } from "./connection-limits.ts";
import { checkListenOptions, type ListenOptions } from "./listen-options.ts";
import { reservedSocketOf, reserveSocket, type ReservedSocket } from "./reserve-socket.ts";
import { checkPlace, MAX_PATH_BYTES, SocketFile } from "./socket-file.ts";

/** Connections that the kernel completes and keeps until we accept them: a burst should wait, not be refused. */
const BACKLOG = 65_535;

const KEEP_ALIVE = { idleMs: 60_000, intervalMs: 10_000, count: 6 };

/**
 * Called with a socket that is let in: half-open, without Nagle's delay, paused.
 * @param release To be called when it is closed; `undefined` where nobody counts.
 */
export type OnConnection = (socket: Socket, listener: Listener, release: (() => void) | undefined) => void;

/** One listening socket. */
export class Listener {
  /** As it was asked for; {@link address} has the port that the system chose. */
  readonly wanted: SocketAddress;
  readonly #server: Server;
  readonly #options: ListenOptions;
  readonly #file: SocketFile | undefined;
  /** Bound before it listens. */
  #reserved: ReservedSocket | undefined = undefined;
  /** Of another process, or of the service manager. */
  #adopted: number | undefined = undefined;

  /**
   * @param gate Asked about each; all that came are counted there.
   * @throws TypeError or RangeError for an option that cannot be.
   */
  constructor(
    address: SocketAddress,
    options: ListenOptions,
    onConnection: OnConnection,
    gate: AcceptGate = new AcceptGate(),
  ) {
    checkListenOptions(`listening on ${address.text}`, options);
    this.wanted = address;
    this.#options = options;
    this.#file = address.path === undefined ? undefined : new SocketFile(address.path);
    const { acceptFilter, maxConnections, maxConnectionsPerClient } = options;
    const limited = maxConnections !== undefined || maxConnectionsPerClient !== undefined;
    const limits = limited
      ? new ConnectionLimits(address, maxConnections ?? Infinity, maxConnectionsPerClient ?? Infinity)
      : undefined;
    const letIn = (socket: Socket, release?: () => void): void => onConnection(socket, this, release);
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
      this.#setOptions(socket);
      gate.pass(socket, acceptFilter, address, letIn, limits);
    });
  }

  /** The address as bound: with the port that the system chose for port 0. */
  get address(): string {
    const bound = this.#server.address() ?? reservedAddress(this.#reserved);
    if (bound === undefined || typeof bound === "string") return this.wanted.text;
    return bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** The descriptor, to be given to another process; `undefined` as long as nothing is bound, and where there are none. */
  get fd(): number | undefined {
    if (this.#reserved !== undefined) return this.#reserved.fd;
    const fd = (this.#server as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
    return fd === undefined || fd < 0 ? this.#adopted : fd;
  }

  /**
   * Binds the address and accepts nobody, until {@link bind}, which may be called in this process or, with the descriptor, in
   * others. Rejects as {@link bind} does. Nothing happens for one that was given a descriptor.
   */
  async reserve(): Promise<void> {
    if (this.#reserved !== undefined || this.#adopted !== undefined) return;
    try {
      if (this.#file !== undefined) await checkPlace(this.wanted);
      this.#reserved = await reserveSocket(this.wanted, this.#file?.temporary, this.#options);
      this.#options.onBound?.(this.#reserved.fd);
      this.#file?.publish(this.#options.mode ?? 0o666);
    } catch (cause) {
      this.#reserved?.close();
      this.#reserved = undefined;
      throw bindError(cause as Error, this.wanted);
    }
  }

  /**
   * Will accept on a socket that somebody else has bound. Its address must be the one that is wanted.
   * @param fd Of this process; belongs to the listener from now on. The file of a Unix socket does not, until {@link tookOver}.
   */
  adopt(fd: number): void {
    this.#adopted = fd;
    // It knows the port, also in a process that leaves the listening to others.
    this.#reserved = reservedSocketOf(fd);
  }

  /**
   * Who listened before does so no longer: options of the socket are those of this process now, and the file of a Unix socket is
   * removed when this listener is closed.
   */
  tookOver(): void {
    const { fd } = this;
    if (this.#adopted === undefined || fd === undefined) return;
    this.#file?.claim();
    try {
      this.#options.onBound?.(fd);
    } catch (err) {
      const what = "options of a socket that was taken over could not be set; it goes on with those it had";
      logger("core").error({ err, address: this.wanted.text }, what);
    }
  }

  /** Rejects with a ProxyError `BindError` that names the address and what to do. */
  async bind(): Promise<void> {
    if (this.#options.onBound !== undefined) await this.reserve();
    const taken = this.#adopted ?? this.#reserved?.fd;
    try {
      if (taken !== undefined) await this.#listen(taken);
      else await this.#listenAnew();
    } catch (cause) {
      throw bindError(cause as Error, this.wanted);
    }
  }

  /** Accepts no more; resolves at once, whatever the accepted connections do. */
  close(): void {
    if (this.#server.listening) this.#server.close();
    else this.#reserved?.close();
    this.#reserved = undefined;
    this.#file?.remove();
  }

  /** As {@link close}, unless this process is the one that accepts. */
  closeUnlessAccepting(): void {
    if (!this.#server.listening) this.close();
  }

  /** Another process listens on the same socket now: its file stays when this listener is closed. */
  handedOver(): void {
    this.#file?.disclaim();
  }

  async #listenAnew(): Promise<void> {
    const { host, port } = this.wanted;
    const { ipv6Only = false, reusePort = false, backlog = BACKLOG, mode = 0o666 } = this.#options;
    if (this.#file === undefined) {
      await this.#listen({ host, port, ipv6Only, reusePort, backlog });
    } else {
      await checkPlace(this.wanted);
      await this.#listen({ path: this.#file.temporary, backlog });
      this.#file.publish(mode);
    }
  }

  #listen(where: object | number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      const listening = (): void => {
        this.#server.off("error", reject);
        resolve();
      };
      const { backlog = BACKLOG } = this.#options;
      if (typeof where !== "number") this.#server.listen(where, listening);
      // A handle of TCP can be given as it is. That of a Unix socket cannot, so two own the descriptor: the server, which
      // closes it, and the one that was reserved, which is never asked to.
      else if (this.#reserved !== undefined && this.#file === undefined) {
        this.#server.listen(this.#reserved, backlog, listening);
        this.#reserved = undefined;
      } else this.#server.listen({ fd: where }, backlog, listening);
    });
  }

  #setOptions(socket: Socket): void {
    const { keepAlive, dscp } = this.#options;
    if (this.#file !== undefined) return;
    if (keepAlive !== undefined) {
      const { idleMs, intervalMs, count } = { ...KEEP_ALIVE, ...keepAlive };
      socket.setKeepAlive(true, idleMs, intervalMs, count);
    }
    if (dscp === undefined) return;
    try {
      // The two low bits are those of congestion notification (RFC 3168).
      socket.setTypeOfService(dscp << 2);
    } catch {
      // Its client has left; that shows when it is read from.
    }
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there; stop it or choose another address",
  EACCES: "not permitted; ports below 1024 need privileges",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "the host name is not known",
  EBADF: "the descriptor that was given for it is none",
};

const UNIX_HINTS: Readonly<Record<string, string>> = {
  // As Node.js has it for a folder that is not there, too.
  EACCES: "its folder is not there, or this account may create nothing in it",
  EEXIST: "there is something that is no socket; remove it or choose another path",
  ENAMETOOLONG: `the path of a socket has at most ${MAX_PATH_BYTES} bytes; choose a shorter one`,
};

function bindError(cause: Error, address: SocketAddress): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const hint = (address.path === undefined ? undefined : UNIX_HINTS[code]) ?? HINTS[code] ?? cause.message;
  return ProxyError.internal("BindError", `cannot listen on ${address.text} (${hint})`, cause);
}

function reservedAddress(
  reserved: ReservedSocket | undefined,
): { address: string; family: string; port: number } | undefined {
  if (reserved?.getsockname === undefined) return undefined;
  const out: { address?: string; family?: string; port?: number } = {};
  if (reserved.getsockname(out) !== 0 || out.address === undefined) return undefined;
  return { address: out.address, family: out.family ?? "IPv4", port: out.port ?? 0 };
}
