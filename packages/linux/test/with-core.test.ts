import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { ResponseHeader } from "@sluice/http";
import type { FdHandover } from "../../core/src/server/fd-handover.ts";
import { expect, expectTypeOf, test } from "vitest";
import { HttpService, type ConnectionDigest, type HttpApp } from "@sluice/core";
import { fastOpen, linuxHandover, setFastOpen, setTypeOfService, tcpInfo, typeOfService } from "../src/index.ts";

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
  let rttUs = 0;
  const service = new HttpService("web", {
    handleRequest: async (session) => {
      digest = session.digest;
      rttUs = tcpInfo(digest.descriptor!).rttUs;
      await answer.handleRequest(session);
    },
  }).listenTcp("127.0.0.1:0");
  await service.start();
  await get(service.addresses[0]!);
  expect(rttUs).toBeGreaterThan(0);
  await service.stop(AbortSignal.abort());
  expect(digest!.descriptor).toBeUndefined();
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

async function get(address: string): Promise<string> {
  const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  return await text(socket);
}
