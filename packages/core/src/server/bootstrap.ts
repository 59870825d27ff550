import { ProxyError } from "@sluice/error";
import type { ServerConf } from "../config/server-conf.ts";
import type { DaemonProcess } from "../daemon/daemon-process.ts";
import { becomeAccount, lookUpAccount } from "../daemon/privileges.ts";
import { logger } from "../log/logger.ts";
import type { PhaseWatch } from "./execution-phase.ts";
import type { ReceivedFds } from "./fd-handover.ts";
import type { ListeningSockets } from "./listening-sockets.ts";
import type { ServerOptions } from "./server.ts";

/** All that comes before services that listen: sockets are taken over or bound, privileges given up. */
export class Bootstrap {
  readonly #conf: ServerConf;
  readonly #options: ServerOptions;
  readonly #sockets: ListeningSockets;
  readonly #phases: PhaseWatch;
  readonly #daemon: DaemonProcess | undefined;
  readonly #ends: AbortSignal;
  #received: ReceivedFds | undefined = undefined;

  /** @param ends Aborts when the server is told to end. */
  constructor(
    conf: ServerConf,
    options: ServerOptions,
    sockets: ListeningSockets,
    phases: PhaseWatch,
    daemon: DaemonProcess | undefined,
    ends: AbortSignal,
  ) {
    this.#conf = conf;
    this.#options = options;
    this.#sockets = sockets;
    this.#phases = phases;
    this.#daemon = daemon;
    this.#ends = ends;
  }

  /** Rejects when sockets cannot be taken over or bound, or the account not changed, and when the server ends meanwhile. */
  async run(): Promise<void> {
    this.#phases.enter("Bootstrap");
    const account = lookUpAccount(this.#conf);
    this.#daemon?.writePid(account);
    if (this.#options.inherited !== undefined) {
      this.#sockets.adopt(this.#options.inherited, this.#options.inherited.keys());
    }
    if (this.#options.upgrade) await this.#receive(account?.user && { uid: account.user.uid, gid: account.gid });
    // Else each service binds when it starts. Of a daemon it is known before anybody is told that it has started. After an
    // upgrade it would be too late to fail: others accept clients already.
    const early = this.#conf.threads > 1 || account !== undefined || this.#daemon !== undefined;
    if (early || this.#options.upgrade === true) await this.#sockets.reserve();
    if (account !== undefined) becomeAccount(account);
    if (!this.#conf.daemon_wait_for_ready) this.#daemon?.started();
    this.#phases.enter("BootstrapComplete");
  }

  /** Tells the server before, if there was one, that it is no longer needed. */
  async serving(): Promise<void> {
    if (this.#received === undefined) return;
    await this.#received.serving();
    this.#sockets.tookOver();
  }

  /** Tells the server before, if there was one, to go on. */
  failed(error: unknown): void {
    this.#received?.failed(error instanceof Error ? error.message : String(error));
  }

  async #receive(owner: { uid: number; gid: number } | undefined): Promise<void> {
    const { handover } = this.#options;
    if (handover === undefined) {
      const what =
        "--upgrade: nothing was given to the server that could take over sockets (new Server(conf, { handover }))";
      throw ProxyError.internal("InternalError", what);
    }
    const { upgrade_sock, upgrade_sock_connect_accept_max_retries } = this.#conf;
    const timeoutMs = (upgrade_sock_connect_accept_max_retries + 1) * 1000;
    this.#received = await handover.receive(upgrade_sock, {
      timeoutMs,
      // Now the one before may be told to send them, by whoever started this one or reads its log.
      onListening: () => {
        logger("core").info({ upgrade_sock, timeoutMs }, "waiting for the listening sockets of the server that runs");
        this.#daemon?.started();
      },
      signal: this.#ends,
      ...(owner !== undefined && { owner }),
    });
    const { fds, borrowed = [] } = this.#received;
    logger("core").info({ addresses: [...fds.keys()] }, "took over listening sockets");
    this.#sockets.adopt(fds, borrowed);
  }
}
