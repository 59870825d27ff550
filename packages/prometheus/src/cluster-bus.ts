import cluster, { type Worker } from "node:cluster";
import { logger } from "@sluice/core";
import type { MetricsBus } from "./metrics-bus.ts";

const log = logger("prometheus");

/** What goes between the processes. */
type ClusterMessage =
  /** To a worker: what it says to this. */
  | { readonly [MARK]: "ask"; readonly id: number; readonly name: string }
  /** To the primary: what all say to this. */
  | { readonly [MARK]: "ask-all"; readonly id: number; readonly name: string; readonly timeoutMs: number }
  /** Back to who asked. */
  | { readonly [MARK]: "answers"; readonly id: number; readonly answers: readonly unknown[] }
  | { readonly [MARK]: "publish"; readonly name: string; readonly message: unknown };

/** Sets our messages apart from those of others on the same channel. */
const MARK = "sluice-prometheus";

/** The primary, as a worker sees it. */
const PRIMARY = 0;

let bus: ClusterBus | undefined;

/**
 * The way between the processes of a program that makes its workers by `node:cluster` itself. To be called in the primary, before it
 * has workers, and in each worker; the same object each time.
 */
export function clusterBus(): MetricsBus {
  return (bus ??= new ClusterBus());
}

interface OpenQuestion {
  /** Ids of workers that have not answered, or {@link PRIMARY}. */
  readonly waiting: Set<number>;
  readonly answers: unknown[];
  readonly settle: () => void;
}

class ClusterBus implements MetricsBus {
  readonly #answerers = new Map<string, () => Promise<unknown>>();
  readonly #listeners = new Map<string, Set<(message: unknown) => void>>();
  readonly #open = new Map<number, OpenQuestion>();
  #asked = 0;

  constructor() {
    if (cluster.isPrimary) {
      cluster.on("message", (worker: Worker, message: unknown) => this.#receive(message, worker));
      // Whoever is gone is not waited for.
      cluster.on("disconnect", ({ id }: Worker) => this.#gone(id));
    } else {
      process.on("message", (message: unknown) => this.#receive(message, undefined));
      process.on("disconnect", () => this.#gone(PRIMARY));
    }
  }

  answer({ name }: { readonly name: string }, answerer: () => Promise<unknown>): () => void {
    this.#answerers.set(name, answerer);
    return () => {
      if (this.#answerers.get(name) === answerer) this.#answerers.delete(name);
    };
  }

  ask({ name }: { readonly name: string }, _: undefined, { timeoutMs }: { timeoutMs: number }): Promise<unknown[]> {
    if (cluster.isPrimary) return this.#askAll(name, timeoutMs);
    // The primary asks all, this one included; should it be gone, there is nobody else to know of.
    const question = { [MARK]: "ask-all", name, timeoutMs } as const;
    return this.#wait([PRIMARY], timeoutMs + GRACE_MS, (id) => toPrimary({ ...question, id })).then(async (answers) =>
      answers.length > 0 ? answers : this.#own(name),
    );
  }

  publish({ name }: { readonly name: string }, message: unknown): void {
    this.#spread({ [MARK]: "publish", name, message }, undefined);
    this.#hear(name, message);
  }

  subscribe({ name }: { readonly name: string }, listener: (message: unknown) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  async #askAll(name: string, timeoutMs: number): Promise<unknown[]> {
    const workers = connectedWorkers();
    const question = { [MARK]: "ask", name } as const;
    const [own, theirs] = await Promise.all([
      this.#own(name),
      this.#wait(
        workers.map(({ id }) => id),
        timeoutMs,
        (id) => {
          for (const worker of workers) worker.send({ ...question, id });
        },
      ),
    ]);
    return [...own, ...theirs];
  }

  #wait(from: readonly number[], timeoutMs: number, send: (id: number) => void): Promise<unknown[]> {
    if (from.length === 0) return Promise.resolve([]);
    const id = ++this.#asked;
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#open.delete(id);
        resolve(open.answers);
      };
      const open: OpenQuestion = { waiting: new Set(from), answers: [], settle };
      const timer = setTimeout(settle, timeoutMs);
      this.#open.set(id, open);
      send(id);
    });
  }

  async #own(name: string): Promise<unknown[]> {
    const answerer = this.#answerers.get(name);
    if (answerer === undefined) return [];
    try {
      return [await answerer()];
    } catch (err) {
      log.error({ err, question: name }, "could not answer another process");
      return [];
    }
  }

  /** @param from The worker that has sent it; `undefined`: the primary has. */
  #receive(given: unknown, from: Worker | undefined): void {
    if (!isClusterMessage(given)) return;
    const reply = (id: number, answers: readonly unknown[]): void => {
      const message = { [MARK]: "answers", id, answers } as const;
      if (from === undefined) toPrimary(message);
      else if (from.isConnected()) from.send(message);
    };
    switch (given[MARK]) {
      case "ask":
        void this.#own(given.name).then((answers) => reply(given.id, answers));
        break;
      case "ask-all":
        void this.#askAll(given.name, given.timeoutMs).then((answers) => reply(given.id, answers));
        break;
      case "answers":
        this.#answered(given.id, from?.id ?? PRIMARY, given.answers);
        break;
      case "publish":
      default:
        if (from !== undefined) this.#spread(given, from);
        this.#hear(given.name, given.message);
    }
  }

  #answered(id: number, by: number, answers: readonly unknown[]): void {
    const open = this.#open.get(id);
    if (open === undefined || !open.waiting.delete(by)) return;
    open.answers.push(...answers);
    if (open.waiting.size === 0) open.settle();
  }

  #gone(id: number): void {
    for (const [question] of this.#open) this.#answered(question, id, []);
  }

  #spread(message: ClusterMessage, except: Worker | undefined): void {
    if (!cluster.isPrimary) toPrimary(message);
    else for (const worker of connectedWorkers()) if (worker !== except) worker.send(message);
  }

  #hear(name: string, message: unknown): void {
    for (const listener of this.#listeners.get(name) ?? []) listener(message);
  }
}

/** So that answers which the primary waits for until the last moment still arrive. */
const GRACE_MS = 100;

function connectedWorkers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker?.isConnected() === true);
}

function toPrimary(message: ClusterMessage): void {
  if (process.connected) process.send!(message, undefined, undefined, () => undefined);
}

function isClusterMessage(message: unknown): message is ClusterMessage {
  return typeof message === "object" && message !== null && MARK in message;
}
