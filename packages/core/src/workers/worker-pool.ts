import { ProxyError } from "@sluice/error";
import { isBusMessage } from "../bus/bus-message.ts";
import type { ServerBus } from "../bus/server-bus.ts";
import { rememberWatchedFiles } from "../config/inherited-files.ts";
import { logger } from "../log/logger.ts";
import type { GracePeriod } from "../services/grace-period.ts";
import { RestartBackoff } from "./restart-backoff.ts";
import { workerChannels } from "./worker-channels.ts";
import { WorkerHandle, type WorkerSpec } from "./worker-handle.ts";
import type { PrimaryMessage, WorkerMessage } from "./worker-messages.ts";

/** What a process may take to end after its services have, or should have. */
const EXIT_MS = 1000;

const MAX_HEARTBEAT_MS = 1000;
const MIN_HEARTBEAT_MS = 50;

/**
 * Until it makes its `Server` a worker does what the process that starts it has done, and may take this many times as long as that
 * did until `run()`, beyond the watchdog's time: what it waits for may be slower now. Nothing is lost if that is too long, for the others serve meanwhile; if it were too
 * short, the worker would never come.
 */
const MIN_TIMES_OWN_START = 5;

/** How long a worker may take to apply a reload before that is told; it is not given up. */
const SLOW_RELOAD_MS = 10_000;

const log = logger("core");

export interface WorkerPoolOptions extends Pick<WorkerSpec, "fds" | "errorLog" | "threadPoolSize"> {
  readonly count: number;
  readonly bus: ServerBus;
  readonly grace: GracePeriod;
  /** What services may take to end after the grace period. */
  readonly timeoutMs: number;
  /** How long an event loop may be blocked; 0: for ever. */
  readonly watchdogMs: number;
  /** How long this process took from its start until `run()`. */
  readonly ownStartMs: number;
}

