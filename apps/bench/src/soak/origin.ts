import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** The origin of the soak, which does not always behave. */
export interface SoakOrigin extends AsyncDisposable {
  readonly port: number;
}

const LARGE = Buffer.alloc(512 * 1024, "x");
/** Between the pieces of `/slow`. */
const PAUSE_MS = 20;

/** `/small`, `/large`, `/chunked` (with a trailer), `/slow`, `/echo`, `/early` (413, unread), `/die` (half a body), `/hang-up`. */
export async function startSoakOrigin(): Promise<SoakOrigin> {
  const server = createServer({ keepAliveTimeout: 60_000 }, answer);
  server.on("upgrade", (_request, socket: Socket) => {
    socket.on("error", () => undefined);
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  response.on("error", () => undefined);
  request.on("error", () => undefined);
  switch (request.url) {
    case "/large":
      response.setHeader("content-length", LARGE.length).end(LARGE);
      break;
    case "/chunked":
      response.setHeader("trailer", "x-sum");
      response.write("one, ");
      response.write("two");
      response.addTrailers({ "x-sum": "2" });
      response.end();
      break;
    case "/slow":
      dribble(response, 10);
      break;
    case "/echo":
      request.pipe(response);
      break;
    case "/early":
      response.writeHead(413, { connection: "close" }).end("too much");
      break;
    case "/die":
      response.writeHead(200, { "content-length": 1000 }).write("half", () => response.destroy());
      break;
    case "/hang-up":
      request.socket.resetAndDestroy();
      break;
    default:
      request.resume();
      response.end("small");
  }
}

function dribble(response: ServerResponse, left: number): void {
  if (left === 0 || response.destroyed) response.end();
  else {
    response.write("drop ");
    setTimeout(dribble, PAUSE_MS, response, left - 1);
  }
}
