import type { MetricFamily } from "./metric-family.ts";

/** The metrics of one process. */
export interface ProcessSnapshot {
  /** The label `worker` of its values, where they are shown by process. A successor may have that of its predecessor. */
  readonly worker: string;
  readonly pid: number;
  /** Sets it apart from its predecessor. */
  readonly instance: string;
  readonly families: readonly MetricFamily[];
}

/** Ways between the processes of a server, as far as metrics need them. The bus of a server is one; {@link clusterBus} is another. */
export interface MetricsBus {
  /** Says how this process answers; returns how to answer no more. */
  answer(question: { readonly name: string }, answerer: () => Promise<unknown>): () => void;
  /** The answers of all processes that give one in time, this one included. Does not reject. */
  ask(question: { readonly name: string }, about: undefined, options: { timeoutMs: number }): Promise<unknown[]>;
  /** Tells all processes. */
  publish(topic: { readonly name: string }, message: unknown): void;
  /** Hears what is published; returns how to hear no more. */
  subscribe(topic: { readonly name: string }, listener: (message: unknown) => void): () => void;
}

/** Asks for a {@link ProcessSnapshot}. */
export const METRICS_QUESTION: { readonly name: string } = { name: "sluice-prometheus:metrics" };
/** A process ends: its last {@link ProcessSnapshot}. */
export const LAST_METRICS: { readonly name: string } = { name: "sluice-prometheus:last-metrics" };
