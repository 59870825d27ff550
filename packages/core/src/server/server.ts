import { ProxyError } from "@sluice/error";
import { ServerBus } from "../bus/server-bus.ts";
import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { parseServerArgs, SERVER_ARGS_HELP } from "../config/server-args.ts";
import { completeServerConf, keysWithoutEffect, loadServerConf, type ServerConf } from "../config/server-conf.ts";
import { shown } from "../config/shown.ts";
import { DaemonProcess } from "../daemon/daemon-process.ts";
import { startDaemon } from "../daemon/start-daemon.ts";
import { reopenLogFiles, standardLog } from "../log/log-sinks.ts";
import { logger } from "../log/logger.ts";
import { GracePeriod } from "../services/grace-period.ts";
import { ServiceGraph } from "../services/service-graph.ts";
import { ServiceRunner } from "../services/service-runner.ts";
import type { Service } from "../services/service.ts";
import { beatEvery } from "../workers/heartbeat.ts";
import { PrimaryLink } from "../workers/primary-link.ts";
import { WorkerPool } from "../workers/worker-pool.ts";
import { Bootstrap } from "./bootstrap.ts";
import { checkHost } from "./check-host.ts";
import { PhaseWatch, type ExecutionPhase } from "./execution-phase.ts";
import { handoverChannel, type FdHandover } from "./fd-handover.ts";
import { ListeningSockets } from "./listening-sockets.ts";
import { processRole, type ProcessRole } from "./process-role.ts";
import { Reloads, type ReloadHook } from "./reload.ts";
import { watchSignals, watchWorkerSignals } from "./server-signals.ts";
import { watchUncaughtErrors } from "./uncaught-errors.ts";

/** What a server is besides its configuration. */
export interface ServerOptions {
  /** Take over the listening sockets of the server that runs, by `handover`; as `--upgrade`. Default false. */
  readonly upgrade?: boolean;
  /** {@link Server.run} only looks whether the services fit together, and what the configuration names is there; as `--test`. Default false. */
  readonly test?: boolean;
  /** What moves listening sockets between processes. Default: SIGQUIT is refused, and so is `upgrade`. */
  readonly handover?: FdHandover;
  /**
   * Descriptors of this process that are bound already, by the address as the listener was asked for it: `127.0.0.1:80`,
   * `unix:/run/app.sock`. Such as those of a service manager. One that no listener asks for is closed.
   */
  readonly inherited?: ReadonlyMap<string, number>;
}

/** How often a worker shows that it lives before it is told how often it is to. */
const EARLY_BEAT_MS = 500;
const OPTION_NAMES = ["upgrade", "test", "handover", "inherited"];

/** What a request in flight has after SIGINT. */
const FAST_GRACE_MS = 1000;

/** Why nobody is waited for any more. */
const STOPPED = new Error("the server ends");

const log = logger("core");

/**
 * Runs services, from start to a clean end.
 *
 * `run()` is the whole life: in the background, with workers, a change of account, an upgrade, as the configuration says. `start()` and
 * `stop()` only start and stop the services, in this process; for tests, and for programs that have a life of their own.
 *
 * Where there are workers or a daemon, each of these processes runs the program from its first line, and does what it is for
 * when it comes to `run()`; what the program does before, it does in each of them.
 */
export class Server {
  readonly conf: ServerConf;
  readonly options: ServerOptions;
  /** Between the processes of this server. */
  readonly bus: ServerBus = new ServerBus();
  readonly #graph = new ServiceGraph();
  readonly #grace: GracePeriod;
  readonly #phases = new PhaseWatch();
  readonly #reloads = new Reloads((values) => this.#pool?.reload(values));
  readonly #runner: ServiceRunner;
  /** Resolves when everything has stopped. */
  readonly #over = Promise.withResolvers<void>();
  /** Aborts when the server is told to end. */
  readonly #ends = new AbortController();
  #begun = false;
  #starting: Promise<void> | undefined = undefined;
  #stopping: Promise<void> | undefined = undefined;
  #sockets: ListeningSockets = new ListeningSockets([]);
  #pool: WorkerPool | undefined = undefined;
  #bootstrapService: Service | undefined = undefined;
  #bootstrap: (() => Promise<void>) | undefined = undefined;
  #uncaught: { readonly error: unknown } | undefined = undefined;

