import { once } from "node:events";
import { createSecureServer, createServer as createH2cServer, type Http2ServerRequest } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { IncomingMessage } from "node:http";
import type { AddressInfo, Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { MadeCertificate } from "@sluice/tls-openssl/testing";

export interface TlsOriginOptions {
  /** Without it there is no TLS: HTTP/2 by prior knowledge. */
  readonly certificate?: MadeCertificate;
  /** The versions of HTTP that it can speak. Default 1.1 alone. */
  readonly http2?: boolean;
  /** It lets in only who has a certificate from there. */
  readonly clientCa?: string;
}

/** A server that answers with what it was asked by: `{ version, name, client }`. */
export interface TlsOrigin extends AsyncDisposable {
  readonly address: string;
}

export async function startTlsOrigin({ certificate, http2 = false, clientCa }: TlsOriginOptions): Promise<TlsOrigin> {
  const asked = clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  const options = { ...certificate, ...asked };
  const server: Server =
    certificate === undefined
      ? createH2cServer(answer)
      : http2
        ? createSecureServer({ ...options, allowHTTP1: true }, answer)
        : createHttpsServer(options, answer);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

interface Answering {
  end(text: string): unknown;
}

function answer(request: IncomingMessage | Http2ServerRequest, response: Answering): void {
  const socket = ("stream" in request ? request.stream.session?.socket : request.socket) as TLSSocket;
  const name = (socket as { servername?: string | false }).servername;
  const client = (socket.getPeerCertificate?.() as { subject?: { CN?: string } } | undefined)?.subject?.CN;
  response.end(JSON.stringify({ version: request.httpVersion, name, client }));
}
