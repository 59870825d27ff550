import cluster, { type Worker } from "node:cluster";
import { eventChannel, logger, observe, type Service } from "@sluice/core";
import { Scope, type NodeClient } from "@sentry/node";
import { EventBudget } from "./event-budget.ts";
import type { Handover, HookError, RequestEnd, RequestSession, ServerPhase, WorkerEnded } from "./messages.ts";
import { requestContext } from "./request-context.ts";
import { createSentryClient, type EventData } from "./sentry-client.ts";
import { resolveSentryOptions, type ResolvedOptions, type SampleRates, type SentryOptions } from "./sentry-options.ts";
import { watchUncaughtErrors } from "./uncaught-errors.ts";

const log = logger("sentry");

const requestEnd = eventChannel<RequestEnd>("sluice:proxy:request-end");
const hookError = eventChannel<HookError>("sluice:proxy:hook-error");
const workerEnded = eventChannel<WorkerEnded>("sluice:worker:ended");
const handover = eventChannel<Handover>("sluice:server:handover");
const serverPhase = eventChannel<ServerPhase>("sluice:server:phase");

/** Ends that somebody wanted. */
const ORDERLY: ReadonlySet<string> = new Set(["stopped", "signal"]);

export interface CaptureOptions {
  /** Default `error`. */
  level?: "fatal" | "error" | "warning" | "info";
  /** To search by. */
  tags?: Readonly<Record<string, string>>;
}

/** What a report says beside the error. */
interface Report {
  readonly level: "fatal" | "error" | "warning" | "info";
  /** What happened: `uncaught`, `hook-error`, `request-failed`, … */
  readonly kind: string;
  readonly handled: boolean;
  readonly tags: Readonly<Record<string, string>>;
  /** Those alike share it, for the limits. */
  readonly likeness: string;
  readonly fingerprint?: string[];
  readonly session?: RequestSession;
  readonly contexts?: Readonly<Record<string, Record<string, unknown>>>;
}

/**
 * Reports to Sentry what nobody should have to look for: errors that nobody caught, workers that crashed, errors in hooks, requests
 * that failed by our own fault. A service like others, so that a server that stops waits until reports are sent.
 */
export class SentryReporter implements Service {
  readonly name = "Sentry reports";
  readonly #options: ResolvedOptions;
  /** Of a process that is about to end there will be no other word, so nothing else may use these up. */
  readonly #crashBudget: EventBudget;
  readonly #budget: EventBudget;
  /** Told already; the same error ends its request. */
  #known = new WeakSet<object>();
  #client: NodeClient | undefined = undefined;
  #stops: (() => void)[] = [];
  /** Reports that were not taken. */
  #lost = 0;

  /** @internal Use {@link sentryReporter}. */
  constructor(options: SentryOptions) {
    this.#options = resolveSentryOptions(options);
    const { maxPerMinute, maxAlikePerMinute } = this.#options;
    this.#budget = new EventBudget(maxPerMinute, maxAlikePerMinute);
    this.#crashBudget = new EventBudget(maxPerMinute, maxAlikePerMinute);
  }