/** A place for a worker, which is filled again when it dies. */
interface Slot {
  readonly id: number;
  readonly backoff: RestartBackoff;
  /** The one that serves, or starts; `undefined` while the next has to wait. */
  current: WorkerHandle | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** The workers of a server: starts them, replaces those that die, watches that they live, and stops them. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #slots: readonly Slot[];
  /** All that have not ended, those included that have been replaced already. */
  readonly #workers = new Map<WorkerHandle, (() => void) | undefined>();
  readonly #reloading = new Map<WorkerHandle, (error: string | undefined) => void>();
  readonly #heartbeatMs: number;
  #watchdog: NodeJS.Timeout | undefined = undefined;
  #started: { readonly ready: () => void; readonly failed: (error: ProxyError) => void } | undefined = undefined;
  #stopping: Promise<void> | undefined = undefined;
  #onEmpty: (() => void) | undefined = undefined;
  /** Of the last reload. */
  #values: readonly unknown[] | undefined = undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      id: index + 1,
      backoff: new RestartBackoff(),
      current: undefined,
      timer: undefined,
    }));
    const quarter = options.watchdogMs === 0 ? MAX_HEARTBEAT_MS : options.watchdogMs / 4;
    this.#heartbeatMs = Math.min(Math.max(quarter, MIN_HEARTBEAT_MS), MAX_HEARTBEAT_MS);
  }

  /** Resolves when all are ready; rejects when one cannot start, and then all have ended. */
  async start(): Promise<void> {
    const started = new Promise<void>((ready, failed) => (this.#started = { ready, failed }));
    for (const slot of this.#slots) this.#spawn(slot);
    if (this.#options.watchdogMs > 0) this.#watch();
    try {
      await started;
    } catch (error) {
      this.#options.grace.failed();
      await this.stop();
      throw error;
    } finally {
      this.#started = undefined;
    }
  }

  /** Resolves when all have ended. They have what is left of the grace period. Calling it again returns the same promise. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  /** Tells all of them. */
  broadcast(message: PrimaryMessage): void {
    for (const worker of this.#workers.keys()) worker.send(message);
  }

  /** Resolves when all have applied the values, or ended; those that could not have told so in their log. */
  async reload(values: readonly unknown[]): Promise<void> {
    this.#values = values;
    // Those that have not been welcomed yet get the values then.
    const told = [...this.#workers].filter(([, connected]) => connected !== undefined).map(([worker]) => worker);
    const slow = setInterval(
      () => log.warn({ workers: this.#reloading.size }, "workers are slow to reload"),
      SLOW_RELOAD_MS,
    );
    const outcomes = told.map(
      (worker) => new Promise<string | undefined>((resolve) => this.#reloading.set(worker, resolve)),
    );
    for (const worker of told) worker.send({ kind: "reload", values });
    const errors = (await Promise.all(outcomes)).filter((error) => error !== undefined);
    clearInterval(slow);
    if (errors.length > 0) log.error({ errors }, "workers could not apply a reload");
  }

  #spawn(slot: Slot): void {
    slot.timer = undefined;
    const { fds, errorLog, threadPoolSize } = this.#options;
    try {
      slot.current = new WorkerHandle({ id: slot.id, fds, errorLog, threadPoolSize }, this);
    } catch (cause) {
      // Such as a machine that has no more processes.
      this.#started?.failed(ProxyError.internal("InternalError", `worker ${slot.id} could not be started`, cause));
      log.error({ err: cause, worker: slot.id }, "a worker could not be started");
      this.#replace(slot, 0);
      return;
    }
    this.#workers.set(slot.current, undefined);
  }

  /** @internal */
  message(worker: WorkerHandle, message: WorkerMessage): void {
    if (isBusMessage(message)) {
      this.#options.bus.receive(message, worker);
      return;
    }
    switch (message.kind) {
      case "hello":
        worker.hello();
        this.#welcome(worker);
        break;
      case "ready":
        this.#onReady(worker);
        break;
      case "failed":
        worker.expectedEnd ??= "could-not-start";
        worker.message = message.message;
        break;
      case "heartbeat":
        worker.seen(message.heapUsed, message.heapLimit);
        break;
      case "files":
        rememberWatchedFiles(message.files);
        break;
      case "draining":
        this.#onDraining(worker, message.reason, message.message);
        break;
      case "reloaded":
      default:
        this.#reloading.get(worker)?.(message.error);
        this.#reloading.delete(worker);
    }
  }

  #welcome(worker: WorkerHandle): void {
    const { bus, grace } = this.#options;
    const heartbeatMs = this.#heartbeatMs;
    // Connected at the same moment as it is told what was said before: it hears everything, and nothing twice.
    worker.send({ kind: "welcome", retained: bus.retained, reload: this.#values, heartbeatMs });
    this.#workers.set(worker, bus.connect(worker));
    if (this.#stopping !== undefined) worker.send({ kind: "stop", graceMs: grace.leftMs });
  }

  #onReady(worker: WorkerHandle): void {
    worker.readyAtMs = performance.now();
    const { id, pid } = worker;
    const startMs = Math.round(worker.readyAtMs - worker.startedAtMs);
    log.debug({ worker: id, pid, startMs }, "a worker is ready");
    if (workerChannels.ready.hasSubscribers) workerChannels.ready.publish({ worker: id, pid, startMs });
    if (this.#slots.every(({ current }) => current?.readyAtMs !== undefined)) this.#started?.ready();
  }

  #onDraining(worker: WorkerHandle, reason: "uncaught-error" | "signal", message: string): void {
    worker.expectedEnd ??= reason;
    worker.message = message;
    const { id, pid } = worker;
    log.warn({ worker: id, pid, reason, error: message }, "a worker drains");
    if (workerChannels.draining.hasSubscribers) workerChannels.draining.publish({ worker: id, pid, reason, message });
    // Not when it has ended: what it has in flight may take long.
    this.#vacate(worker);
  }

  /** @internal */
  ended(worker: WorkerHandle, exitCode: number | null, signal: NodeJS.Signals | null): void {
    this.#workers.get(worker)?.();
    this.#workers.delete(worker);
    this.#reloading.get(worker)?.(undefined);
    this.#reloading.delete(worker);
    worker.message ||= worker.greeted || signal !== null ? "" : "it ended before run(); standard error says why";
    const { id, pid, livedMs, message } = worker;
    const cause = this.#stopping !== undefined && worker.expectedEnd === undefined ? "stopped" : worker.causeOf(signal);
    const fields = {
      worker: id,
      pid,
      cause,
      exitCode,
      signal,
      livedMs: Math.round(livedMs),
      error: message || undefined,
    };
    if (cause === "stopped" || cause === "signal") log.debug(fields, "a worker has ended");
    else log.error(fields, "a worker has ended");
    if (workerChannels.ended.hasSubscribers) {
      workerChannels.ended.publish({ worker: id, pid, cause, exitCode, signal, livedMs, message });
    }
    const why = message === "" ? `it ended (${signal ?? `exit code ${exitCode}`})` : message;
    // Who was told to stop while it started has not failed.
    if (this.#stopping !== undefined) this.#started?.ready();
    else this.#started?.failed(ProxyError.internal("InternalError", `worker ${id} could not start: ${why}`));
    this.#vacate(worker);
    if (this.#workers.size === 0) this.#onEmpty?.();
  }

  /** Another takes its place, unless that has happened or the server ends. */
  #vacate(worker: WorkerHandle): void {
    const slot = this.#slots.find(({ current }) => current === worker);
    if (slot === undefined) return;
    slot.current = undefined;
    this.#replace(slot, worker.livedMs);
  }

  #replace(slot: Slot, livedMs: number): void {
    if (this.#stopping !== undefined || this.#started !== undefined) return;
    const delayMs = slot.backoff.delayMs(livedMs);
    if (delayMs > 0) log.warn({ worker: slot.id, delayMs }, "a worker is replaced after a delay");
    slot.timer = setTimeout(() => this.#spawn(slot), delayMs);
  }

  #watch(): void {
    const { watchdogMs, ownStartMs, count } = this.#options;
    // All of them may start at once, on one processor.
    const startMs = watchdogMs + ownStartMs * Math.max(MIN_TIMES_OWN_START, count);
    let checkedAt = performance.now();
    this.#watchdog = setInterval(() => {
      const now = performance.now();
      // This process did not run itself, perhaps since the machine slept: what the workers sent is not read yet.
      const wasAway = now - checkedAt > this.#heartbeatMs * 2;
      checkedAt = now;
      for (const worker of this.#workers.keys()) {
        if (wasAway) worker.seenAtMs = now;
        const silentMs = now - worker.seenAtMs;
        if (silentMs < (worker.greeted ? watchdogMs : startMs)) continue;
        const silence = Math.round(silentMs);
        worker.message ||= worker.greeted
          ? `its event loop was blocked for ${silence} ms`
          : `it showed no sign of life for ${silence} ms and has not come to run(); it is blocked, or makes its Server late`;
        worker.kill("unresponsive");
      }
    }, this.#heartbeatMs);
  }

  async #stopAll(): Promise<void> {
    const { grace, timeoutMs } = this.#options;
    for (const slot of this.#slots) clearTimeout(slot.timer);
    const tell = (): void => this.broadcast({ kind: "stop", graceMs: grace.leftMs });
    tell();
    grace.onShortened(tell);
    let killer: NodeJS.Timeout | undefined;
    const killLater = (): void => {
      killer = setTimeout(() => this.#killAll(), timeoutMs + EXIT_MS);
    };
    if (grace.over.aborted) killLater();
    else grace.over.addEventListener("abort", killLater, { once: true });
    if (this.#workers.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
    grace.over.removeEventListener("abort", killLater);
    clearTimeout(killer);
    clearInterval(this.#watchdog);
  }

  #killAll(): void {
    for (const worker of this.#workers.keys()) {
      log.error({ worker: worker.id, pid: worker.pid }, "a worker did not end; killed it");
      worker.kill("stopped");
    }
  }
}
