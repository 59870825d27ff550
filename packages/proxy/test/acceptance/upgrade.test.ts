import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { patternBytes } from "../support/message.ts";
import { Origin } from "../support/origin.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { ReferenceOrigin } from "../support/reference-origin.ts";
import { startTriggerProxy, type TriggerCtx } from "../support/trigger-app.ts";
import type { Wire } from "../support/wire.ts";

// What Pingora's own test_upstream.rs shows of changes of protocol, shown of ours; in brackets, the name that each test has there.

/** A WebSocket through the proxy to the echo. */
async function openWebSocket(proxy: TestProxy<TriggerCtx>, origin: ReferenceOrigin): Promise<WebSocket> {
  const client = new WebSocket(`ws://${proxy.address}/`, { headers: { "x-port": origin.webSocketPort } });
  await once(client, "open");
  return client;
}

async function echoOf(client: WebSocket, text: string): Promise<string> {
  client.send(text);
  const [data] = (await once(client, "message")) as [Buffer];
  return data.toString();
}

/** What the close frame said: 1005 is one without a code, 1006 stands for none at all. */
async function closeCode(client: WebSocket): Promise<number> {
  const [code] = (await once(client, "close")) as [number];
  return code;
}

describe("a WebSocket [test_ws_server_ends_conn]", () => {
  test("that the origin ends by a close frame ends so for the client [1]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await openWebSocket(proxy, origin);
    expect(await echoOf(client, "test")).toBe("test");
    client.send("graceful");
    expect(await closeCode(client)).toBe(1005);
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });

  test("whose connection the origin drops ends for the client without a close frame [2]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await openWebSocket(proxy, origin);
    client.send("close");
    expect(await closeCode(client)).toBe(1006);
    await proxy.whenFinished();
  });

  test("that the client ends is answered by the origin's close frame [3]", async () => {
    await using origin = await ReferenceOrigin.start();
    await using proxy = await startTriggerProxy(origin);
    const client = await openWebSocket(proxy, origin);
    expect(await echoOf(client, "test")).toBe("test");
    client.close(4000);
    expect(await closeCode(client)).toBe(4000);
    expect((await proxy.whenFinished()).error).toBeUndefined();
  });
});

/** The head that changes the protocol, without what follows it. */
async function changedBy(
  client: Wire,
): Promise<[status: number, upgrade: string | undefined, option: string | undefined]> {
  const { status, field } = await client.message();
  return [status, field("upgrade"), field("connection")];
}

function ask(method: string, target: string, port: number, fields = ""): string {
  const upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\n";
  return `${method} ${target} HTTP/1.1\r\nHost: test\r\nX-Port: ${port}\r\n${upgrade}${fields}\r\n`;
}

const CHANGED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";

test("a 101 arrives unchanged, and what follows it [test_upgrade_smoke]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const client = await proxy.send(ask("GET", "/upgrade", origin.upgradePort));
  expect(await changedBy(client)).toEqual([101, "websocket", "upgrade"]);
  expect((await client.rest()).toString()).toBe("hello\n");
});

test("a request body that the origin reads before its 101 arrives there, and comes back after it [test_upgrade_body]", async () => {
  await using origin = await ReferenceOrigin.start();
  await using proxy = await startTriggerProxy(origin);
  const body = patternBytes(1024);
  const client = await proxy.connect();
  await client.sent(ask("POST", "/upgrade_echo_body", origin.upgradePort, "Content-Length: 1024\r\n"));
  client.send(body);
  expect(await changedBy(client)).toEqual([101, "websocket", "upgrade"]);
  expect((await client.rest()).equals(body)).toBe(true);
});

describe("a 101 to a request with a body [test_upgrade_body_after_101]", () => {
  const BODY = patternBytes(5120);
  const FIELDS = "Content-Length: 5120\r\nX-Expected-Body-Len: 5125\r\n";

  test.each([0, 1000, 5119])(
    "that comes after %i of its 5120 bytes is followed by the rest, then by raw bytes",
    async (sent) => {
      await using origin = await ReferenceOrigin.start();
      await using proxy = await startTriggerProxy(origin);
      const client = await proxy.send(ask("POST", "/", origin.upgradePort, FIELDS), BODY.subarray(0, sent));
      expect(await changedBy(client)).toEqual([101, "websocket", "upgrade"]);
      client.send(BODY.subarray(sent), "hello");
      expect((await client.bytes(5120)).equals(BODY)).toBe(true);
      expect((await client.rest()).toString()).toBe("hello");
      client.end();
      expect((await proxy.whenFinished()).error).toBeUndefined();
    },
  );

  test("that comes after all of it is followed by raw bytes at once", async () => {
    await using origin = await Origin.start(async (connection) => {
      const { body } = await connection.message();
      connection.send(CHANGED, body);
      connection.send(await connection.bytes(5)).end();
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(ask("POST", "/", 0, FIELDS), BODY, "hello");
    expect(await changedBy(client)).toEqual([101, "websocket", "upgrade"]);
    expect((await client.bytes(5120)).equals(BODY)).toBe(true);
    expect((await client.rest()).toString()).toBe("hello");
  });

  test("that comes in the middle of its chunks leaves them chunks (Pingora: what follows is raw at once)", async () => {
    await using origin = await Origin.start(async (connection) => {
      await connection.message({ toHead: true });
      await connection.upTo("first\r\n");
      connection.send(CHANGED);
      expect(await connection.upTo("0\r\n\r\n")).toBe("6\r\nsecond\r\n0\r\n\r\n");
      connection.send(await connection.bytes(6)).end();
    });
    await using proxy = await startProxy({ origin });
    const client = await proxy.send(ask("POST", "/", 0, "Transfer-Encoding: chunked\r\n"), "5\r\nfirst\r\n");
    expect(await changedBy(client)).toEqual([101, "websocket", "upgrade"]);
    client.send("6\r\nsecond\r\n0\r\n\r\n", "0\r\n\r\n!");
    expect((await client.rest()).toString()).toBe("0\r\n\r\n!");
    expect(origin.failures).toEqual([]);
  });
});
