import { ProxyError } from "@sluice/error";
import { logger } from "../log/logger.ts";
import type { GracePeriod } from "./grace-period.ts";
import type { Service } from "./service.ts";

/** After how long it is told that a service is still waited for. */
const SLOW_START_MS = 10_000;

const log = logger("core");

/** Starts services when those that they wait for are ready, and stops them, all at once. */
export class ServiceRunner {
  readonly #timeoutSeconds: number;
  readonly #grace: GracePeriod;
  readonly #started = new Set<Service>();
  #stopping: Promise<void> | undefined = undefined;
  #failed = false;

  /**
   * @param grace How long what is in flight may take once the services were told to stop.
   * @param timeoutSeconds How long they may take after that.
   */
  constructor(grace: GracePeriod, timeoutSeconds: number) {
    this.#grace = grace;
    this.#timeoutSeconds = timeoutSeconds;
  }

  /**
   * Resolves when all are ready. If one cannot start, the others are stopped and the promise rejects with its error.
   * @param services Each behind what it waits for. Others than these count as ready.
   */
  async start(services: ReadonlyMap<Service, readonly Service[]>): Promise<void> {
    const ready = new Map<Service, Promise<void>>();
    for (const [service, after] of services) {
      const before = after.flatMap((other) => ready.get(other) ?? []);
      ready.set(service, this.#startOne(service, before));
    }
    const outcomes = [...ready.values()];
    const slow = setInterval(tellSlow, SLOW_START_MS, ready, this.#started).unref();
    try {
      await Promise.all(outcomes);
    } catch (error) {
      this.#failed = true;
      this.#grace.failed();
      await this.stop();
      await Promise.allSettled(outcomes);
      throw error;
    } finally {
      clearInterval(slow);
    }
  }

  async #startOne(service: Service, before: readonly Promise<void>[]): Promise<void> {
    const waitedFrom = performance.now();
    for (const other of before) await other;
    // A signal may come while services start: those that have not begun need not.
    if (this.#stopping !== undefined || this.#failed) return;
    if (before.length > 0 && log.isLevelEnabled("debug")) {
      log.debug({ service: service.name, waitedMs: Math.round(performance.now() - waitedFrom) }, "starting a service");
    }
    this.#started.add(service);
    try {
      await service.start();
    } catch (error) {
      this.#started.delete(service);
      this.#failed = true;
      throw error;
    }
  }

  /** Stops what was started, all at once. Calling it again returns the same promise. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    // All at once: none waits for another, and the grace period is one for all.
    await Promise.all(Array.from(this.#started, (service) => this.#stopOne(service)));
  }

  async #stopOne(service: Service): Promise<void> {
    const late = this.#timeAfterForce();
    try {
      await Promise.race([service.stop(this.#grace.over), late.passed]);
    } catch (err) {
      log.error({ err, service: service.name }, "a service failed to stop");
    } finally {
      late.cancel();
    }
  }

  /** Rejects when a service had `graceful_shutdown_timeout_seconds` after it was told to end at once. */
  #timeAfterForce(): { passed: Promise<never>; cancel: () => void } {
    const seconds = this.#timeoutSeconds;
    const { promise, reject } = Promise.withResolvers<never>();
    let timer: NodeJS.Timeout | undefined;
    const late = (): void =>
      reject(ProxyError.internal("InternalError", `still busy ${seconds} s after it was told to end`));
    const startTimer = (): void => void (timer = setTimeout(late, seconds * 1000));
    if (this.#grace.over.aborted) startTimer();
    else this.#grace.over.addEventListener("abort", startTimer, { once: true });
    const cancel = (): void => {
      clearTimeout(timer);
      this.#grace.over.removeEventListener("abort", startTimer);
    };
    return { passed: promise, cancel };
  }
}

function tellSlow(services: ReadonlyMap<Service, unknown>, started: ReadonlySet<Service>): void {
  const waiting = [...services.keys()].filter((service) => !started.has(service)).map(({ name }) => name);
  const starting = Array.from(started, ({ name }) => name);
  log.warn({ starting, waiting }, "services are slow to start");
}
