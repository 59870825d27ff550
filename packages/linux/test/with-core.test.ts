import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { ResponseHeader } from "@sluice/http";
import { httpProxy, HttpPeer, type ProxyHttp } from "@sluice/proxy";
import { expect, expectTypeOf, onTestFinished, test } from "vitest";
import { HttpService, Server, SocketAddress, type ConnectionDigest, type FdHandover, type HttpApp } from "@sluice/core";
import {
  fastOpen,
  keepAlive,
  linuxHandover,
  setFastOpen,
  setTypeOfService,
  tcpConnector,
  tcpInfoOf,
  typeOfService,
} from "../src/index.ts";

const answer: HttpApp = {
  async handleRequest(session) {
    session.writeHeader(ResponseHeader.build(204), true);
  },
};

test("the hand-over has the form that a server asks for", () => {
  expectTypeOf(linuxHandover()).toExtend<FdHandover>();
});

test("a connection's digest leads to its round-trip time, and to nothing once it is closed", async () => {
  let digest: ConnectionDigest | undefined;
  const rtts: (number | undefined)[] = [];
  const file = path.join(mkdtempSync(path.join(tmpdir(), "sluice-rtt-")), "a.sock");
  onTestFinished(() => rmSync(path.dirname(file), { recursive: true }));
  const service = new HttpService("web", {
    handleRequest: async (session) => {
      digest = session.digest;
      rtts.push(tcpInfoOf(digest)?.rttUs);
      await answer.handleRequest(session);
    },
  })
    .listenTcp("127.0.0.1:0")
    .listenUnix(file);
  await service.start();
  await getAt(connect(file));
  await get(service.addresses[0]!);
  // A Unix socket has none.
  expect(rtts).toEqual([undefined, expect.any(Number)]);
  expect(rtts[1]).toBeGreaterThan(0);
  await service.stop(AbortSignal.abort());
  expect(digest!.descriptor).toBeUndefined();
  expect(tcpInfoOf(digest!)).toBeUndefined();
});

test("options that Node lacks are set on a listening socket before it listens", async () => {
  const bound: number[] = [];
  const service = new HttpService("web", answer).listenTcp("127.0.0.1:0", {
    onBound: (fd) => {
      bound.push(fd);
      setFastOpen(fd, 8);
      setTypeOfService(fd, 184);
    },
  });
  await service.start();
  await get(service.addresses[0]!);
  expect(bound.map((fd) => [fastOpen(fd), typeOfService(fd)])).toEqual([[8, 184]]);
  await service.stop(AbortSignal.abort());
});

test("a peer's connections have options that must be set before they begin", async () => {
  const origin = createServer((_request, response) => response.end("from the origin"));
  onTestFinished(() => void origin.close());
  await once(origin.listen(0, "127.0.0.1"), "listening");
  const { port } = origin.address() as AddressInfo;
  const connectStream = tcpConnector({ fastOpen: true, typeOfService: 32, keepAlive: { idleSeconds: 9 } });
  const seen: unknown[] = [];
  const app: ProxyHttp<undefined> = {
    newCtx: () => undefined,
    upstreamPeer: () => new HttpPeer(`127.0.0.1:${port}`, { connectStream }),
    connectedToUpstream(_session, reused, _peer, { descriptor }) {
      seen.push([reused, typeOfService(descriptor!), keepAlive(descriptor!).idleSeconds]);
    },
  };
  const server = new Server();
  const service = httpProxy(server, app).listenTcp("127.0.0.1:0");
  await server.addService(service).start();
  expect(await get(service.addresses[0]!)).toMatch(/from the origin$/);
  expect(await get(service.addresses[0]!)).toMatch(/from the origin$/);
  expect(seen).toEqual([
    [false, 32, 9],
    [true, 32, 9],
  ]);
  await server.stop(0);
});

test("a connector of TCP refuses other addresses, and tells what the system says", async () => {
  const connector = tcpConnector({});
  const signal = AbortSignal.timeout(10_000);
  await expect(connector({ address: SocketAddress.unix("/nowhere") }, signal)).rejects.toMatchObject({
    code: "EAFNOSUPPORT",
    message: "connecting to unix:/nowhere: expected an address of TCP",
  });
  const closed = createServer();
  await once(closed.listen(0, "127.0.0.1"), "listening");
  const address = SocketAddress.ip("127.0.0.1", (closed.address() as AddressInfo).port);
  closed.close();
  await expect(connector({ address }, signal)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  const gone = AbortSignal.abort(new Error("the client has left"));
  await expect(connector({ address }, gone)).rejects.toThrow("the client has left");
});

function get(address: string): Promise<string> {
  return getAt(connect(Number(address.split(":")[1]), "127.0.0.1"));
}

async function getAt(socket: Socket): Promise<string> {
  socket.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  return await text(socket);
}