  /**
   * @param conf Overrides of the defaults, by the names of the configuration file.
   * Keys that are not ours are left out; one that is nearly ours is told in the log.
   * @throws ConfigError naming each key whose value cannot be, TypeError for an option that is not known or of another type.
   */
  constructor(conf: Partial<ServerConf> = {}, options: ServerOptions = {}) {
    checkOptions(options);
    this.conf = completeServerConf(conf);
    this.options = options;
    // On sockets that were taken over, clients come from the first moment on; the server before does not know of those.
    this.#grace = new GracePeriod(options.upgrade === true ? this.conf.grace_period_seconds * 1000 : 0);
    this.#runner = new ServiceRunner(this.#grace, this.conf.graceful_shutdown_timeout_seconds);
    // Whatever the program waits for before `run()`, it is not blocked.
    if (this.worker !== undefined) beatEvery(EARLY_BEAT_MS);
  }

  /**
   * Reads the command line; see {@link SERVER_ARGS_HELP}. `--help` writes that and ends the process.
   * @param args Default: the arguments of this process.
   * @throws UsageError for an option that is not known, ConfigError for a configuration that is not valid.
   */
  static fromArgs(args: readonly string[] = process.argv.slice(2), options: ServerOptions = {}): Server {
    const { conf: file, daemon, upgrade, test, help } = parseServerArgs(args);
    if (help) {
      process.stdout.write(SERVER_ARGS_HELP);
      process.exit(0);
    }
    const conf: Partial<ServerConf> = file === undefined ? {} : loadServerConf(file);
    return new Server(daemon ? { ...conf, daemon } : conf, { ...options, upgrade, test });
  }

  /**
   * Adds a service. It starts when all that were added before it are ready.
   * @param options `after`: instead, when these are ready; they may be added later.
   * @throws ProxyError after the start, for a service that is there already, and for services that wait for each other in a circle,
   *   with their names. TypeError for what is no service.
   */
  addService(service: Service, options: { after?: readonly Service[] } = {}): this {
    if (typeof service?.start !== "function" || typeof service.stop !== "function") {
      throw new TypeError(`addService: expected a service, which has start() and stop(), got ${shown(service)}`);
    }
    checkOptionNames("addService", options, ["after"]);
    const { after } = options;
    if (after !== undefined && !Array.isArray(after)) {
      throw new TypeError(`addService: after: expected an array of services, got ${shown(after)}`);
    }
    if (this.#begun) {
      throw ProxyError.internal("InternalError", `the service ${service.name} was added after the server had started`);
    }
    this.#graph.add(service, after);
    return this;
  }

  /**
   * Makes `service` start when these are ready, beside what it was said to wait for before.
   * @throws as {@link addService}.
   */
  addDependency(service: Service, ...others: readonly Service[]): this {
    for (const other of others) this.#graph.depend(service, other);
    return this;
  }