  /**
   * Begins to report, in this process. Each process of a server runs the program from its first line, and so comes here by itself. May be
   * called again, after {@link close} or in a process that was made another way: it begins anew, with a connection of its own.
   */
  init(): this {
    if (this.#client !== undefined) this.#abandon();
    this.#known = new WeakSet();
    this.#client = createSentryClient(this.#options, (err) => {
      this.#lost++;
      log.warn({ err }, "a report could not be sent");
    });
    this.#stops = [
      watchUncaughtErrors({
        report: (error, origin) => this.#reportUncaught(error, origin),
        flush: () => this.flush(),
      }),
      observe(hookError, (message) => this.#reportHookError(message)),
      observe(requestEnd, ({ session, error }) => {
        if (error !== undefined) this.#reportFailure(session, error);
      }),
      observe(workerEnded, (message) => this.#reportWorker(message)),
      observe(handover, (message) => this.#reportHandover(message)),
      watchClusterWorkers((message) => this.#reportWorker(message)),
      // In a process that does not start this service, nobody stops it either.
      observe(serverPhase, ({ phase }) => void (phase === "ShutdownRuntimes" && this.flush())),
    ];
    return this;
  }

  /**
   * Reports an error that the program has caught, such as one that keeps it from starting. What was reported already, and what the
   * limits have no room for, is dropped.
   * @returns Whether it is on its way.
   */
  capture(error: unknown, { level = "error", tags = {} }: CaptureOptions = {}): boolean {
    if (this.#isKnown(error)) return false;
    this.#remember(error);
    return this.#report(error, { kind: "captured", level, tags, handled: true, likeness: likenessOf(error) });
  }

  /**
   * Waits until what was reported is sent, or given up.
   * @param timeoutMs Default: `flushMs`.
   * @returns Whether all that waited was sent.
   */
  async flush(timeoutMs: number = this.#options.flushMs): Promise<boolean> {
    return this.#wait(() => this.#client?.flush(timeoutMs));
  }

  /** {@link flush}, then reports no more. */
  async close(): Promise<boolean> {
    const client = this.#client;
    for (const stop of this.#stops.splice(0)) stop();
    this.#client = undefined;
    return this.#wait(() => client?.close(this.#options.flushMs));
  }

  start(): Promise<void> {
    if (this.#client === undefined) this.init();
    return Promise.resolve();
  }

  /** Goes on reporting: others stop at the same time, and what fails then is to be told as well. */
  async stop(): Promise<void> {
    if (!(await this.flush())) log.warn({}, "reports could not be sent in time");
  }

  async #wait(until: () => PromiseLike<boolean> | undefined): Promise<boolean> {
    const before = this.#lost;
    const done = (await until()) ?? true;
    return done && this.#lost === before;
  }

  /** What was reported is still sent. */
  #abandon(): void {
    this.close().catch((err: unknown) => log.warn({ err }, "reports could not be sent"));
  }

  #reportUncaught(error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void {
    // A server that has drained because of it may end with it.
    if (this.#isKnown(error)) return;
    this.#remember(error);
    this.#report(error, {
      kind: "uncaught",
      level: "fatal",
      handled: false,
      tags: { origin },
      likeness: likenessOf(error),
    });
  }

  #reportHookError({ session, phase, error, thrown }: HookError): void {
    // An object that is no error may hold anything.
    const what = thrown instanceof Error ? thrown : error;
    this.#remember(error);
    this.#remember(thrown);
    this.#report(what, {
      kind: "hook-error",
      level: "error",
      handled: true,
      tags: { phase, type: error.type, source: error.source },
      likeness: `${phase} ${likenessOf(what)}`,
      session,
    });
  }

  #reportFailure(session: RequestSession, error: RequestEnd["error"] & object): void {
    if (this.#isKnown(error)) return;
    const { source, type } = error;
    const share = this.#options.sample[source as keyof SampleRates] ?? 0;
    if (share <= 0 || (share < 1 && Math.random() >= share)) return;
    const { phase } = session;
    this.#report(error, {
      kind: "request-failed",
      level: source === "internal" ? "error" : "warning",
      handled: true,
      tags: { phase, type, source },
      likeness: `${source} ${type} ${phase}`,
      // Their stacks are ours, and all the same: it is what failed, and where, that tells them apart.
      ...(source !== "internal" && { fingerprint: ["request-failed", source, type, phase] }),
      session,
    });
  }

  #reportWorker({ worker, pid, cause, exitCode, signal, message }: WorkerEnded): void {
    if (ORDERLY.has(cause)) return;
    const words = message === "" ? "" : ` (${message})`;
    const error = new Error(`worker ${worker} ended: ${cause}${words}`);
    error.name = "WorkerEnded";
    // Where this was made says nothing of why.
    delete error.stack;
    this.#report(error, {
      kind: "worker-ended",
      level: "fatal",
      handled: false,
      tags: { cause },
      likeness: cause,
      fingerprint: ["worker-ended", cause],
      contexts: { worker: { worker, pid, cause, exit_code: exitCode, signal } },
    });
  }

  /** The server goes on, so nobody would notice that the new version is not there. */
  #reportHandover({ outcome, error }: Handover): void {
    if (outcome !== "failed" || this.#isKnown(error)) return;
    this.#remember(error);
    this.#report(error, {
      kind: "handover-failed",
      level: "error",
      handled: true,
      tags: {},
      likeness: likenessOf(error),
    });
  }

  #remember(error: unknown): void {
    if (typeof error === "object" && error !== null) this.#known.add(error);
  }

  /** It, or one that caused it. */
  #isKnown(error: unknown): boolean {
    for (let cause: unknown = error, depth = 0; typeof cause === "object" && cause !== null && depth < 10; depth++) {
      if (this.#known.has(cause)) return true;
      ({ cause } = cause as { cause?: unknown });
    }
    return false;
  }

  /** Never throws: it runs where errors are dealt with. */
  #report(error: unknown, report: Report): boolean {
    const client = this.#client;
    if (client === undefined) return false;
    try {
      const budget = report.handled ? this.#budget : this.#crashBudget;
      if (!budget.take(`${report.kind} ${report.likeness}`)) return false;
      const { scope, data } = this.#describe(report, budget.takeSuppressed());
      const mechanism = { type: `sluice.${report.kind}`, handled: report.handled };
      client.captureException(error, { originalException: error, mechanism, data }, scope);
      return true;
    } catch (err) {
      log.error({ err }, "an error could not be reported");
      return false;
    }
  }

  #describe(report: Report, suppressed: number): { scope: Scope; data: EventData } {
    const scope = new Scope();
    scope.setLevel(report.level).setTags({ ...report.tags, kind: report.kind, pid: String(process.pid) });
    if (report.fingerprint !== undefined) scope.setFingerprint(report.fingerprint);
    if (suppressed > 0) scope.setExtra("not_reported_before", suppressed);
    for (const [name, context] of Object.entries(report.contexts ?? {})) scope.setContext(name, context);
    if (report.session === undefined) return { scope, data: {} };
    const { request, proxy, secrets } = requestContext(report.session, this.#options);
    scope.setContext("proxy", { ...proxy });
    scope.addEventProcessor((event) => ({ ...event, request }));
    return { scope, data: { secrets } };
  }
}

/**
 * Reports from now on: `server.addService(sentryReporter({ dsn }))`. Make it first, so that what keeps the rest from starting is
 * reported, too.
 * @throws TypeError or RangeError for an option that cannot be.
 */
export function sentryReporter(options: SentryOptions): SentryReporter {
  return new SentryReporter(options).init();
}

/** The type, and the first place in the stack: messages may differ by what they name. */
function likenessOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const place = /^\s+at .*$/m.exec(error.stack ?? "")?.[0].trim() ?? error.message;
  return `${error.name} ${place.slice(0, 200)}`;
}

/** Workers of a program that makes them by `node:cluster` itself. Returns how to undo it. */
function watchClusterWorkers(report: (message: WorkerEnded) => void): () => void {
  if (!cluster.isPrimary) return () => undefined;
  const onExit = (worker: Worker, exitCode: number | null, signal: string | null): void => {
    if (worker.exitedAfterDisconnect || (exitCode === 0 && !signal)) return;
    const cause = signal ? `killed by ${signal}` : `exit code ${exitCode}`;
    report({ worker: worker.id, pid: worker.process.pid ?? 0, cause, exitCode, signal, message: "" });
  };
  cluster.on("exit", onExit);
  return () => void cluster.off("exit", onExit);
}
