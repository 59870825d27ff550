import { connectSocket, type ServerConf } from "@sluice/core";
import { HttpPeer, type PeerOptions, type ProxyHttp } from "@sluice/proxy";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MAX_CONCURRENT_STREAMS } from "../../core/test/http2-frames.ts";
import { FrameOrigin, ok } from "../../core/test/http2-origin.ts";
import { patternBytes } from "./support/message.ts";
import { answering, OK, Origin } from "./support/origin.ts";
import { gate, get, startProxy, type TestProxy } from "./support/proxy.ts";
import type { Wire } from "./support/wire.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

const LONG = patternBytes(100_000);
const POST = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";

/** A client whose first request has left a connection to the origin, which has been idle for a while. */
async function clientBeforeIdle(proxy: TestProxy<object>): Promise<Wire> {
  const client = await proxy.connect();
  client.send(get("/first"));
  await client.message();
  await proxy.whenFinished(1);
  vi.advanceTimersByTime(100);
  return client;
}

test.each<[string, (string | Uint8Array)[], Partial<ServerConf>?]>([
  ["may be tried once", [get("/")], { max_retries: 1 }],
  ["is not idempotent", [POST]],
  ["is not idempotent and has no body", ["POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"]],
  ["is too long to be kept", [`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${LONG.length}\r\n\r\n`, LONG]],
])(
  "a request that %s is not lost on an idle connection whose end has arrived behind it",
  async (_, request, conf = {}) => {
    await using origin = await answering(OK);
    await using proxy = await startProxy({ origin }, {}, conf);
    const client = await clientBeforeIdle(proxy);
    const idle = await origin.connection(0);
    const before = idle.receivedBytes;
    // The proxy reads the sockets in this order.
    client.send(...request);
    idle.end();

    expect((await client.message()).status).toBe(200);
    const { session } = await proxy.whenFinished(2);
    expect(session).toMatchObject({ tries: 1, upstreamReused: false });
    await idle.whenEnded();
    expect(idle.receivedBytes).toBe(before);
  },
);

test("a request is not lost on a connection that has ended while a hook held the process up", async () => {
  await using origin = await answering(OK);
  const requestFilter: ProxyHttp<object>["requestFilter"] = ({ request }) => {
    if (request.method === "POST") vi.advanceTimersByTime(100);
  };
  await using proxy = await startProxy({ origin, requestFilter });
  const client = await proxy.connect();
  client.send(get("/first"));
  await client.message();
  await proxy.whenFinished(1);
  const idle = await origin.connection(0);
  const before = idle.receivedBytes;
  // At 0, no time is kept for a turn.
  vi.advanceTimersByTime(1);

  client.send(POST);
  idle.end();

  expect((await client.message()).status).toBe(200);
  await idle.whenEnded();
  expect(idle.receivedBytes).toBe(before);
});

test("a request is not lost behind an answer that came late, with the end of the connection right behind it", async () => {
  await using origin = await Origin.start(async (connection) => {
    await connection.message();
    if (connection.index === 0) return;
    connection.send(OK);
  });
  await using proxy = await startProxy({ origin });
  const first = await proxy.connect();
  first.send(get("/first"));
  const second = await proxy.connect();
  const connection = await origin.connection(0);
  await connection.message();
  vi.advanceTimersByTime(100);

  // The proxy reads the sockets in this order, in one turn.
  connection.send(OK);
  second.send(POST);
  connection.end();

  expect((await first.message()).status).toBe(200);
  expect((await second.message()).status).toBe(200);
});

test("a request is not lost behind an answer of HTTP/2 that came late, with the end of the connection right behind it", async () => {
  await using origin = await FrameOrigin.start(async (connection, index) => {
    if (index > 0) connection.send(ok(await connection.request()));
  });
  await using proxy = await startProxy({ origin: new HttpPeer(origin.address, { minHttpVersion: 2 }) });
  const first = await proxy.connect();
  first.send(get("/first"));
  const second = await proxy.connect();
  const connection = await origin.connection(0);
  const answered = await connection.request();
  vi.advanceTimersByTime(100);

  // The proxy reads the sockets in this order, in one turn.
  connection.send(ok(answered));
  second.send(POST);
  connection.socket.end();

  expect((await first.message()).status).toBe(200);
  expect((await second.message()).status).toBe(200);
});

test("a request that waits for a stream is not lost behind the answer that makes room, with the end right behind it", async () => {
  await using origin = await FrameOrigin.start(
    async (connection, index) => {
      if (index > 0) connection.send(ok(await connection.request()));
    },
    { [MAX_CONCURRENT_STREAMS]: 1 },
  );
  const waits = gate();
  const late = gate();
  let opened = 0;
  const connectStream: PeerOptions["connectStream"] = async ({ address }, signal) => {
    if (opened++ > 0) {
      waits.open();
      await late.opened;
    }
    return connectSocket(address, {}, signal);
  };
  await using proxy = await startProxy({ origin: new HttpPeer(origin.address, { minHttpVersion: 2, connectStream }) });
  const first = await proxy.send(get("/first"));
  const connection = await origin.connection(0);
  const answered = await connection.request();
  const second = await proxy.send(POST);
  await waits.opened;
  vi.advanceTimersByTime(100);

  connection.send(ok(answered)).socket.end();

  expect((await first.message()).status).toBe(200);
  late.open();
  expect((await second.message()).status).toBe(200);
});

test("a request is not lost on an idle connection of HTTP/2 that has ended without GOAWAY", async () => {
  await using origin = await FrameOrigin.start(async (connection) => {
    for (;;) connection.send(ok(await connection.request()));
  });
  await using proxy = await startProxy({ origin: new HttpPeer(origin.address, { minHttpVersion: 2 }) });
  const client = await clientBeforeIdle(proxy);

  client.send(POST);
  (await origin.connection(0)).socket.end();

  expect((await client.message()).status).toBe(200);
  const { session } = await proxy.whenFinished(2);
  expect(session).toMatchObject({ tries: 1, upstreamReused: false });
});

test("a client that leaves while it is found out whether the connection has ended leaves none behind", async () => {
  await using origin = await answering(OK);
  await using proxy = await startProxy({ origin });
  await clientBeforeIdle(proxy);
  const idle = await origin.connection(0);
  const before = idle.receivedBytes;

  const second = await proxy.connect();
  second.send(POST);
  second.end();

  expect((await proxy.whenFinished(2)).error).toMatchObject({ source: "downstream" });
  await idle.whenEnded();
  expect(idle.receivedBytes).toBe(before);
  expect(proxy.pool.idleCount).toBe(0);
});
