import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";

/** How a client speaks TLS. */
export interface TlsClient {
  /** The name that it asks for. */
  readonly name: string;
  /** Whom it trusts. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly session?: Buffer;
  /** Default `http/1.1`. */
  readonly alpn?: "h2" | "http/1.1";
}

export interface TlsAnswer {
  readonly status: number;
  readonly body: string;
  /** The protocol that was agreed on by ALPN. */
  readonly alpn: string | false | null;
  /** The names in the certificate that was shown; `undefined` in a session that was resumed. */
  readonly names: string | undefined;
  readonly resumed: boolean;
  /** What resumes this one; `undefined` by HTTP/2, where nobody waits for it. */
  readonly session: Buffer | undefined;
}

/** One `GET` on a connection of its own. Rejects when the handshake fails. */
export async function tlsCall(address: string, path: string, client: TlsClient): Promise<TlsAnswer> {
  const { name, alpn = "http/1.1", ...rest } = client;
  const [host = "", port = ""] = address.split(":");
  const socket = connectTls({
    host,
    port: Number(port),
    servername: name,
    ALPNProtocols: [alpn],
    ...rest,
  } as ConnectionOptions);
  try {
    await once(socket, "secureConnect");
    return await (alpn === "h2" ? byHttp2(socket, path, name) : byHttp1(socket, path, name));
  } finally {
    socket.destroy();
  }
}

async function byHttp1(socket: TLSSocket, path: string, name: string): Promise<TlsAnswer> {
  // A ticket comes behind the handshake, and ahead of the answer.
  let session: Buffer | undefined;
  const about = described(socket);
  socket.on("session", (ticket) => (session = ticket));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
  const text = Buffer.concat((await socket.toArray()) as Buffer[]).toString("latin1");
  const [head = "", body = ""] = text.split(/\r\n\r\n(.*)/s);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  return { status, body, ...about, session };
}

async function byHttp2(socket: TLSSocket, path: string, name: string): Promise<TlsAnswer> {
  const about = described(socket);
  const client = connectHttp2(`https://${name}`, { createConnection: () => socket });
  try {
    const stream = client.request({ ":path": path, ":authority": name });
    const [[fields], chunks] = (await Promise.all([once(stream, "response"), stream.toArray()])) as [
      [{ ":status": number }],
      Buffer[],
    ];
    return { status: fields[":status"], body: Buffer.concat(chunks).toString(), ...about, session: undefined };
  } finally {
    client.destroy();
  }
}

function described(socket: TLSSocket): Pick<TlsAnswer, "alpn" | "names" | "resumed"> {
  const names = socket.getPeerCertificate()?.subjectaltname;
  return { alpn: socket.alpnProtocol, names, resumed: socket.isSessionReused() };
}
