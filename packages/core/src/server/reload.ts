import { eventChannel, type EventChannel } from "../diagnostics.ts";

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

/** Tells that a reload has begun; returns how to tell its end. */
export function reloadTold(): (outcome: ReloadMessage["outcome"], error: unknown) => void {
  if (reloadStartChannel.hasSubscribers) reloadStartChannel.publish({ atMs: performance.now() });
  return (outcome, error) => {
    if (reloadChannel.hasSubscribers) reloadChannel.publish({ outcome, error });
  };
}

/** The hooks of a server, in order; each value belongs to the hook of the same index. */
export class ReloadHooks {
  readonly #hooks: ReloadHook<unknown>[] = [];

  add<Value>(hook: ReloadHook<Value>): void {
    this.#hooks.push(hook);
  }

  get count(): number {
    return this.#hooks.length;
  }

  /** Rejects with the first error; then nothing has changed. */
  load(): Promise<unknown[]> {
    return Promise.all(this.#hooks.map(async (hook) => hook.load()));
  }

  /** Rejects with the first error; those before it count. */
  async apply(values: readonly unknown[]): Promise<void> {
    for (const [index, hook] of this.#hooks.entries()) await hook.apply(values[index]);
  }
}
