import { setTimeout as sleep } from "node:timers/promises";
import { KeepAliveClient, type Call, type Outcome } from "./client.ts";

/** How a load is made. */
export interface LoadOptions {
  readonly port: number;
  readonly clients: number;
  /** What a client asks next. */
  readonly next: (client: number) => Call;
  /** Milliseconds that a client waits between its requests, at most. Default 0. */
  readonly thinkMs?: number;
  /** The connection is used once. Default false. */
  readonly once?: boolean;
  /** Over TLS. Default false. */
  readonly secure?: boolean;
}

/** Clients that make one request after the other, each on its own connection, until they are stopped or refused. */
export class Load {
  readonly outcomes: Outcome[] = [];
  readonly clients: readonly KeepAliveClient[];
  /** All clients have ended. */
  readonly done: Promise<void>;
  readonly #options: LoadOptions;
  #stopping = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.clients = Array.from({ length: options.clients }, () => new KeepAliveClient(options.port, options.secure));
    this.done = Promise.all(this.clients.map((client, index) => this.#run(client, index))).then(() => undefined);
  }

  /** Lets requests under way end; makes no new ones. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.done;
  }

  /** How many outcomes there are of each kind. */
  get summary(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { method, end, status, code } of this.outcomes) {
      const kind = `${method} ${end === "complete" ? status : `${end} ${code ?? ""}`}`.trim();
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  async #run(client: KeepAliveClient, index: number): Promise<void> {
    const { next, thinkMs = 0, once = false } = this.#options;
    while (!this.#stopping) {
      const outcome = await client.send(next(index));
      this.outcomes.push(outcome);
      if (outcome.end === "refused") break;
      if (once) client.close();
      if (thinkMs > 0) await sleep(Math.random() * thinkMs);
    }
    client.close();
  }
}
