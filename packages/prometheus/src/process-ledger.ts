import { mergeFamilies } from "./merge-families.ts";
import type { MetricFamily } from "./metric-family.ts";
import type { ProcessSnapshot } from "./metrics-bus.ts";

/** What only grows, and must not shrink when a process ends: Prometheus would take that for a restart, and count all again. */
const CUMULATIVE: ReadonlySet<string> = new Set(["counter", "histogram"]);

/** How many scrapes a process may miss, busy or blocked, until it is taken for gone. */
const MAX_MISSED = 20;

/** A process that has answered at least once. */
interface Known {
  readonly snapshot: ProcessSnapshot;
  /** Scrapes since it answered. */
  missed: number;
}

/** Remembers what processes have counted, so that sums only grow although processes come and go. */
export class ProcessLedger {
  /** By instance. */
  readonly #known = new Map<string, Known>();
  /** What processes that are gone had counted, all in one. */
  #gone: readonly MetricFamily[] = [];
  /** Those in `#gone`: what they should say later is not to be counted twice. */
  readonly #buried = new Set<string>();

  /** Takes over the answers to one scrape. */
  update(answers: readonly ProcessSnapshot[]): void {
    for (const known of this.#known.values()) known.missed++;
    for (const snapshot of answers) this.#take(snapshot);
    const workers = new Set(answers.map(({ worker }) => worker));
    for (const { snapshot, missed } of this.#known.values()) {
      // One that another has taken the place of will not answer any more.
      if (missed > 0 && (workers.has(snapshot.worker) || missed > MAX_MISSED)) this.#bury(snapshot);
    }
  }

  /** A process has said its last word. */
  end(snapshot: ProcessSnapshot): void {
    this.#take(snapshot);
    if (this.#known.has(snapshot.instance)) this.#bury(snapshot);
  }

  /** The process of that id is gone, without a last word. */
  died(pid: number): void {
    for (const { snapshot } of this.#known.values()) if (snapshot.pid === pid) this.#bury(snapshot);
  }

  /** Processes that answered the last scrape, and those that should have. */
  get counts(): { readonly answering: number; readonly silent: number } {
    const all = [...this.#known.values()];
    const answering = all.filter(({ missed }) => missed === 0).length;
    return { answering, silent: all.length - answering };
  }

  /** All processes as one: what only grows of all that ever were, all else of those that answered. */
  sum(): MetricFamily[] {
    const parts = Array.from(this.#known.values(), ({ snapshot, missed }) =>
      missed === 0 ? snapshot.families : snapshot.families.filter(isCumulative),
    );
    return mergeFamilies([...parts, this.#gone]);
  }

  /** Those that answered, by name; `10` comes after `9`. */
  get answering(): readonly ProcessSnapshot[] {
    const answered = [...this.#known.values()].filter(({ missed }) => missed === 0).map(({ snapshot }) => snapshot);
    return answered.toSorted((a, b) => a.worker.localeCompare(b.worker, "en", { numeric: true }));
  }

  #take(snapshot: ProcessSnapshot): void {
    if (!this.#buried.has(snapshot.instance)) this.#known.set(snapshot.instance, { snapshot, missed: 0 });
  }

  #bury({ instance, families }: ProcessSnapshot): void {
    this.#known.delete(instance);
    this.#buried.add(instance);
    if (this.#buried.size > MAX_BURIED) this.#buried.delete(this.#buried.values().next().value!);
    this.#gone = mergeFamilies([this.#gone, families.filter(isCumulative)]);
  }
}

/** None of so long ago will speak again. */
const MAX_BURIED = 1000;

function isCumulative({ type }: MetricFamily): boolean {
  return CUMULATIVE.has(type);
}
