import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Cluster } from "./support/cluster.ts";
import { Load } from "./support/load.ts";
import type { ProxyCounts } from "./support/messages.ts";
import { isGood, pageCalls } from "./support/page-load.ts";
import { settled, until } from "./support/wait.ts";

const IDLE = 200;
const SLOW = 100;

test("clients that are idle, or send a head byte by byte, hinder no others; no descriptor is left of any", async ({
  annotate,
}) => {
  await using cluster = await Cluster.start(2, {}, { keepAliveMs: 300 });
  const { proxy } = cluster;
  const serve = async (requests: number): Promise<void> => {
    const load = new Load({ port: proxy.port, clients: 16, next: pageCalls(4) });
    await until(() => load.outcomes.length >= requests);
    await load.stop();
    expect(load.outcomes.filter((outcome) => !isGood(outcome))).toEqual([]);
  };
  // What the first requests open for good is not a leak.
  await serve(100);
  await until(async () => isIdle(await proxy.call<ProxyCounts>("counts")));
  const before = await settled(() => proxy.descriptors);

  const idle = await Promise.all(Array.from({ length: IDLE }, () => open(proxy.port)));
  const slow = await Promise.all(Array.from({ length: SLOW }, () => open(proxy.port)));
  for (const socket of slow) socket.write("GET / HTTP/1.1\r\n");
  let bytes = 0;
  const dripping = setInterval(() => {
    bytes++;
    for (const socket of slow) socket.write(HEAD.charAt((bytes - 1) % HEAD.length));
  }, 10);
  try {
    await serve(2000);
    // The load's own connections close when the proxy has seen their end.
    await until(async () => (await proxy.call<ProxyCounts>("counts")).clients === IDLE + SLOW);
    await annotate(
      `${proxy.descriptors} descriptors with ${IDLE + SLOW} clients, ${before} without; ${bytes} bytes of heads`,
    );
    expect([...idle, ...slow].filter((socket) => socket.destroyed)).toEqual([]);
  } finally {
    clearInterval(dripping);
    for (const socket of [...idle, ...slow]) socket.destroy();
  }
  await until(async () => isIdle(await proxy.call<ProxyCounts>("counts")));
  await until(() => proxy.descriptors <= before);
}, 60_000);

/** Never ends: after a line comes another. */
const HEAD = "X-Slow: and again\r\n";

function isIdle({ clients, idle }: ProxyCounts): boolean {
  return clients === 0 && idle === 0;
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}
