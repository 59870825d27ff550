import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { answering, OK, Origin } from "../support/origin.ts";
import { get, startProxy, type TestApp, type TestProxy } from "../support/proxy.ts";
import type { Wire } from "../support/wire.ts";

/** A client for whom one request has been served, so that the next goes on a reused connection. */
async function warm(proxy: TestProxy<object>): Promise<Wire> {
  const client = await proxy.send(get("/warm"));
  await client.message();
  await proxy.whenFinished();
  expect(proxy.pool.idleCount).toBe(1);
  return client;
}

describe("an idle connection", () => {
  test("on which the origin speaks is closed and counted; nobody gets its bytes", async () => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin });
    const client = await warm(proxy);
    origin.connections[0]!.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    await origin.connections[0]!.whenEnded();
    expect(proxy.pool.unexpectedData).toMatchObject({ idle: 1, total: 1 });
    expect(proxy.logs).toMatchObject([{ level: 40, name: "core", peer: origin.address }]);
    client.send(get());
    expect((await client.message()).body.toString()).toBe("ok");
    expect(origin.connections).toHaveLength(2);
  });
});

describe("a reused connection that ends before any of the request was sent", () => {
  const HOOKS: Record<string, (wait: (session: Session) => Promise<void>) => TestApp<object>> = {
    connectedToUpstream: (wait) => ({ connectedToUpstream: wait }),
    upstreamRequestFilter: (wait) => ({ upstreamRequestFilter: wait }),
    "requestBodyFilter, which holds the head back": (wait) => ({ requestBodyFilter: wait }),
  };

  test.each(Object.keys(HOOKS).flatMap((hook) => (["end", "reset"] as const).map((how) => [hook, how] as const)))(
    "while %s waits (%s): the request goes on another one, also a POST, and is done once",
    async (hook, how) => {
      const seen: string[] = [];
      await using origin = await Origin.start(async (connection) => {
        for (;;) {
          seen.push((await connection.message()).startLine);
          connection.send(OK);
        }
      });
      const wait = async (session: Session): Promise<void> => {
        if (session.request.target === "/warm" || session.tries > 1) return;
        const closed = Promise.withResolvers<void>();
        const onClosed = (): void => closed.resolve();
        subscribe("sluice:upstream:closed", onClosed);
        origin.connections[0]![how]();
        await closed.promise;
        unsubscribe("sluice:upstream:closed", onClosed);
      };
      await using proxy = await startProxy({ origin, ...HOOKS[hook]!(wait) });
      const client = await warm(proxy);
      client.send("POST /once HTTP/1.1\r\nHost: test\r\n\r\n");
      expect((await client.message()).status).toBe(200);
      expect(seen).toEqual(["GET /warm HTTP/1.1", "POST /once HTTP/1.1"]);
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
    },
  );
});

describe("an upstream that speaks while the request is still held back by a filter", () => {
  const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

  test.each(["GET", "POST"])(
    "answers nothing: a %s that met it on a reused connection goes on a new one",
    async (method) => {
      let held: Promise<unknown> | undefined;
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        origin,
        requestBodyFilter: async (session) => {
          if (session.request.target !== "/held" || session.tries > 1) return;
          origin.connections[0]!.send(POISON);
          held = origin.connections[0]!.whenEnded();
          await held;
        },
      });
      const client = await warm(proxy);
      client.send(`${method} /held HTTP/1.1\r\nHost: test\r\n\r\n`);
      expect((await client.message()).body.toString()).toBe("ok");
      expect((await proxy.whenFinished(2)).session.tries).toBe(2);
      expect(origin.connections).toHaveLength(2);
      expect(held).toBeDefined();
    },
  );

  test("on a new connection is an error", async () => {
    await using origin = await Origin.start(async (connection) => connection.whenEnded());
    await using proxy = await startProxy({
      origin,
      requestBodyFilter: async () => {
        const connection = await origin.connection();
        connection.send(POISON);
        await connection.whenEnded();
      },
    });
    const client = await proxy.send(get());
    expect((await client.message()).status).toBe(502);
    expect((await proxy.whenFinished()).error?.message).toContain("a response before the request was sent");
    expect(origin.connections).toHaveLength(1);
  });
});
