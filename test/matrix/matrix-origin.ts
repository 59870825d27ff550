import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { HttpPeer, type PeerOptions } from "../../packages/proxy/src/index.ts";
import { createOrigin } from "./create-origin.ts";
import { peerOptions, type Leg } from "./legs.ts";

/** What a request looked like to the origin. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly fields: Record<string, string | string[] | undefined>;
  readonly version: string;
}

/** One request, the same whatever the version. */
export class Visit {
  readonly seen: Seen;
  readonly #request: IncomingMessage | Http2ServerRequest;
  readonly #response: ServerResponse | Http2ServerResponse;
  /** Resolves when the client of the origin has given the request up. */
  readonly aborted: Promise<void>;

  constructor(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) {
    this.#request = request;
    this.#response = response;
    const { method = "", url = "", headers, httpVersion } = request;
    const host = "authority" in request ? request.authority : headers.host;
    this.seen = { method, url, fields: { ...headers, host }, version: httpVersion };
    this.aborted = new Promise((resolve) => {
      request.on("aborted", resolve);
      response.on("close", () => !response.writableEnded && resolve());
    });
    request.on("error", () => undefined);
    response.on("error", () => undefined);
  }

  async body(): Promise<{ body: Buffer; trailers: Record<string, string | undefined> }> {
    const pieces: Buffer[] = [];
    // By events: a request of HTTP/2 that was paused is not read by iteration.
    this.#request.on("data", (piece: Buffer) => pieces.push(piece));
    this.#request.resume();
    await once(this.#request, "end");
    return { body: Buffer.concat(pieces), trailers: this.#request.trailers as Record<string, string | undefined> };
  }

  /** Reads nothing of the body until it is asked to. */
  get request(): IncomingMessage | Http2ServerRequest {
    return this.#request;
  }

  get response(): ServerResponse {
    return this.#response as ServerResponse;
  }

  answer(status: number, fields: Record<string, string | string[]> = {}, body: string | Buffer = ""): void {
    this.response.writeHead(status, { "content-length": String(Buffer.byteLength(body)), ...fields });
    this.response.end(body);
  }

  /** Ends the answer in the middle. */
  cut(): void {
    if ("stream" in this.#response) (this.#response.stream as { close(code: number): void }).close(2);
    else if ("encrypted" in this.#response.socket!) this.#response.socket.destroy();
    else this.#response.socket!.resetAndDestroy();
  }
}

export interface MatrixOrigin extends AsyncDisposable {
  readonly peer: HttpPeer;
  /** The same, treated otherwise. */
  peerWith(options: PeerOptions): HttpPeer;
  /** Connections that it has accepted. */
  readonly connections: number;
  /** Closes all, as an origin does that stops or forgets its idle ones. */
  closeConnections(): void;
}

/** An origin of the leg's version. */
export async function matrixOrigin(leg: Leg, visited: (visit: Visit) => unknown): Promise<MatrixOrigin> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const onRequest = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): void => {
    Promise.resolve(visited(new Visit(request, response))).catch((error: unknown) => {
      // Reading a body that the client gave up fails; everything else is a fault of the test.
      if (!request.aborted && !request.destroyed) throw error;
    });
  };
  const server = createOrigin(leg, onRequest);
  server.on("connection", (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  // Continue is said by who answers.
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue();
    onRequest(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = peerOptions(leg);
  const closeConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    peer: new HttpPeer(address, options),
    peerWith: (more) => new HttpPeer(address, { ...options, ...more }),
    get connections() {
      return connections;
    },
    closeConnections,
    async [Symbol.asyncDispose]() {
      closeConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
