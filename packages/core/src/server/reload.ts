import { eventChannel, type EventChannel } from "../diagnostics.ts";
import { logger } from "../log/logger.ts";

const log = logger("core");

/** What a server does when it is told to reload, by SIGHUP or {@link Server.reload}. */
export interface ReloadHook<Value> {
  /** Shown in logs. */
  readonly name: string;
  /**
   * Reads and checks what is new; changes nothing. Called once per server, in the process that is signalled. Rejecting refuses the
   * reload: the server goes on with what it has. The value must be one that `structuredClone` takes.
   */
  load(): Value | Promise<Value>;
  /**
   * Makes it count from now on, for whatever comes next; what is in flight ends as it began. Called in each process that serves,
   * in a worker that starts later before its services do, and in the one that was signalled.
   */
  apply(value: Value): void | Promise<void>;
}

/** A reload is over. */
export interface ReloadMessage {
  readonly outcome: "applied" | "refused";
  /** What {@link ReloadHook.load} or {@link ReloadHook.apply} rejected with, or that nothing can be reloaded. */
  readonly error: unknown;
}

/** A reload has begun. */
export interface ReloadStartMessage {
  /** Milliseconds since the process was started. */
  readonly atMs: number;
}

/** Reloads of the server of this process; {@link reloadChannel} tells how each of them ends. */
export const reloadStartChannel: EventChannel<ReloadStartMessage> = eventChannel("sluice:server:reload-start");

/** How reloads of the server of this process end. */
export const reloadChannel: EventChannel<ReloadMessage> = eventChannel("sluice:server:reload");

/** The reloads of a server. Its hooks have an order; each value belongs to the hook of the same index. */
export class Reloads {
  readonly #hooks: ReloadHook<unknown>[] = [];
  readonly #spread: (values: readonly unknown[]) => Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();
  /** Has not begun yet. */
  #next: Promise<void> | undefined = undefined;

  /** @param spread Has other processes apply the values as well. */
  constructor(spread: (values: readonly unknown[]) => Promise<void> | undefined) {
    this.#spread = spread;
  }

  add<Value>(hook: ReloadHook<Value>): void {
    this.#hooks.push(hook);
  }

  /**
   * Loads, and applies in all processes. One at a time: all that are asked for while one is under way are one. Rejects when it was
   * refused.
   */
  reload(): Promise<void> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      const reload = this.#reload();
      this.#current = reload.catch(() => undefined);
      return reload;
    });
    return this.#next;
  }

  /** Only here. Rejects with the first error; those before it count. */
  async apply(values: readonly unknown[]): Promise<void> {
    for (const [index, hook] of this.#hooks.entries()) await hook.apply(values[index]);
  }

  async #reload(): Promise<void> {
    const onEnd = tellStart();
    if (this.#hooks.length === 0) {
      log.warn({}, "told to reload, but nothing here can be");
      onEnd("refused", new Error("nothing here can be reloaded"));
      return;
    }
    try {
      const values = await Promise.all(this.#hooks.map(async (hook) => hook.load()));
      await this.apply(values);
      await this.#spread(values);
    } catch (error) {
      log.error({ err: error }, "could not reload; goes on with what there is");
      onEnd("refused", error);
      throw error;
    }
    log.info({}, "reloaded");
    onEnd("applied", undefined);
  }
}

/** Tells that a reload has begun; returns how to tell its end. */
function tellStart(): (outcome: ReloadMessage["outcome"], error: unknown) => void {
  if (reloadStartChannel.hasSubscribers) reloadStartChannel.publish({ atMs: performance.now() });
  return (outcome, error) => {
    if (reloadChannel.hasSubscribers) reloadChannel.publish({ outcome, error });
  };
}
