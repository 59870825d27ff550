import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";

/** A server that accepts and says nothing, until it is disposed of. `address` is taken again by `start`. */
export class TcpServer implements AsyncDisposable {
  address = "";
  accepted = 0;
  #port = 0;
  #server: Server | undefined;

  static async listen(): Promise<TcpServer> {
    const server = new TcpServer();
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    this.#server = createServer((socket) => {
      this.accepted += 1;
      socket.on("error", () => undefined).resume();
    });
    await once(this.#server.listen(this.#port, "127.0.0.1"), "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
    this.address = `127.0.0.1:${this.#port}`;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** An address where nothing listens. */
export async function closedAddress(): Promise<string> {
  await using server = await TcpServer.listen();
  return server.address;
}
