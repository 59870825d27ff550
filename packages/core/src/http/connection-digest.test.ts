import { once } from "node:events";
import { connect, Socket } from "node:net";
import { expect, test } from "vitest";
import { tcpServer } from "../../test/net-harness.ts";
import { streamPair } from "../testing/index.ts";
import { nameEnds, StreamDigest } from "./connection-digest.ts";

const ADDRESSES = { remoteAddress: "::1", remotePort: 50_000, localAddress: "127.0.0.1", localPort: 80 };

test("shows the addresses of the stream, IPv6 in brackets", () => {
  const { local } = streamPair({ addresses: ADDRESSES });
  const { remoteAddress, localAddress } = new StreamDigest(local);
  expect([remoteAddress, localAddress]).toEqual(["[::1]:50000", "127.0.0.1:80"]);
});

test("shows the address that a socket says itself, as one behind a proxy does, and else the one that it has", async () => {
  await using server = await tcpServer();
  const port = Number(server.address.split(":")[1]);
  class Behind extends Socket {}
  Object.defineProperty(Behind.prototype, "remoteAddress", { get: () => "192.0.2.7" });
  const behind = new Behind().connect(port, "127.0.0.1");
  const plain = connect(port, "127.0.0.1");
  await Promise.all([once(behind, "connect"), once(plain, "connect")]);
  expect(new StreamDigest(behind).remoteAddress).toBe(`192.0.2.7:${port}`);
  expect(new StreamDigest(plain).remoteAddress).toBe(server.address);
  Object.defineProperty(plain, "remoteAddress", { value: "192.0.2.8" });
  expect(new StreamDigest(plain).remoteAddress).toBe(`192.0.2.8:${port}`);
  behind.destroy();
  plain.destroy();
});

test("shows what a socket remembers, once the system does not know it any more", async () => {
  await using server = await tcpServer((accepted) => accepted.pause());
  const socket = connect(Number(server.address.split(":")[1]), "127.0.0.1").pause();
  socket.on("error", () => undefined);
  await once(socket, "connect");
  expect(socket.remoteAddress).toBe("127.0.0.1");
  const accepted = await server.accepted();
  accepted.resetAndDestroy();
  await once(accepted, "close");
  expect(new StreamDigest(socket).remoteAddress).toBe(server.address);
  socket.destroy();
});

test("a stream without addresses has none", () => {
  const { remoteAddress, localAddress } = new StreamDigest(streamPair().local);
  expect([remoteAddress, localAddress]).toEqual([undefined, undefined]);
});

test("keeps an address that was read, since a closed socket has none", () => {
  const stream = { ...ADDRESSES } as { remoteAddress: string | undefined };
  const digest = new StreamDigest(stream as never);
  expect(digest.remoteAddress).toBe("[::1]:50000");
  stream.remoteAddress = undefined;
  expect(digest.remoteAddress).toBe("[::1]:50000");
});

test("a Unix socket has the names that it was given, also when it was given them later", () => {
  const { local } = streamPair();
  const digest = new StreamDigest(local);
  expect(digest.remoteAddress).toBeUndefined();
  nameEnds(local, { remote: "unix:/run/origin.sock" });
  expect([digest.remoteAddress, digest.localAddress]).toEqual(["unix:/run/origin.sock", undefined]);
  nameEnds(local, { local: "unix:/run/proxy.sock" });
  expect(digest.localAddress).toBe("unix:/run/proxy.sock");
});
