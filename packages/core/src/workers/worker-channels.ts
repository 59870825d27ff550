import { eventChannel, type EventChannel } from "../diagnostics.ts";

/**
 * What a worker ended of:
 * - `stopped`: the server told it to.
 * - `signal`: somebody else did, by SIGTERM; it had drained.
 * - `uncaught-error`: nobody caught an error; it had drained.
 * - `unresponsive`: its event loop was blocked for `watchdog_seconds`, or before it came to `run()`; it was killed.
 * - `out-of-memory`: the runtime gave up since its heap was full.
 * - `aborted`: the runtime gave up otherwise, by a fault in native code perhaps; it has written which on standard error.
 * - `killed`: by a signal that is none of ours, such as that of the system's out-of-memory killer.
 * - `could-not-start`: its services were never ready.
 * - `exited`: by itself, whatever for; a program that calls `process.exit`, perhaps.
 */
export type WorkerEndCause =
  | "stopped"
  | "signal"
  | "uncaught-error"
  | "unresponsive"
  | "out-of-memory"
  | "aborted"
  | "killed"
  | "could-not-start"
  | "exited";

/** A worker's services are ready. */
export interface WorkerReadyMessage {
  /** From 1; that of its predecessor when it replaces one. */
  readonly worker: number;
  readonly pid: number;
  /** What it took from the start of its process. */
  readonly startMs: number;
}

/** A worker takes nothing new, and is replaced; `ended` follows when nothing is in flight on it. */
export interface WorkerDrainingMessage {
  readonly worker: number;
  readonly pid: number;
  readonly reason: "uncaught-error" | "signal";
  /** The error's. */
  readonly message: string;
}

/** A worker's process is gone. */
export interface WorkerEndedMessage {
  readonly worker: number;
  readonly pid: number;
  readonly cause: WorkerEndCause;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** How long it had been ready; 0 for one that never was. */
  readonly livedMs: number;
  /** What is known beyond the cause, in words; may be empty. */
  readonly message: string;
}

/** What happens to the workers, told in the process that has started them. */
export const workerChannels: {
  readonly ready: EventChannel<WorkerReadyMessage>;
  readonly draining: EventChannel<WorkerDrainingMessage>;
  readonly ended: EventChannel<WorkerEndedMessage>;
} = {
  ready: eventChannel("sluice:worker:ready"),
  draining: eventChannel("sluice:worker:draining"),
  ended: eventChannel("sluice:worker:ended"),
};
