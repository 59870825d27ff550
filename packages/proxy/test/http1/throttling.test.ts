import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Origin } from "../support/origin.ts";
import { gate, get, startProxy } from "../support/proxy.ts";

// Nothing but the delays and the time limits of the proxy waits for this clock.
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** What has no timer to wait for has happened. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe("a delay of a response body filter", () => {
  test("holds the bytes of a tunnel", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.upTo("\r\n\r\n");
      connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
      connection.send(await connection.bytes(4)).end();
    });
    const back = gate();
    await using proxy = await startProxy({
      origin,
      responseBodyFilter(_session, piece) {
        back.open();
        return piece && { delayMs: 700 };
      },
    });
    const client = await proxy.send(get("/", "Connection: upgrade\r\nUpgrade: echo\r\n"));
    await client.upTo("\r\n\r\n");
    client.send("ping");
    await back.opened;
    await settle();
    expect(client.peek()).toBe("");
    vi.advanceTimersByTime(700);
    expect((await client.rest()).toString()).toBe("ping");
    client.end();
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });
});
