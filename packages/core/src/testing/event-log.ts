import { observe, type EventChannel } from "../diagnostics.ts";

/** A message, and the channel that it came on. */
export interface LoggedEvent {
  readonly channel: string;
  readonly message: Readonly<Record<string, unknown>>;
}

/** What was published on some channels, in order, until it is disposed of. */
export class EventLog implements Disposable {
  readonly events: LoggedEvent[] = [];
  readonly #stop: (() => void)[];
  #waiting: (() => void)[] = [];

  constructor(...channels: EventChannel<never>[]) {
    this.#stop = channels.map((channel) =>
      observe(channel, (message: unknown) => {
        this.events.push({ channel: channel.name, message: message as LoggedEvent["message"] });
        for (const look of this.#waiting.splice(0)) look();
      }),
    );
  }

  /** The last parts of the names, in order: `accepted`, `closed`. */
  get names(): string[] {
    return this.events.map(({ channel }) => channel.slice(channel.lastIndexOf(":") + 1));
  }

  /** What came on the channel whose name ends so. */
  messages(name: string): LoggedEvent["message"][] {
    return this.events.filter(({ channel }) => channel.endsWith(`:${name}`)).map(({ message }) => message);
  }

  /** The `count`-th message of that channel, from 1, once it is there. */
  async next(name: string, count = 1): Promise<LoggedEvent["message"]> {
    while (this.messages(name).length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.messages(name)[count - 1]!;
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stop) stop();
  }
}