  /**
   * The taking over of sockets, binding and change of account as a service: others can be made to come before it, such as ones that
   * take long to prepare while the server before still serves. Whatever listens waits for it. Without it, that comes first.
   * Where there are workers, it can only wait for services that run once per server.
   */
  bootstrapAsService(): Service {
    if (this.#bootstrapService === undefined) {
      this.#bootstrapService = {
        name: "BG bootstrap",
        oncePerServer: true,
        start: () => this.#bootstrap?.() ?? Promise.resolve(),
        stop: () => Promise.resolve(),
      };
      this.#graph.add(this.#bootstrapService, []);
    }
    return this.#bootstrapService;
  }

  /** The number of this process among the workers, from 1; `undefined` in the process that was started, and in a daemon. */
  get worker(): number | undefined {
    const role = processRole();
    return role.kind === "worker" ? role.id : undefined;
  }

  /** Where the server is in its life; in a worker: where that worker is. */
  get phase(): ExecutionPhase {
    return this.#phases.current;
  }

  /**
   * Calls `listener` with each phase from now on, until the function that is returned is called. Each process has its own.
   * @throws TypeError for what is no function.
   */
  onPhase(listener: (phase: ExecutionPhase) => void): () => void {
    if (typeof listener !== "function") throw new TypeError(`onPhase: expected a function, got ${shown(listener)}`);
    return this.#phases.watch(listener);
  }

  /**
   * What to do at SIGHUP. Without a hook, that signal does nothing.
   * @throws TypeError for a hook that is none.
   */
  onReload<Value>(hook: ReloadHook<Value>): this {
    if (typeof hook?.load !== "function" || typeof hook.apply !== "function") {
      throw new TypeError(`onReload: expected an object with load() and apply(), got ${shown(hook)}`);
    }
    this.#reloads.add(hook);
    return this;
  }

  /**
   * As SIGHUP. Resolves when the new counts in all processes; rejects when it was refused, and then all is as it was. One at a time:
   * all that are asked for while one is under way are one.
   */
  reload(): Promise<void> {
    return this.#reloads.reload();
  }

  /**
   * Starts the services in this process, each when those that it waits for are ready. If one cannot start, the others are stopped
   * and the promise rejects with its error; nothing is left running. Calling it again returns the same promise.
   */
  start(): Promise<void> {
    this.#begun = true;
    this.#starting ??= this.#startServices(() => true);
    return this.#starting;
  }

  /**
   * Stops what was started, all at once. Calling it again returns the same promise; then only the shorter grace counts.
   * @param graceMs How long requests in flight may take. Default: `grace_period_seconds`.
   */
  stop(graceMs: number = this.conf.grace_period_seconds * 1000): Promise<void> {
    return this.#stop(graceMs, graceMs > 0);
  }

  /**
   * Runs the server until a signal or {@link stop} has ended it, and resolves when all is over:
   * - SIGTERM ends it when the requests in flight are done, at most after `grace_period_seconds`. SIGINT gives them a second. A further
   *   one of both ends at once.
   * - SIGQUIT gives the listening sockets to the server that was started with `--upgrade`, then ends as SIGTERM does.
   * - SIGHUP reloads; SIGUSR1 opens log files again.
   *
   * With `daemon`, the process that was started ends itself, with exit code 0 or 1, as soon as it is known how the other one does.
   *
   * Rejects when a service cannot start, in this process or a worker, and with an error that nobody caught, once what was in flight
   * is done. An error that nobody caught in a worker ends only that.
   */
  async run(): Promise<void> {
    this.#begun = true;
    const ownStartMs = performance.now();
    const role = processRole();
    if (this.options.test) {
      this.#services(() => true);
      const [problem] = checkHost(this.conf);
      if (problem !== undefined) {
        throw ProxyError.internal("ConfigError", `${problem.key}: ${problem.message}`);
      }
      log.info({}, "the configuration is valid");
      return;
    }
    if (role.kind === "main" && this.conf.daemon) {
      this.#checkInherited();
      process.exit(await startDaemon(this.conf));
    }
    const unwatchErrors = watchUncaughtErrors((error) => this.#onUncaught(error));
    try {
      await (role.kind === "worker" ? this.#runWorker(role) : this.#runServer(role, ownStartMs));
    } finally {
      unwatchErrors();
    }
    // Nobody should take the end for a good one.
    if (this.#uncaught !== undefined) throw this.#uncaught.error;
  }

  /** A daemon is another process: it would find the addresses taken. */
  #checkInherited(): void {
    const { inherited } = this.options;
    if (inherited === undefined || inherited.size === 0) return;
    const addresses = [...inherited.keys()].join(", ");
    const what = `daemon: the sockets of the service manager (${addresses}) are for this process; run it in the foreground`;
    throw ProxyError.internal("InternalError", what);
  }

  async #runServer(role: Exclude<ProcessRole, { kind: "worker" }>, ownStartMs: number): Promise<void> {
    const ignored = keysWithoutEffect(this.conf);
    if (ignored.length > 0) log.info({ keys: ignored }, "configuration keys without effect");
    const errorLog = role.kind === "daemon" ? role.errorLog : undefined;
    const daemon = role.kind === "daemon" ? await DaemonProcess.begin(this.conf, role) : undefined;
    this.#sockets = new ListeningSockets(this.#services(() => true).keys());
    const bootstrap = new Bootstrap(this.conf, this.options, this.#sockets, this.#phases, daemon, this.#ends.signal);
    const unwatchSignals = watchSignals({
      terminate: () => {
        if (this.#stopping === undefined) this.#phases.enter("GracefulTerminate");
        void this.stop();
      },
      endFast: () => void this.#stop(FAST_GRACE_MS, false),
      endNow: () => void this.#stop(0, false),
      handOver: () => void this.#handOver(),
      reload: () => void this.reload().catch(() => undefined),
      reopenLogs: () => this.#reopenLogs(),
    });
    try {
      this.#bootstrap = () => bootstrap.run();
      if (this.#bootstrapService === undefined) await bootstrap.run();
      await (this.conf.threads === 1 ? this.start() : this.#startPool(errorLog, ownStartMs));
      if (this.#stopping === undefined) {
        await this.#tellServing(bootstrap);
        daemon?.serves();
        this.#phases.enter("Running");
      }
      await this.#over.promise;
    } catch (error) {
      // Who is told to end while he waits for sockets has not failed.
      if (error === STOPPED) return;
      bootstrap.failed(error);
      await daemon?.failed(error);
      this.#sockets.close();
      this.#grace.dispose();
      throw error;
    } finally {
      daemon?.ended();
      unwatchSignals();
    }
  }

  /** Rejects when the server before goes on; those who have come here by then are answered first. */
  async #tellServing(bootstrap: Bootstrap): Promise<void> {
    try {
      await bootstrap.serving();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** In workers, after what runs here. */
  #startPool(errorLog: string | undefined, ownStartMs: number): Promise<void> {
    const { threads, watchdog_seconds, graceful_shutdown_timeout_seconds, max_blocking_threads } = this.conf;
    this.#starting = (async () => {
      await this.#startServices(({ oncePerServer = false }) => oncePerServer);
      if (this.#stopping !== undefined) return;
      this.#pool = new WorkerPool({
        count: threads,
        fds: this.#sockets.fds,
        bus: this.bus,
        grace: this.#grace,
        errorLog,
        timeoutMs: graceful_shutdown_timeout_seconds * 1000,
        watchdogMs: watchdog_seconds * 1000,
        ownStartMs,
        threadPoolSize: max_blocking_threads,
      });
      try {
        await this.#pool.start();
      } catch (error) {
        await this.#runner.stop();
        throw error;
      }
    })();
    return this.#starting;
  }

  async #runWorker({ fds, errorLog }: Extract<ProcessRole, { kind: "worker" }>): Promise<void> {
    if (errorLog !== undefined) logTo(errorLog);
    this.#sockets = new ListeningSockets(this.#services(() => true).keys());
    this.#sockets.adopt(new Map(fds), []);
    const link = new PrimaryLink(this.bus, {
      stop: (graceMs) => void this.stop(graceMs),
      reopenLogs: reopenLogFiles,
      reload: (values) => this.#reloads.apply(values),
      orphaned: () => {
        log.error({}, "the process that has started this worker is gone; stopping");
        void this.stop();
      },
    });
    this.#reportDraining = (reason, message) => void link.tell({ kind: "draining", reason, message });
    const unwatchSignals = watchWorkerSignals(() => {
      if (this.#stopping === undefined) this.#reportDraining?.("signal", "");
      void this.stop();
    });
    try {
      const { reload } = await link.connect();
      if (reload !== undefined) await this.#reloads.apply(reload);
      this.#starting = this.#startServices(({ oncePerServer = false }) => !oncePerServer);
      await this.#starting;
      if (this.#stopping === undefined) {
        void link.tell({ kind: "ready" });
        this.#phases.enter("Running");
      }
      await this.#over.promise;
    } catch (error) {
      await link.tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      unwatchSignals();
      link.close();
    }
  }

  #reportDraining: ((reason: "uncaught-error" | "signal", message: string) => void) | undefined = undefined;

  #onUncaught(error: unknown): void {
    if (this.#uncaught !== undefined) return;
    this.#uncaught = { error };
    this.#reportDraining?.("uncaught-error", error instanceof Error ? error.message : String(error));
    void this.stop();
  }

  /** Those that are wanted, each with what it waits for; whatever listens waits for the bootstrap. */
  #services(wanted: (service: Service) => boolean): ReadonlyMap<Service, readonly Service[]> {
    const bootstrap = this.#bootstrapService;
    const all = this.#graph.order((service) => (bootstrap !== undefined && listens(service) ? [bootstrap] : []));
    const services = new Map([...all].filter(([service]) => wanted(service)));
    if (this.conf.threads > 1) for (const service of services.keys()) this.#checkScope(service);
    return services;
  }

  /** What runs once cannot wait for what runs in each worker, for it starts before. */
  #checkScope(service: Service): void {
    if (service.oncePerServer !== true) return;
    const other = this.#graph.said(service).find(({ oncePerServer = false }) => !oncePerServer);
    if (other === undefined) return;
    const what = `${service.name} runs once per server and cannot wait for ${other.name}, which runs in each worker`;
    throw ProxyError.internal("InternalError", what);
  }

  #startServices(wanted: (service: Service) => boolean): Promise<void> {
    return this.#runner.start(this.#services(wanted));
  }

  #stop(graceMs: number, graceful: boolean): Promise<void> {
    this.#grace.limit(graceMs);
    this.#ends.abort(STOPPED);
    this.#stopping ??= this.#stopAll(graceful);
    return this.#stopping;
  }

  async #stopAll(graceful: boolean): Promise<void> {
    this.#phases.enter("ShutdownStarted");
    if (graceful) this.#phases.enter("ShutdownGracePeriod");
    const ended = this.#stopServices();
    await Promise.race([ended, aborted(this.#grace.over)]);
    this.#phases.enter("ShutdownRuntimes");
    await ended;
    this.#grace.dispose();
    this.#sockets.close();
    this.#phases.enter("Terminated");
    this.#over.resolve();
  }

  /** What runs once per server goes on for as long as there are workers. */
  async #stopServices(): Promise<void> {
    if (this.#pool !== undefined) this.#sockets.leaveToWorkers();
    await this.#pool?.stop();
    await this.#runner.stop();
  }

  /** Ends this server if the next one serves; else it goes on. */
  async #handOver(): Promise<void> {
    const { handover } = this.options;
    if (handover === undefined) {
      log.error({}, "SIGQUIT: nothing was given to the server that could hand over its sockets; goes on");
      return;
    }
    if (this.phase !== "Running") {
      log.warn({ phase: this.phase }, "SIGQUIT: there is nothing to hand over in this phase");
      return;
    }
    this.#phases.enter("GracefulUpgradeTransferringFds");
    const { upgrade_sock, upgrade_sock_connect_accept_max_retries, daemon_ready_timeout_seconds } = this.conf;
    const { fds, borrowed } = this.#sockets;
    try {
      await handover.send(upgrade_sock, fds, {
        connectMs: (upgrade_sock_connect_accept_max_retries + 1) * 1000,
        servingMs: daemon_ready_timeout_seconds * 1000,
        borrowed,
        signal: this.#ends.signal,
      });
    } catch (err) {
      if (err === STOPPED) return;
      log.error({ err, upgrade_sock }, "could not hand over the listening sockets; goes on");
      if (handoverChannel.hasSubscribers) handoverChannel.publish({ outcome: "failed", error: err });
      if (this.#stopping === undefined) this.#phases.enter("Running");
      return;
    }
    log.info({ addresses: [...fds.keys()] }, "handed over the listening sockets; stopping");
    if (handoverChannel.hasSubscribers) handoverChannel.publish({ outcome: "handed-over", error: undefined });
    this.#sockets.handedOver();
    void this.stop();
  }

  #reopenLogs(): void {
    reopenLogFiles();
    this.#pool?.broadcast({ kind: "reopen-logs" });
    log.info({}, "opened log files again");
  }
}

/**
 * Of a worker. One that replaces another comes when the file may have been moved away, and its account may open no new one; then it
 * has the standard error of the server, which is the file that had the name at the start.
 */
function logTo(file: string): void {
  try {
    standardLog.toFile(file);
  } catch (err) {
    log.error({ err, path: file }, "the log cannot be opened; goes on with standard error");
  }
}

function listens({ listeners = [] }: Service): boolean {
  return listeners.length > 0;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function checkOptions(options: ServerOptions): void {
  checkOptionNames("Server", options, OPTION_NAMES);
  for (const name of ["upgrade", "test"] as const) checkOptionType("Server", name, options[name], "boolean");
  const { handover, inherited } = options;
  if (handover !== undefined && (typeof handover?.send !== "function" || typeof handover.receive !== "function")) {
    throw new TypeError(`Server: handover: expected one, such as linuxHandover(), got ${shown(handover)}`);
  }
  if (inherited !== undefined && !(inherited instanceof Map)) {
    throw new TypeError(
      `Server: inherited: expected a Map of descriptors, such as activatedSockets() gives, got ${shown(inherited)}`,
    );
  }
}
