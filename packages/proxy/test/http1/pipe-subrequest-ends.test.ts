import { describe, expect, test } from "vitest";
import { Origin } from "../support/origin.ts";
import { gate, startProxy } from "../support/proxy.ts";
import { ended, failing, piping } from "../support/subrequests.ts";

describe("a change of protocol", () => {
  const ASK = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n";
  const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n";

  test("passes through, both ways, until both sides have ended", async () => {
    await using origin = await Origin.start(async (connection) => {
      const request = await connection.message({ toHead: true });
      expect(request.field("upgrade")).toBe("echo/1");
      connection.send(CHANGED, "hello");
      connection.send(await connection.upTo("!")).end();
      expect((await connection.rest()).toString()).toBe("still");
    });
    const app = piping(origin, { body: "expect" });
    await using proxy = await startProxy(app);
    const client = await proxy.send(ASK, "early!");
    expect(await client.upTo("\r\n\r\n")).toMatch(/\r\nUpgrade: echo\/1\r\n/);
    expect((await client.rest()).toString()).toBe("helloearly!");
    client.send("still").end();
    const { main, sub } = await ended(proxy);
    expect([main, sub].map(({ session, error }) => [session.responseStatus, session.responseBodyBytes, error])).toEqual(
      [
        [101, 11, undefined],
        [101, 11, undefined],
      ],
    );
    expect([origin.failures, app.piped.length]).toEqual([[], 1]);
  });

  test("that the origin breaks off is broken off for the client", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED);
      await connection.upTo("!");
      connection.reset();
    });
    const { app, failed } = failing(origin, "expect");
    await using proxy = await startProxy(app);
    const client = await proxy.send(ASK);
    await client.upTo("\r\n\r\n");
    client.send("now!");
    await client.whenClosed();
    expect(await failed).toMatchObject({ source: "upstream", fromSubrequest: true });
  });

  test("whose other direction is broken off, too", async () => {
    const { opened, open } = gate();
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      connection.send(CHANGED, "bye").end();
      await connection.upTo("!");
      await connection.reset().whenClosed();
      open();
    });
    const { app, failed } = failing(origin, "expect");
    await using proxy = await startProxy(app);
    const client = await proxy.send(ASK);
    await client.upTo("bye");
    client.send("now!");
    await opened;
    // Who has ended its direction shows that it is gone when it is written to.
    client.send("more");
    expect(await failed).toMatchObject({ fromSubrequest: true });
  });
});
