import { once } from "node:events";
import { createServer, connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { connect, createSecureContext } from "node:tls";
import { SocketReader } from "@sluice/core";
import { expect, onTestFinished, test } from "vitest";
import { AdoptedTlsSocket } from "./adopted-tls-socket.ts";
import { selfSignedCertificate } from "./certificates/make-certificate.ts";

/** Both ends of a connection on which nobody has said anything. */
async function tcpPair(): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connectTcp((server.address() as AddressInfo).port, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  onTestFinished(() => void [near, far].map((socket) => socket.destroy()));
  return [near, far];
}

/** A server's end, and a client that has yet to begin the handshake. */
async function serving(): Promise<{ tls: AdoptedTlsSocket; client: Socket }> {
  const { cert, key } = selfSignedCertificate({ names: ["a.test"] });
  const [client, accepted] = await tcpPair();
  const reader = new SocketReader(false);
  const tls = new AdoptedTlsSocket(
    accepted,
    {
      isServer: true,
      secureContext: createSecureContext({ cert, key }),
      allowHalfOpen: true,
      onread: SocketReader.onread,
    },
    reader,
  );
  onTestFinished(() => void tls.destroy());
  return { tls, client };
}

test("what was encrypted is not lent any more, though it is still being written", async () => {
  const { tls, client } = await serving();
  const secure = once(tls, "secure");
  const far = connect({ socket: client, rejectUnauthorized: false });
  await Promise.all([secure, once(far, "secureConnect")]);
  await new Promise((resolve) => tls.write("text", "latin1", resolve));
  tls.write(Buffer.alloc(65_536));
  expect(tls.writableLength).toBe(65_536);
  expect(tls.lentLength).toBe(0);
  // Behind it, these are not looked at yet.
  tls.write(Buffer.alloc(1000));
  tls.write("text", "latin1");
  expect(tls.lentLength).toBe(1004);
  const written = new Promise((resolve) => tls.write(Buffer.alloc(24), resolve));
  await written;
  expect(tls.lentLength).toBe(0);
});

test("what is corked, or waits for the handshake, is lent", async () => {
  const { tls, client } = await serving();
  tls.write(Buffer.alloc(1000));
  expect(tls.lentLength).toBe(1000);
  const far = connect({ socket: client, rejectUnauthorized: false });
  const [chunk] = (await once(far, "data")) as [Buffer];
  expect(chunk).toHaveLength(1000);
  while (tls.writableLength > 0) await new Promise((resolve) => setImmediate(resolve));
  tls.cork();
  tls.write(Buffer.alloc(500));
  expect(tls.lentLength).toBe(500);
  tls.uncork();
  expect(tls.lentLength).toBe(0);
});
