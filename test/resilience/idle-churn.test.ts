import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { KeepAliveClient, type Outcome } from "./support/client.ts";
import { Cluster } from "./support/cluster.ts";
import type { ProxyConfig, ProxyCounts } from "./support/messages.ts";
import { idOf, isGood, pageCalls } from "./support/page-load.ts";
import { Program } from "./support/program.ts";

const KEEP_ALIVE_MS = 50;
const CLIENTS = 48;
const ROUNDS = 60;

test("no GET fails on origins that close idle connections without a word, and others after a response", async ({
  annotate,
}) => {
  await using cluster = await Cluster.start(3, {}, { keepAliveMs: KEEP_ALIVE_MS, closeEvery: 7 });
  const clients = Array.from({ length: CLIENTS }, () => new KeepAliveClient(cluster.proxy.port));
  const next = pageCalls();
  const outcomes: Outcome[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    outcomes.push(...(await Promise.all(clients.map((client) => client.send(next())))));
    // All connections of the pool are now about to be closed, or just were: the next requests meet that.
    await sleep(KEEP_ALIVE_MS - 10 + Math.random() * 10);
  }
  for (const client of clients) client.close();

  const again = cluster.events.filter((event) => event.kind === "request" && event.tries > 1);
  await annotate(`${outcomes.length} requests; ${again.length} were sent again, their connection was closed`);
  const failed = outcomes.filter((outcome) => !isGood(outcome));
  expect(failed.map((outcome) => cluster.requests.get(idOf(outcome)))).toEqual([]);
}, 60_000);

test("no GET fails when every idle connection is dead and none says so", async () => {
  // As behind a firewall that has forgotten them: whoever sends on one gets a reset.
  let served = 0;
  const waiting: Socket[] = [];
  const origin = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.once("data", () => socket.resetAndDestroy());
      waiting.push(socket);
      // The first are answered together, so that each has a connection of its own.
      served++;
      if (served >= POOLED) for (const each of waiting.splice(0)) each.write(OK);
    });
  });
  await once(origin.listen(0, "127.0.0.1"), "listening");
  using _ = { [Symbol.dispose]: () => origin.close() };
  const upstreams = [`127.0.0.1:${(origin.address() as AddressInfo).port}`];
  await using proxy = await Program.start("proxy.ts", { upstreams } satisfies ProxyConfig);
  const clients = Array.from({ length: POOLED }, () => new KeepAliveClient(proxy.port));
  const send = (client: KeepAliveClient): Promise<Outcome> => client.send({ method: "GET", target: "/?id=1" });
  await Promise.all(clients.map(send));
  expect((await proxy.call<ProxyCounts>("counts")).idle).toBe(POOLED);

  expect((await send(clients[0]!)).status).toBe(200);
  for (const client of clients) client.close();
});

const POOLED = 10;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
