import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { Server } from "@sluice/core";
import { HttpPeer, httpProxy } from "@sluice/proxy";
import { expect, test } from "vitest";

test("who asks is an address without port and brackets, and nobody on a Unix socket", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "sluice-"));
  const server = new Server();
  const proxy = httpProxy(server, {
    newCtx: () => undefined,
    requestFilter: (session) => session.respond(200, { body: String(session.clientIp) }),
    upstreamPeer: () => new HttpPeer("127.0.0.1:9"),
  });
  proxy.listenTcp("127.0.0.1:0").listenTcp("[::1]:0").listenUnix(path.join(folder, "sock"));
  await server.addService(proxy).start();
  try {
    const answers = await Promise.all(proxy.addresses.map(ask));
    expect(answers).toEqual(["127.0.0.1", "::1", "undefined"]);
  } finally {
    await server.stop(0);
    await rm(folder, { recursive: true });
  }
});

async function ask(address: string): Promise<string> {
  const where = address.startsWith("unix:")
    ? { socketPath: address.slice("unix:".length) }
    : { host: new URL(`http://${address}`).hostname.replaceAll(/[[\]]/g, ""), port: address.split(":").at(-1) };
  const [response] = (await once(request({ ...where, agent: false }).end(), "response")) as [AsyncIterable<Buffer>];
  return text(response);
}
