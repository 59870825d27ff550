import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { KeepAliveClient } from "./support/client.ts";
import { Cluster } from "./support/cluster.ts";
import { Load } from "./support/load.ts";
import type { ProxyCounts } from "./support/messages.ts";
import type { Program } from "./support/program.ts";
import { isGood, pageCalls } from "./support/page-load.ts";
import { until } from "./support/wait.ts";

const GET = "GET /page?id=0&seed=0&size=10 HTTP/1.1\r\nHost: test\r\n\r\n";

describe("SIGTERM", () => {
  test("under load: every request that was sent is answered, whole", async ({ annotate }) => {
    await using cluster = await Cluster.start(2, {});
    const { proxy } = cluster;
    const busy = new Load({ port: proxy.port, clients: 32, next: pageCalls(4) });
    const thinking = new Load({ port: proxy.port, clients: 32, next: pageCalls(4), thinkMs: 100 });
    const idle = Array.from({ length: 16 }, () => new KeepAliveClient(proxy.port));
    const next = pageCalls();
    for (const client of idle) expect(isGood(await client.send(next()))).toBe(true);
    await Promise.all([until(() => busy.outcomes.length > 500), until(() => thinking.outcomes.length > 500)]);

    proxy.signal("SIGTERM");
    await Promise.all([busy.done, thinking.done]);
    expect(await proxy.exited).toBe(0);
    const outcomes = [...busy.outcomes, ...thinking.outcomes];
    await annotate(`busy: ${JSON.stringify(busy.summary)}, thinking: ${JSON.stringify(thinking.summary)}`);
    // Each client was refused in the end, and before that had nothing but answers.
    expect(outcomes.filter(({ end }) => end === "refused").length).toBe(64);
    expect(outcomes.filter((outcome) => outcome.end !== "refused" && !isGood(outcome))).toEqual([]);
    expect(outcomes.filter(({ closes }) => closes).length).toBeGreaterThan(0);
    await until(() => idle.every(({ idleEnds }) => idleEnds.length === 1));
    const idleEnds = [...busy.clients, ...thinking.clients, ...idle].flatMap((client) => client.idleEnds);
    expect(idleEnds.filter((how) => how !== "closed")).toEqual([]);
  }, 60_000);

  test("answers those who connected and were not accepted yet", async () => {
    await using cluster = await Cluster.start(1, {});
    const { proxy } = cluster;
    proxy.signal("SIGSTOP");
    const sockets = await Promise.all(Array.from({ length: 50 }, () => open(proxy.port)));
    await Promise.all(sockets.map((socket) => send(socket, GET)));
    proxy.signal("SIGTERM");
    proxy.signal("SIGCONT");
    const answers = await Promise.all(sockets.map((socket) => text(socket)));
    expect(answers.filter((answer) => !answer.startsWith("HTTP/1.1 200 OK\r\n"))).toEqual([]);
    expect(await proxy.exited).toBe(0);
  });

  test("answers one who had just connected, and tells him that the connection closes", async () => {
    await using cluster = await Cluster.start(1, {});
    const { proxy } = cluster;
    const socket = await open(proxy.port);
    await until(async () => (await proxy.call<ProxyCounts>("counts")).clients === 1);
    proxy.signal("SIGTERM");
    await untilRefused(proxy);
    await send(socket, GET);
    expect(await text(socket)).toMatch(/^HTTP\/1.1 200 OK\r\n(.+\r\n)*Connection: close\r\n/);
    expect(await proxy.exited).toBe(0);
  });
});

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

/** Resolves when the system has the bytes. */
function send(socket: Socket, bytes: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

async function untilRefused({ port }: Program): Promise<void> {
  await until(async () => {
    const client = new KeepAliveClient(port);
    const { end } = await client.send({ method: "GET", target: "/page?id=0&seed=0&size=10" });
    client.close();
    return end === "refused";
  });
}
