import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { configureLogs, HttpService } from "@sluice/core";
import { opensslTls } from "@sluice/tls-openssl";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { expect, onTestFinished, test } from "vitest";

configureLogs({ destination: { write: () => undefined } });

const ca = certificateAuthority("limits");
const listen = { certificates: [ca.issue({ names: ["a.test"] })], alpn: ["http/1.1"], handshakeMs: 2000 };

async function serve(): Promise<number> {
  const service = new HttpService("limited", { handleRequest: () => Promise.resolve() }, { tls: opensslTls() });
  service.listenTls("127.0.0.1:0", listen, { maxConnections: 2 });
  await service.start();
  onTestFinished(() => service.stop(AbortSignal.abort()));
  return Number(service.addresses[0]!.split(":").at(-1));
}

/** Resolves when the handshake is done; rejects if the connection is refused. */
async function shakeHands(port: number): Promise<Socket> {
  const socket = connectTls({ port, host: "127.0.0.1", ca: ca.cert, servername: "a.test" });
  await once(socket, "secureConnect");
  return socket;
}

/** Resolves when the other side has closed, too. */
async function leave(socket: Socket): Promise<void> {
  const closed = once(socket, "close");
  socket.end();
  socket.resume();
  await closed;
}

test("by TLS, whoever leaves makes room for the next", async () => {
  const port = await serve();
  for (let round = 0; round < 3; round++) {
    const both = [await shakeHands(port), await shakeHands(port)];
    await expect(shakeHands(port)).rejects.toThrow(/disconnected|ECONNRESET/);
    for (const socket of both) await leave(socket);
  }
});

test("by TLS, a handshake that fails makes room for the next", async () => {
  const port = await serve();
  for (let round = 0; round < 5; round++) {
    const plain = connect({ port, host: "127.0.0.1" });
    plain.on("error", () => undefined);
    plain.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    plain.resume();
    await once(plain, "close");
  }
  const last = await shakeHands(port);
  expect(last.destroyed).toBe(false);
  await leave(last);
});
