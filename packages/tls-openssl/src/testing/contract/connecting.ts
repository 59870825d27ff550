import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import {
  connectSocket,
  HttpPeer,
  SocketAddress,
  type PeerOptions,
  type SecuredStream,
  type TlsConnectOptions,
  type TlsProvider,
} from "@sluice/core";

/** An origin that speaks TLS by `node:tls`, and sends back what comes. */
export interface Origin extends AsyncDisposable {
  readonly address: string;
  /** The connections whose handshakes are done. */
  readonly connections: TLSSocket[];
}

/** @param serve Gets each connection. Default: sends back what comes. */
export async function tlsOrigin(
  options: TlsOptions,
  serve: (socket: TLSSocket) => void = (socket) => void socket.pipe(socket),
): Promise<Origin> {
  const connections: TLSSocket[] = [];
  const server = createServer({ allowHalfOpen: true, ...options } as TlsOptions, (socket) => {
    connections.push(socket);
    socket.on("error", () => undefined);
    serve(socket);
  });
  return listening(server, connections);
}

/** An origin that does not speak TLS. */
export async function plainOrigin(serve: (socket: Socket) => void): Promise<Origin> {
  return listening(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      serve(socket);
    }),
    [],
  );
}

async function listening(
  server: ReturnType<typeof createTcpServer> | ReturnType<typeof createServer>,
  connections: TLSSocket[],
): Promise<Origin> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Connects to an origin by the provider under test. */
export async function connecting(
  provider: TlsProvider,
  address: string,
  options: PeerOptions,
  how: TlsConnectOptions = {},
): Promise<SecuredStream & Disposable> {
  const socket = await connectSocket(SocketAddress.parse(address));
  const { stream, digest } = await provider.connect(socket, new HttpPeer(address, { tls: true, ...options }), how);
  stream.on("error", () => undefined);
  return { stream, digest, [Symbol.dispose]: () => void stream.destroy() };
}
