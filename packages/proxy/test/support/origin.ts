import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
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
  #onConnection: () => void = () => undefined;

  private constructor(server: Server, script: OriginScript) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      const connection = new OriginConnection(socket);
      connection.index = this.connections.length;
      this.connections.push(connection);
      this.#onConnection();
      script(connection).catch((error: unknown) => this.failures.push(error));
    });
  }

  static async start(script: OriginScript): Promise<Origin> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Origin(server, script);
  }

  /** The connection of that index, once it is there. */
  async connection(index = 0): Promise<OriginConnection> {
    while (this.connections.length <= index) await new Promise<void>((resolve) => (this.#onConnection = resolve));
    return this.connections[index]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.connections) connection.close();
    await closed;
  }
}

/** An origin that answers every request, on any connection, with the same bytes. */
export function answering(...parts: (string | Uint8Array)[]): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      await connection.message();
      connection.send(...parts);
    }
  });
}

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** An origin by Node's own HTTP server. */
export async function nodeOrigin(listener: RequestListener): Promise<AsyncDisposable & { address: string }> {
  const server = createHttpServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An address at which nothing listens. */
export async function refusedAddress(): Promise<string> {
  const origin = await Origin.start(async () => undefined);
  await origin[Symbol.asyncDispose]();
  return origin.address;
}
