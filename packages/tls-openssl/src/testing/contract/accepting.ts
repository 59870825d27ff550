import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import {
  SocketReader,
  type ByteStream,
  type SecuredStream,
  type TlsAcceptor,
  type TlsListenSettings,
  type TlsProvider,
} from "@sluice/core";
import type { ProxyError } from "@sluice/error";

export interface ClientSocket extends TLSSocket {
  /** The OCSP response that came in the handshake. */
  stapled?: Buffer;
  /** The session that came last: within the handshake, or behind it. */
  kept?: Buffer;
}

/** A port on which the provider under test accepts. */
export interface Accepting extends AsyncDisposable {
  readonly port: number;
  readonly acceptor: TlsAcceptor;
  /** The next handshake that is done. */
  secured(): Promise<SecuredStream>;
  /** The next handshake that has failed. */
  failed(): Promise<ProxyError>;
  /** A client by `node:tls`, connected. Rejects with what it says of a handshake that failed. */
  client(options?: ConnectionOptions): Promise<ClientSocket>;
  /** A client that does not speak TLS. */
  plainClient(): Promise<Socket>;
}

/** How the streams of a provider are read: through their reader if they have one, as core does it. */
export function readStream(stream: ByteStream, onChunk: (chunk: Buffer) => void): void {
  const reader = SocketReader.of(stream);
  if (reader === undefined) stream.on("data", onChunk);
  else reader.start({ onData: (buffer, end) => onChunk(Buffer.from(buffer.subarray(0, end))) });
  stream.resume();
}

/** Sends back what comes, and ends when the other side does. */
function echo({ stream }: SecuredStream): void {
  stream.on("error", () => undefined);
  stream.on("end", () => void stream.end());
  readStream(stream, (chunk) => void stream.write(chunk));
}

/** @param serve Gets each connection whose handshake is done. */
export async function accepting(
  provider: TlsProvider,
  settings: TlsListenSettings,
  serve: (connection: SecuredStream) => void = echo,
  signal?: AbortSignal,
): Promise<Accepting> {
  const acceptor = await provider.listen(settings);
  const secured = new Outcomes<SecuredStream>();
  const failed = new Outcomes<ProxyError>();
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    acceptor.accept(socket, signal).then(
      (connection) => {
        serve(connection);
        connection.stream.on("error", () => undefined);
        secured.put(connection);
      },
      (error: ProxyError) => failed.put(error),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const follow = <S extends Socket>(socket: S): S => {
    sockets.add(socket);
    return socket;
  };
  return {
    port,
    acceptor,
    secured: () => secured.take(),
    failed: () => failed.take(),
    async client(options = {}) {
      const socket: ClientSocket = follow(connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options }));
      socket.on("session", (session) => (socket.kept = session));
      socket.on("OCSPResponse", (response) => response !== null && (socket.stapled = response));
      await once(socket, "secureConnect");
      socket.on("error", () => undefined);
      return socket;
    },
    async plainClient() {
      const socket = follow(connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true }));
      await once(socket, "connect");
      socket.on("error", () => undefined);
      return socket;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      acceptor.close();
      // What is open on our side ends with the clients.
      for (const socket of sockets) if (!socket.closed) await once(socket, "close");
    },
  };
}

/** What came, for those who wait for it. */
class Outcomes<T> {
  readonly #came: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  put(value: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#came.push(value);
    else waiting(value);
  }

  take(): Promise<T> {
    if (this.#came.length > 0) return Promise.resolve(this.#came.shift()!);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** What a stream gives until it ends or breaks. */
export function readToEnd(stream: ByteStream): Promise<{ bytes: Buffer; error: Error | undefined }> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    const done = (error: Error | undefined): void => resolve({ bytes: Buffer.concat(chunks), error });
    stream.on("end", () => done(undefined));
    stream.on("error", done);
    stream.on("close", () => done(new Error("closed without an end")));
    readStream(stream, (chunk) => chunks.push(chunk));
  });
}
