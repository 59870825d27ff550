import { once } from "node:events";
import { connect as connectHttp2, performServerHandshake } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import {
  connect as connectTls,
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from "node:tls";
import { CERTIFICATE, TRUSTED, type Leg } from "../../../../test/matrix/legs.ts";
import { Http2ClientEnd } from "./http2-client-end.ts";
import { acceptStreams } from "./http2-origin-end.ts";
import { Wire, type WireSocket } from "./wire.ts";

/** A connection to a proxy, and what to speak the leg's version on: the same, or TLS. */
export async function connectSocket(
  { downstream, tls }: Leg,
  port: number,
): Promise<{ readonly socket: Socket; readonly secured: Socket }> {
  // HTTP/2 has no half-open connections: nobody would close one whose other end did.
  const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: downstream === 1, noDelay: true });
  await once(socket, "connect");
  const secured = tls ? byTls(socket, downstream) : socket;
  if (tls) await once(secured, "secureConnect");
  return { socket, secured };
}

/** A connection to a proxy that a test takes for one of HTTP/1.1, whatever the leg's version. */
export async function connectWire(leg: Leg, port: number): Promise<Wire> {
  const { downstream, tls } = leg;
  const { socket, secured } = await connectSocket(leg, port);
  if (downstream === 1) return new Wire(secured);
  const scheme = tls ? "https" : "http";
  const session = connectHttp2(`${scheme}://127.0.0.1:${port}`, {
    createConnection: () => secured,
    maxSessionMemory: 1000,
  });
  await once(session, "remoteSettings");
  return new Wire(new Http2ClientEnd({ session, secured, socket }, scheme));
}

function byTls(socket: Socket, version: 1 | 2): Socket {
  return resettable(
    connectTls({ socket, ca: TRUSTED, servername: "localhost", ALPNProtocols: [alpn(version)] }),
    socket,
  );
}

/** Gives the same for what an origin accepted: one, or with HTTP/2 as many as are busy at a time. */
export function acceptWires({ upstream, tls }: Leg, socket: Socket, accepted: (wire: WireSocket) => void): void {
  socket.on("error", () => undefined);
  if (tls) secureAccepted(upstream, socket, (secured) => begin(resettable(secured, socket)));
  else begin(socket);

  function begin(secured: Socket): void {
    if (upstream === 1) accepted(secured);
    else {
      // Beyond 10 MB for a connection Node refuses streams.
      const session = performServerHandshake(secured, { maxSessionMemory: 1000 });
      acceptStreams({ session, secured, socket }, accepted);
    }
  }
}

/** Servers of TLS that listen nowhere: what was accepted is handed to them. */
const tlsServers = new Map<1 | 2, TlsServer>();

/** Gives TLS on what an origin accepted, when its handshake is done. */
export function secureAccepted(version: 1 | 2, socket: Socket, secured: (socket: TLSSocket) => void): void {
  let server = tlsServers.get(version);
  if (server === undefined) {
    server = createTlsServer({ ...CERTIFICATE, ALPNProtocols: [alpn(version)], allowHalfOpen: true });
    // As many as there are connections.
    server.setMaxListeners(0);
    tlsServers.set(version, server);
  }
  const { remotePort } = socket;
  const mine = (own: TLSSocket): void => {
    if (own.remotePort !== remotePort) return;
    own.on("error", () => undefined);
    secured(own);
  };
  server.on("secureConnection", mine);
  // Also when its handshake failed.
  socket.once("close", () => server.off("secureConnection", mine));
  server.emit("connection", socket);
}

/** What TLS cannot do: it resets the connection below. */
function resettable(secured: TLSSocket, socket: Socket): TLSSocket {
  return Object.assign(secured, { resetAndDestroy: () => (socket.resetAndDestroy(), secured) });
}

function alpn(version: 1 | 2): string {
  return version === 2 ? "h2" : "http/1.1";
}
