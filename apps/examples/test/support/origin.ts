import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Nothing listens there: ports below 1024 are given to nobody by chance. */
export const NOBODY = "127.0.0.1:1";

/** An upstream on a port of the system's choice, closed at the end of the scope. */
export class Origin implements AsyncDisposable {
  readonly address: string;
  /** Requests so far. */
  requests = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    const { address, port } = server.address() as AddressInfo;
    this.address = `${address}:${port}`;
    server.on("request", () => this.requests++);
  }

  /** @param answer How it answers; a text answers every request. */
  static async start(answer: RequestListener | string, host = "127.0.0.1", port = 0): Promise<Origin> {
    const server = createServer(typeof answer === "string" ? (_request, response) => response.end(answer) : answer);
    server.listen(port, host);
    await once(server, "listening");
    return new Origin(server);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close().closeAllConnections();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
