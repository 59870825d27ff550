import { isBusMessage, type BusMessage } from "../bus/bus-message.ts";
import type { ServerBus } from "../bus/server-bus.ts";
import { tellParent } from "../server/tell-parent.ts";
import { beatEvery, stopBeating } from "./heartbeat.ts";
import type { PrimaryMessage, WorkerMessage } from "./worker-messages.ts";

/** What a worker does when it is told something. */
export interface WorkerActions {
  stop(graceMs: number): void;
  reopenLogs(): void;
  /** Rejects when the values cannot be applied. */
  reload(values: readonly unknown[]): Promise<void>;
  /** The process that has started it is gone. */
  orphaned(): void;
}

type Welcome = Extract<PrimaryMessage, { kind: "welcome" }>;

/** A worker's way to the process that has started it. */
export class PrimaryLink {
  readonly #bus: ServerBus;
  readonly #actions: WorkerActions;
  readonly #welcome = Promise.withResolvers<Welcome>();

  constructor(bus: ServerBus, actions: WorkerActions) {
    this.#bus = bus;
    this.#actions = actions;
    process.on("message", this.#onMessage).once("disconnect", this.#onDisconnect);
  }

  /** Resolves with what was before this process. From then on the bus goes to the others, and it is seen that this one lives. */
  async connect(): Promise<Welcome> {
    void this.tell({ kind: "hello" });
    const welcome = await this.#welcome.promise;
    beatEvery(welcome.heartbeatMs);
    return welcome;
  }

  /** Resolves when the other side has it, or cannot have it any more. */
  tell(message: Exclude<WorkerMessage, BusMessage>): Promise<void> {
    return tellParent(message);
  }

  /** Of the bus. */
  send(message: BusMessage): void {
    void tellParent(message);
  }

  close(): void {
    stopBeating();
    process.off("message", this.#onMessage).off("disconnect", this.#onDisconnect);
    if (process.connected) process.disconnect?.();
  }

  readonly #onMessage = (given: unknown): void => {
    const message = given as PrimaryMessage;
    if (isBusMessage(message)) {
      this.#bus.receive(message, this);
      return;
    }
    switch (message.kind) {
      case "welcome":
        this.#bus.restore(message.retained);
        this.#bus.connect(this);
        this.#welcome.resolve(message);
        break;
      case "stop":
        this.#actions.stop(message.graceMs);
        break;
      case "reopen-logs":
        this.#actions.reopenLogs();
        break;
      case "reload":
      default:
        this.#reload(message.values);
    }
  };

  readonly #onDisconnect = (): void => this.#actions.orphaned();

  #reload(values: readonly unknown[]): void {
    this.#actions.reload(values).then(
      () => this.tell({ kind: "reloaded", error: undefined }),
      (error: unknown) => this.tell({ kind: "reloaded", error: String(error) }),
    );
  }
}
