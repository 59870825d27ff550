import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { tcpServer } from "../../test/net-harness.ts";
import { ask, h2c } from "../../test/http2-upstream-harness.ts";
import { FrameOrigin, ok } from "../../test/http2-origin.ts";
import { HttpConnector } from "../upstreams/http-connector.ts";
import { HttpPeer } from "../upstreams/http-peer.ts";

interface SlowOrigin extends AsyncDisposable {
  readonly peer: HttpPeer;
  /** Answers the request that came, or is about to come. */
  answer(): Promise<unknown>;
}

async function http1(): Promise<SlowOrigin> {
  const asked = Promise.withResolvers<void>();
  const origin = await tcpServer((socket) => socket.on("data", () => asked.resolve()));
  return {
    peer: new HttpPeer(origin.address),
    async answer() {
      await asked.promise;
      (await origin.accepted()).write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    },
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  };
}

async function http2(): Promise<SlowOrigin> {
  const origin = await FrameOrigin.start();
  return {
    peer: h2c(origin),
    async answer() {
      const connection = await origin.connection();
      connection.send(ok(await connection.request()));
    },
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

test.each([
  ["HTTP/1", http1],
  ["HTTP/2", http2],
])("a connection of %s was of use when the last request that was answered was given to it", async (_, start) => {
  await using origin = await start();
  const connector = new HttpConnector();
  const first = await connector.connect(origin.peer);
  vi.advanceTimersByTime(1000);
  const exchange = ask(first);
  vi.advanceTimersByTime(60);
  await origin.answer();
  expect((await exchange.over).error).toBeUndefined();
  first.release();

  const next = connector.reuse(origin.peer)!;
  expect(next.isStillOpen!()).toBe(true);
  vi.advanceTimersByTime(60);
  const open = next.isStillOpen!();
  expect(open).not.toBe(true);
  expect(await open).toBe(true);
  next.destroy();
  connector.close();
});

test("a request of HTTP/2 that was not answered says nothing of its connection", async () => {
  await using origin = await FrameOrigin.start();
  const connector = new HttpConnector();
  const peer = h2c(origin);
  const first = ask(await connector.connect(peer));
  vi.advanceTimersByTime(1000);
  const second = ask(connector.reuse(peer)!);
  const connection = await origin.connection();
  await connection.request();
  await connection.request();
  second.session.destroy();

  const next = connector.reuse(peer)!;
  const open = next.isStillOpen!();
  expect(open).not.toBe(true);
  expect(await open).toBe(true);
  next.destroy();
  first.session.destroy();
  connector.close();
});
