import type { ClientOptions } from "../client.ts";
import type { Exchange } from "../workload.ts";
import { openHttp1 } from "./http1-connection.ts";
import { openHttp2 } from "./http2-connection.ts";

/** Which connections to open, and what goes over each before it is left alone. */
export interface Clients {
  /** How the proxy is reached. */
  readonly client: ClientOptions;
  readonly connections: number;
  /** How many of them are under way at a time. */
  readonly atOnce: number;
  readonly requestsEach: number;
  /** A GET. */
  readonly exchange: Exchange;
  readonly signal: AbortSignal;
}

/** A connection that was used and is open. */
export interface HeldConnection {
  /** Whether the other side has closed it. */
  closed(): boolean;
  destroy(): void;
}

/** Open connections without a request. All are destroyed when this is disposed of. */
export interface HeldConnections extends Disposable {
  /** How many of them the other side has closed. */
  closed(): number;
}

/** Opens connections. Throws, with none left open, when an answer is wrong, or does not come within 5 s. */
export async function holdConnections(clients: Clients): Promise<HeldConnections> {
  const { client, connections, atOnce, signal } = clients;
  const open = client.wire.client === "h2" ? openHttp2 : openHttp1;
  const all: HeldConnection[] = [];
  const held: HeldConnections = {
    closed: () => all.filter((connection) => connection.closed()).length,
    [Symbol.dispose]: () => all.forEach((connection) => connection.destroy()),
  };
  let next = 0;
  const openSome = async (): Promise<void> => {
    try {
      while (next++ < connections) {
        signal.throwIfAborted();
        all.push(await open(clients));
      }
    } catch (error) {
      next = connections; // the others stop, too
      throw error;
    }
  };
  const opened = await Promise.allSettled(Array.from({ length: atOnce }, openSome));
  const failed = opened.find((result) => result.status === "rejected");
  if (failed === undefined) return held;
  held[Symbol.dispose]();
  throw failed.reason;
}
