import { eventChannel, logger, observe } from "@sluice/core";
import { labelFamilies, mergeFamilies } from "./merge-families.ts";
import type { WorkerEnded, WorkerReady } from "./messages.ts";
import type { MetricFamily } from "./metric-family.ts";
import { Metric, type Registry } from "./metric.ts";
import { LAST_METRICS, METRICS_QUESTION, type MetricsBus, type ProcessSnapshot } from "./metrics-bus.ts";
import { ProcessLedger } from "./process-ledger.ts";

export interface MetricsSourceOptions {
  readonly registry: Registry;
  readonly worker: string;
  readonly instance: string;
  /** Without it, this process is all there is. */
  readonly bus: MetricsBus | undefined;
  /** How long to wait for the other processes. */
  readonly collectMs: number;
}

const log = logger("prometheus");

const workerReady = eventChannel<WorkerReady>("sluice:worker:ready");
const workerEnded = eventChannel<WorkerEnded>("sluice:worker:ended");

/** Collects the metrics of all processes. Answers for this one as long as it is not closed. */
export class MetricsSource {
  readonly #options: MetricsSourceOptions;
  readonly #ledger = new ProcessLedger();
  readonly #stops: (() => void)[] = [];
  /** What the server calls its workers, by process. */
  readonly #workers = new Map<number, string>();
  #kept: readonly MetricFamily[] = [];
  #closed = false;
  /** Why this process could not answer the last time it was asked. */
  #failure: { readonly error: unknown } | undefined = undefined;

  constructor(options: MetricsSourceOptions) {
    this.#options = options;
    const { bus, instance } = options;
    if (bus === undefined) return;
    this.#stops.push(
      bus.answer(METRICS_QUESTION, () => this.#answer()),
      bus.subscribe(LAST_METRICS, (message) => {
        const snapshot = message as ProcessSnapshot;
        if (snapshot.instance !== instance) this.#ledger.end(snapshot);
      }),
      observe(workerReady, ({ worker, pid }) => void this.#workers.set(pid, String(worker))),
      observe(workerEnded, ({ pid }) => {
        this.#workers.delete(pid);
        this.#ledger.died(pid);
      }),
    );
  }

  /** All processes as one. */
  async sum(): Promise<MetricFamily[]> {
    if (this.#options.bus === undefined) return this.#own();
    await this.#collect();
    const { answering, silent } = this.#ledger.counts;
    return [...this.#ledger.sum(), processCounts(answering, silent)];
  }

  /** Each process for itself, by the label `worker`. */
  async byWorker(): Promise<MetricFamily[]> {
    const { bus } = this.#options;
    const snapshots = bus === undefined ? [await this.#snapshot()] : await this.#collect();
    const labelled = snapshots.map(({ worker, pid, families }) =>
      // One that drains beside its successor has the same name: they are one.
      labelFamilies(families, "worker", this.#workers.get(pid) ?? worker).map((family): MetricFamily => ({
        ...family,
        aggregator: "sum",
      })),
    );
    return mergeFamilies(labelled);
  }

  /** The process is about to end: keeps what can only be waited for, so that {@link closeNow} has it. Does not reject. */
  async prepareToClose(): Promise<void> {
    try {
      this.#kept = await this.#own();
    } catch (err) {
      log.warn({ err }, "the last metrics could not be collected");
    }
  }

  /** Tells the others the last values of this process, and answers no more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.prepareToClose();
    this.closeNow();
  }

  /** {@link close}, for a process that may end any moment: what is not ours is as old as {@link prepareToClose}. */
  closeNow(): void {
    const { bus, registry } = this.#options;
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    if (bus === undefined) return;
    const metrics = registry.getMetricsAsArray() as unknown[];
    const ours = metrics.filter((metric) => metric instanceof Metric).map((metric) => metric.snapshot());
    const names = new Set(ours.map(({ name }) => name));
    const families = [...this.#kept.filter(({ name }) => !names.has(name)), ...ours];
    bus.publish(LAST_METRICS, this.#describe(families));
  }

  async #collect(): Promise<readonly ProcessSnapshot[]> {
    const { bus, collectMs } = this.#options;
    const answers = await bus!.ask(METRICS_QUESTION, undefined, { timeoutMs: collectMs });
    // On the bus it would only be missed; but here is somebody who can be told.
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#ledger.update(answers as ProcessSnapshot[]);
    return this.#ledger.answering;
  }

  async #answer(): Promise<ProcessSnapshot> {
    try {
      const snapshot = await this.#snapshot();
      this.#failure = undefined;
      return snapshot;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  async #snapshot(): Promise<ProcessSnapshot> {
    return this.#describe(await this.#own());
  }

  #describe(families: readonly MetricFamily[]): ProcessSnapshot {
    const { worker, instance } = this.#options;
    return { worker, pid: process.pid, instance, families };
  }

  #own(): Promise<MetricFamily[]> {
    return this.#options.registry.getMetricsAsJSON() as unknown as Promise<MetricFamily[]>;
  }
}

function processCounts(answering: number, silent: number): MetricFamily {
  return {
    name: "sluice_metrics_processes",
    help: "Processes whose values are in the sums: those that answered, and those that were silent and count with what they said last.",
    type: "gauge",
    values: [
      { labels: { state: "answering" }, value: answering },
      { labels: { state: "silent" }, value: silent },
    ],
  };
}
