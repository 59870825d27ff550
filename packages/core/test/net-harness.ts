import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";

/** A TCP server that hands its sockets to a test, closed with all of them at the end of the scope. */
export interface TestServer extends AsyncDisposable {
  readonly address: string;
  /** Every socket accepted so far. */
  readonly sockets: Socket[];
  /** The socket that is accepted next, or was accepted and not yet asked for. */
  accepted(): Promise<Socket>;
}

export async function tcpServer(
  onSocket: (socket: Socket) => void = () => undefined,
  host = "127.0.0.1",
): Promise<TestServer> {
  const sockets: Socket[] = [];
  const unclaimed: Socket[] = [];
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    onSocket(socket);
    const claim = waiting.shift();
    if (claim === undefined) unclaimed.push(socket);
    else claim(socket);
  });
  server.listen(0, host);
  await once(server, "listening");
  const { address, port, family } = server.address() as AddressInfo;
  return {
    address: family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`,
    sockets,
    accepted: async () => unclaimed.shift() ?? (await new Promise((resolve) => waiting.push(resolve))),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A client that reads as text. */
export interface TestClient extends Disposable {
  readonly socket: Socket;
  readonly text: () => string;
  /** Resolves when the text so far satisfies `enough`; rejects when the connection ends before. */
  until(enough: (text: string) => boolean): Promise<string>;
  /** Resolves when the other side has ended its direction. */
  readonly ended: Promise<void>;
}

export async function tcpClient(address: string): Promise<TestClient> {
  const at = address.lastIndexOf(":");
  const socket = address.startsWith("unix:")
    ? connect({ path: address.slice(5), allowHalfOpen: true })
    : connect({
        host: address.slice(0, at).replace(/^\[|\]$/g, ""),
        port: Number(address.slice(at + 1)),
        allowHalfOpen: true,
      });
  socket.setEncoding("latin1");
  socket.on("error", () => undefined);
  let text = "";
  const checks = new Set<() => void>();
  const check = (): void => {
    for (const each of checks) each();
  };
  socket.on("data", (chunk: string) => {
    text += chunk;
    check();
  });
  let over = false;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      over = true;
      resolve();
      check();
    };
    socket.once("end", end).once("close", end);
  });
  await once(socket, "connect");
  return {
    socket,
    text: () => text,
    ended,
    until: (enough) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (enough(text)) resolve(text);
          else if (over) reject(new Error(`the connection ended; got ${JSON.stringify(text)}`));
          else return;
          checks.delete(look);
        };
        checks.add(look);
        look();
      }),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Resolves when nothing listens there any more: a service that stops first accepts those who wait. */
export async function untilRefused(address: string): Promise<void> {
  for (;;) {
    try {
      using client = await tcpClient(address);
      await client.ended;
    } catch {
      return;
    }
  }
}
