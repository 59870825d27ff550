import { describe, expect, test } from "vitest";
import { answering, OK } from "../support/origin.ts";
import { get, startProxy, type TestProxy } from "../support/proxy.ts";
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
