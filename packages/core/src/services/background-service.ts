import { shown } from "../config/shown.ts";
import { logger } from "../log/logger.ts";
import type { Service } from "./service.ts";

/** A task that runs beside the listeners for as long as the server does. */
export interface BackgroundTask {
  /**
   * Runs until it has nothing left to do, or until `shutdown` aborts. May resolve early. Rejecting is logged; the server
   * goes on without the task.
   * @param ready To be called once what depends on this task can start; a task that ends counts as ready.
   */
  run(shutdown: AbortSignal, ready: () => void): Promise<void>;
}

/**
 * Wraps `task` as a service named `BG name`.
 * @throws TypeError for a name that is no text, and a task that is none.
 */
export function backgroundService(name: string, task: BackgroundTask): Service {
  if (typeof name !== "string") throw new TypeError(`backgroundService: name: expected a string, got ${shown(name)}`);
  if (typeof task?.run !== "function") {
    throw new TypeError(`backgroundService: task: expected an object with run(), got ${shown(task)}`);
  }
  return new RunningTask(`BG ${name}`, task);
}

class RunningTask implements Service {
  readonly name: string;
  readonly #task: BackgroundTask;
  readonly #shutdown = new AbortController();
  #ended: Promise<void> = Promise.resolve();

  constructor(name: string, task: BackgroundTask) {
    this.name = name;
    this.#task = task;
  }

  start(): Promise<void> {
    return new Promise((ready) => {
      this.#ended = this.#run(ready)
        .catch((error: unknown) => {
          if (!this.#shutdown.signal.aborted)
            logger("core").error({ err: error, service: this.name }, "service failed");
        })
        .finally(ready);
    });
  }

  // A task that throws at once is one that rejects.
  async #run(ready: () => void): Promise<void> {
    await this.#task.run(this.#shutdown.signal, ready);
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#shutdown.abort();
    await Promise.race([this.#ended, aborted(force)]);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
