import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { HttpPeer } from "../../packages/proxy/src/index.ts";
import { describe, expect, test } from "vitest";
import type { TestApp } from "../../packages/proxy/test/support/proxy.ts";
import { LEGS, peerOptions } from "./legs.ts";
import { line } from "./line.ts";
import { CUT } from "./matrix-client.ts";

/** An address where nobody listens. */
async function deadAddress(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}

describe.each(LEGS)("$name", (leg) => {
  test("an origin that resets in the middle of an answer leaves it visibly cut", async () => {
    const sent = Promise.withResolvers<void>();
    await using on = await line(leg, async (visit) => {
      visit.response.writeHead(200);
      visit.response.write("half of it");
      await sent.promise;
      visit.cut();
    });
    const exchange = on.client.ask({});
    await exchange.head;
    while (exchange.received === 0) await new Promise((resolve) => setImmediate(resolve));
    sent.resolve();
    await expect(exchange.answered).rejects.toThrow(CUT);
    const { error, session } = await on.proxy.whenFinished();
    expect([error?.source, session.outcome.status]).toEqual(["upstream", 200]);
  });

  test("an origin that resets before it answers is a 502", async () => {
    await using on = await line(leg, (visit) => visit.cut());
    const { status, fields } = await on.client.ask({ method: "POST", body: "once" }).answered;
    expect([status, on.visits.length]).toEqual([502, 1]);
    expect(fields["proxy-status"]).toMatch(/^sluice;error=/);
    expect(on.proxy.errors).toHaveLength(1);
  });

  test("an origin that refuses the connection is a 502 with a hint in the line", async () => {
    const address = await deadAddress();
    await using on = await line(leg, undefined, { upstreamPeer: () => new HttpPeer(address, peerOptions(leg)) });
    expect((await on.client.get("/")).status).toBe(502);
    expect(on.proxy.errors[0]).toMatchObject({ type: "ConnectRefused", hint: expect.any(String) });
  });

  test("a second peer is tried where the first one refuses", async () => {
    const address = await deadAddress();
    const app: TestApp<object> = { failToConnect: (_session, _peer, _ctx, error) => error.setRetry(true) };
    await using on = await line(leg, async (visit) => visit.answer(200, {}, (await visit.body()).body), app);
    Object.assign(on.proxy.service.proxy.app, {
      upstreamPeer: ({ tries }: { tries: number }) =>
        tries === 1 ? new HttpPeer(address, peerOptions(leg)) : on.origin.peer,
    });
    const { status, body } = await on.client.ask({ method: "POST", body: "all the same" }).answered;
    expect([status, String(body)]).toEqual([200, "all the same"]);
    expect(on.proxy.finished[0]!.session.tries).toBe(2);
  });

  test("an origin that answers too late is a 504", async () => {
    await using on = await line(leg, () => undefined, {}, { peer: { readMs: 100 } });
    expect((await on.client.get("/")).status).toBe(504);
    expect(on.proxy.errors[0]).toMatchObject({ type: "ReadTimedout" });
    await on.visits[0]!.aborted;
  });

  test("a pooled connection that the origin has closed costs no request", async () => {
    await using on = await line(leg);
    for (let n = 0; n < 10; n++) {
      expect((await on.client.get("/")).status).toBe(200);
      on.origin.closeConnections();
    }
    expect(on.proxy.errors).toEqual([]);
  });

  test("a client that leaves in the middle of an answer ends the request at the origin", async () => {
    await using on = await line(leg, ({ response }) => void response.writeHead(200).write("more to come"));
    const exchange = on.client.ask({});
    await exchange.head;
    exchange.leave();
    await on.visits[0]!.aborted;
    const { error, session } = await on.proxy.whenFinished();
    expect([error?.source, session.outcome.status]).toEqual(["downstream", 200]);
  });

  test("a client that leaves before the answer ends the request at the origin", async () => {
    const arrived = Promise.withResolvers<void>();
    await using on = await line(leg, () => arrived.resolve());
    const exchange = on.client.ask({});
    await arrived.promise;
    exchange.leave();
    await on.visits[0]!.aborted;
    const { session } = await on.proxy.whenFinished();
    expect(session.outcome).toMatchObject({ status: 499 });
  });

  test("a client that leaves in the middle of an upload ends the request at the origin, which never sees its end", async () => {
    let ended = false;
    const arrived = Promise.withResolvers<void>();
    await using on = await line(leg, ({ request }) => {
      request.once("data", () => arrived.resolve());
      // Node says `end` of a stream of HTTP/2 that was reset, too.
      request.on("end", () => (ended = !request.aborted));
    });
    const exchange = on.client.ask({ method: "POST", stream: (write) => write("first") });
    await arrived.promise;
    exchange.leave();
    await on.visits[0]!.aborted;
    await on.proxy.whenFinished();
    expect(ended).toBe(false);
  });

  test("one request that fails disturbs no other on its connections", async () => {
    await using on = await line(leg, async (visit) => {
      if (visit.seen.url === "/cut") visit.cut();
      else visit.answer(200, {}, (await visit.body()).body);
    });
    const asked = Array.from({ length: 40 }, (_, n) => {
      const path = n % 4 === 0 ? "/cut" : "/ok";
      return on.client.ask({ method: "POST", path, body: `${n}` }).answered;
    });
    const answers = await Promise.all(asked);
    for (const [n, { status, body }] of answers.entries()) {
      if (n % 4 === 0) expect(status).toBe(502);
      else expect([status, String(body)]).toEqual([200, `${n}`]);
    }
  });

  test("a server that stops finishes what is in flight, and takes no more", async () => {
    const go = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    await using on = await line(leg, async (visit) => {
      arrived.resolve();
      await go.promise;
      visit.answer(200, {}, "finished");
    });
    const { answered } = on.client.ask({});
    await arrived.promise;
    const stopped = on.proxy.service.stop(new AbortController().signal);
    go.resolve();
    expect(String((await answered).body)).toBe("finished");
    await stopped;
    expect(on.proxy.service.connectionCount).toBe(0);
    await expect(on.client.get("/")).rejects.toThrow(/ECONNREFUSED|hang up/);
  });

  test("an origin that speaks no HTTP is a 502 whose line says so", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.write("220 mail.test ESMTP\r\n");
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await using on = await line(leg, undefined, {
      upstreamPeer: () => new HttpPeer(`127.0.0.1:${port}`, peerOptions(leg)),
    });
    expect((await on.client.get("/")).status).toBe(502);
    expect(on.proxy.errors).toHaveLength(1);
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});
