import type { RequestListener } from "node:http";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createOrigin } from "../../../../test/matrix/create-origin.ts";
import { PLAIN, type Leg } from "../../../../test/matrix/legs.ts";
import { acceptWires } from "./leg-wires.ts";
import { Wire } from "./wire.ts";

/** A connection that the origin accepted. */
export class OriginConnection extends Wire {
  /** The how-many-th connection it is, from 0. */
  index = 0;
}

/** What an origin does with a connection; when it throws because the proxy left, that is no failure. */
export type OriginScript = (connection: OriginConnection) => Promise<unknown>;

/** An origin that answers byte by byte what its script says, and counts. */
export class Origin implements AsyncDisposable {
  readonly address: string;
  /** All connections that were ever accepted. */
  readonly connections: OriginConnection[] = [];
  /** What scripts threw. */
  readonly failures: unknown[] = [];
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #onConnection: () => void = () => undefined;

  private constructor(server: Server, script: OriginScript, leg: Leg) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      this.#sockets.push(socket);
      acceptWires(leg, socket, (wire) => {
        const connection = new OriginConnection(wire);
        connection.index = this.connections.length;
        connection.spellsNames = leg.downstream === 2;
        this.connections.push(connection);
        this.#onConnection();
        script(connection).catch((error: unknown) => this.failures.push(error));
      });
    });
  }

  /** @param leg What it speaks; to the script it is always HTTP/1.1, one exchange at a time. */
  static async start(script: OriginScript, leg: Leg = PLAIN): Promise<Origin> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Origin(server, script, leg);
  }

  /** The connection of that index, once it is there. */
  async connection(index = 0): Promise<OriginConnection> {
    while (this.connections.length <= index) await new Promise<void>((resolve) => (this.#onConnection = resolve));
    return this.connections[index]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** An origin that answers every request, on any connection, with the same bytes. */
export function answering(...parts: (string | Uint8Array)[]): Promise<Origin> {
  return answeringOn(PLAIN, ...parts);
}

/** The same, in the version of a leg. */
export function answeringOn(leg: Leg, ...parts: (string | Uint8Array)[]): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      connection.send(...parts);
    }
  }, leg);
}

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** An origin by Node's own server. */
export async function nodeOrigin(
  listener: RequestListener,
  leg: Leg = PLAIN,
): Promise<AsyncDisposable & { address: string }> {
  const sockets = new Set<Socket>();
  const server = createOrigin(leg, listener as Parameters<typeof createOrigin>[1]);
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** An address at which nothing listens: of a port that the system gives to nobody, as it could one that a test has let go of. */
export function refusedAddress(): Promise<string> {
  return Promise.resolve("127.0.0.1:1");
}
