import { ProxyError } from "@sluice/error";
import { parseServerArgs } from "../config/server-args.ts";
import { completeServerConf, loadServerConf, type ServerConf } from "../config/server-conf.ts";
import { MAX_TIMER_MS } from "../net/deadline.ts";
import { logger } from "../log/logger.ts";
import type { Service } from "../services/service.ts";

/**
 * Runs services, from start to a clean end.
 *
 * SIGTERM ends gracefully: listeners close, idle connections close, requests in flight have
 * `grace_period_seconds`. SIGINT (Ctrl-C) ends fast: what is in flight has a second. A further signal ends at once.
 */
export class Server {
  readonly conf: ServerConf;
  readonly #services: Service[] = [];
  readonly #started: Service[] = [];
  #starting: Promise<void> | undefined = undefined;
  #stopping: Promise<void> | undefined = undefined;
  /** Resolves when everything has stopped. */
  readonly #over = Promise.withResolvers<void>();
  /** Aborts when the grace period is over. */
  readonly #force = new AbortController();
  #graceTimer: NodeJS.Timeout | undefined = undefined;
  #graceEndsAt = Number.POSITIVE_INFINITY;

  /** @param conf Overrides of the defaults, by the names of the configuration file. */
  constructor(conf: Partial<ServerConf> = {}) {
    this.conf = completeServerConf(conf);
  }

  /**
   * Reads the command line: `-c FILE` / `--conf FILE` names a configuration file.
   * @param args Default: the arguments of this process.
   * @throws TypeError for an unknown option, ConfigError for a configuration that is not valid.
   */
  static fromArgs(args: string[] = process.argv.slice(2)): Server {
    const { conf } = parseServerArgs(args);
    return new Server(conf === undefined ? {} : loadServerConf(conf));
  }

  /** Services start in this order. @throws ProxyError after the start. */
  addService(service: Service): this {
    if (this.#starting !== undefined) {
      throw ProxyError.internal("InternalError", `the service ${service.name} was added after the server had started`);
    }
    this.#services.push(service);
    return this;
  }

  /**
   * Starts the services one after another. If one cannot start, those before it are stopped and the promise rejects with its
   * error; nothing is left running. Calling it again returns the same promise.
   */
  start(): Promise<void> {
    this.#starting ??= this.#startAll();
    return this.#starting;
  }

  async #startAll(): Promise<void> {
    for (const service of this.#services) {
      // A signal may come while services start: those that have not begun need not.
      if (this.#stopping !== undefined) return;
      this.#started.push(service);
      try {
        await service.start();
      } catch (error) {
        this.#started.pop();
        await this.stop(0);
        throw error;
      }
    }
  }

  /**
   * Stops what was started, all at once. Calling it again returns the same promise; then only the shorter grace counts.
   * @param graceMs How long requests in flight may take. Default: `grace_period_seconds`.
   */
  stop(graceMs: number = this.conf.grace_period_seconds * 1000): Promise<void> {
    this.#limitGrace(graceMs);
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  /** {@link start}, then waits until a signal or {@link stop} has ended it. Resolves when all is over. */
  async run(): Promise<void> {
    const unwatchSignals = this.#watchSignals();
    try {
      await this.start();
      await this.#over.promise;
    } finally {
      unwatchSignals();
    }
  }

  #limitGrace(graceMs: number): void {
    const endsAt = performance.now() + graceMs;
    if (endsAt >= this.#graceEndsAt) return;
    this.#graceEndsAt = endsAt;
    clearTimeout(this.#graceTimer);
    if (graceMs <= 0) this.#force.abort();
    else this.#graceTimer = setTimeout(() => this.#force.abort(), Math.min(graceMs, MAX_TIMER_MS));
  }

  async #stopAll(): Promise<void> {
    // All at once: none waits for another, and the grace period is one for all.
    await Promise.all(this.#started.map((service) => this.#stopOne(service)));
    clearTimeout(this.#graceTimer);
    this.#over.resolve();
  }

  async #stopOne(service: Service): Promise<void> {
    try {
      await Promise.race([service.stop(this.#force.signal), this.#timeAfterForce()]);
    } catch (err) {
      logger("core").error({ err, service: service.name }, "a service failed to stop");
    }
  }

  /** Rejects when services had `graceful_shutdown_timeout_seconds` after they were told to end at once. */
  #timeAfterForce(): Promise<never> {
    const seconds = this.conf.graceful_shutdown_timeout_seconds;
    return new Promise((_, reject) => {
      const late = (): void =>
        reject(ProxyError.internal("InternalError", `still busy ${seconds} s after it was told to end`));
      const startTimer = (): void => void setTimeout(late, seconds * 1000).unref();
      if (this.#force.signal.aborted) startTimer();
      else this.#force.signal.addEventListener("abort", startTimer, { once: true });
    });
  }

  /** Returns how to undo it. */
  #watchSignals(): () => void {
    let received = 0;
    let receivedAtMs = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      // A terminal's Ctrl-C reaches a program twice when whoever started it passes it on as well.
      if (received > 0 && performance.now() - receivedAtMs < SAME_SIGNAL_MS) return;
      received++;
      receivedAtMs = performance.now();
      const graceMs = received > 1 ? 0 : signal === "SIGINT" ? FAST_GRACE_MS : undefined;
      logger("core").info({ signal }, received > 1 ? "stopping at once" : "stopping");
      void this.stop(graceMs);
    };
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
    return () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

/** What a request in flight has after SIGINT. */
const FAST_GRACE_MS = 1000;

/** Signals that come closer together than this are one. */
const SAME_SIGNAL_MS = 300;
