import { constants } from "node:http2";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { tcpServer } from "../../test/net-harness.ts";
import {
  ACK,
  GOAWAY,
  HEADERS,
  MAX_CONCURRENT_STREAMS,
  PING,
  SETTINGS,
  settingsFrame,
  type Frame,
} from "../../test/http2-frames.ts";
import { ask, h2c, nodeH2Origin, type Exchange } from "../../test/http2-upstream-harness.ts";
import { data, FrameOrigin, goaway, head, ok, reset, type FrameConnection } from "../../test/http2-origin.ts";
import { observe, upstreamChannels } from "../diagnostics.ts";
import type { ClientSession } from "../http/client-session.ts";
import { configureLogs } from "../log/logger.ts";
import { connectSocket } from "../net/connect.ts";
import { EventLog, streamPair, turn } from "../testing/index.ts";
import { HttpConnector } from "./http-connector.ts";
import { HttpPeer, type PeerOptions } from "./http-peer.ts";
import type { TlsProvider } from "../tls/tls-provider.ts";

let connector: HttpConnector;

beforeEach(() => {
  configureLogs({ levels: "silent" });
  connector = new HttpConnector();
});
afterEach(() => {
  vi.useRealTimers();
  connector.close();
});

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_HTTP_1_1_REQUIRED } = constants;

/** An origin that answers every request once `opened` lets it, and with how many of them were open at the same time. */
async function countingOrigin(settings: Readonly<Record<number, number>> = {}) {
  const gate = Promise.withResolvers<void>();
  const origin = await FrameOrigin.start(async (connection) => {
    for (;;) {
      const stream = await connection.request();
      void gate.promise.then(() => connection.send(ok(stream)));
    }
  }, settings);
  return { origin, open: () => gate.resolve() };
}

/** Resolves when `check` holds; the events of real sockets come in turns of the loop, not at a time. */
async function eventually(check: () => boolean): Promise<void> {
  let holds = check();
  for (let turns = 0; turns < 200_000 && !holds; turns++) {
    await turn();
    holds = check();
  }
  expect(holds).toBe(true);
}

async function finished(exchange: Exchange): Promise<Exchange> {
  await exchange.over;
  expect(exchange.error).toBeUndefined();
  exchange.session.release();
  return exchange;
}

const isGoaway = ({ type }: Frame): boolean => type === GOAWAY;
const isPing = ({ type }: Frame): boolean => type === PING;

/** As the proxy does. */
async function sessionTo(peer: HttpPeer, upgrade?: string): Promise<ClientSession> {
  return connector.reuse(peer, upgrade) ?? (await connector.connect(peer, undefined, upgrade));
}

describe("sharing", () => {
  test("a cold start opens one connection, and all who wait share it", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    const sessions = await Promise.all(Array.from({ length: 100 }, () => sessionTo(h2c(origin))));
    expect(origin.connections).toHaveLength(1);
    expect(sessions.filter(({ reused }) => !reused)).toHaveLength(1);
    expect(new Set(sessions.map(({ digest }) => digest)).size).toBe(1);
    const exchanges = sessions.map((session) => ask(session));
    open();
    await Promise.all(exchanges.map(finished));
    expect(connector.pool.idleCount).toBe(1);
  });

  test("those for whom the origin has no room get connections of their own", async () => {
    const { origin, open } = await countingOrigin({ [MAX_CONCURRENT_STREAMS]: 10 });
    await using _ = origin;
    const sessions = await Promise.all(Array.from({ length: 35 }, () => sessionTo(h2c(origin))));
    expect(origin.connections).toHaveLength(4);
    const exchanges = sessions.map((session) => ask(session));
    open();
    await Promise.all(exchanges.map(finished));
    expect(connector.pool.idleCount).toBe(4);
  });

  test("maxH2Streams 1 shares none at the same time, and uses each again", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    const peer = h2c(origin, { maxH2Streams: 1 });
    const first = await sessionTo(peer);
    expect(connector.reuse(peer)).toBeUndefined();
    await finished(ask(first));
    for (let again = 0; again < 3; again++) {
      const next = connector.reuse(peer)!;
      expect([next.reused, next.digest === first.digest]).toEqual([true, true]);
      await finished(ask(next));
    }
    expect(origin.connections).toHaveLength(1);
  });

  test("maxH2Streams 3 takes three; a fourth waits for none of them but opens its own", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    const peer = h2c(origin, { maxH2Streams: 3 });
    const three = [await sessionTo(peer), await sessionTo(peer), await sessionTo(peer)];
    expect(connector.reuse(peer)).toBeUndefined();
    const fourth = await connector.connect(peer);
    expect([fourth.reused, fourth.digest === three[0]!.digest]).toEqual([false, false]);
    expect(origin.connections).toHaveLength(2);
    // A stream that ends makes room; the connection that was first is first.
    three[1]!.destroy();
    const next = connector.reuse(peer)!;
    expect(next.digest).toBe(three[0]!.digest);
    const exchanges = [three[0]!, three[2]!, fourth, next].map((session) => ask(session));
    open();
    await Promise.all(exchanges.map(finished));
    expect(connector.pool.idleCount).toBe(2);
  });

  test("who waits gets a stream that ends in time, when no other connection can be had", async () => {
    await using origin = await FrameOrigin.start(
      async (connection, index) => {
        if (index > 0) return;
        for (;;) connection.send(ok(await connection.request()));
      },
      { [MAX_CONCURRENT_STREAMS]: 1 },
    );
    let opened = 0;
    const connectStream: PeerOptions["connectStream"] = async (peer, signal) => {
      if (opened++ === 0) return connectSocket(peer.address, {}, signal);
      return await new Promise(() => undefined);
    };
    const peer = h2c(origin, { connectStream });
    const first = await sessionTo(peer);
    const waiting = connector.connect(peer);
    await eventually(() => opened === 2);
    await finished(ask(first));
    const second = await waiting;
    expect([second.reused, second.digest === first.digest]).toEqual([true, true]);
    await finished(ask(second));
  });

  test("streams that the origin resets leave as much room as they had taken", async () => {
    await using origin = await FrameOrigin.start(
      async (connection) => {
        for (;;) connection.send(reset(await connection.request(), constants.NGHTTP2_REFUSED_STREAM));
      },
      { [MAX_CONCURRENT_STREAMS]: 2 },
    );
    const peer = h2c(origin);
    for (let again = 0; again < 3; again++) {
      const { error, session } = await ask(await sessionTo(peer)).over;
      expect(error).toMatchObject({ type: "H2Error" });
      session.destroy();
    }
    const held = [connector.reuse(peer)!, connector.reuse(peer)!];
    expect(connector.reuse(peer)).toBeUndefined();
    for (const session of held) session.destroy();
    expect(origin.connections).toHaveLength(1);
  });

  test("the origin may lower its limit at any time, and raise it", async () => {
    const { origin, open } = await countingOrigin({ [MAX_CONCURRENT_STREAMS]: 3 });
    await using _ = origin;
    const peer = h2c(origin);
    const first = await sessionTo(peer);
    const connection = await origin.connection();
    connection.send(settingsFrame({ [MAX_CONCURRENT_STREAMS]: 1 }));
    await eventually(() => {
      const session = connector.reuse(peer);
      session?.destroy();
      return session === undefined;
    });
    connection.send(settingsFrame({ [MAX_CONCURRENT_STREAMS]: 2 }));
    let second: ClientSession | undefined;
    await eventually(() => (second = connector.reuse(peer)) !== undefined);
    open();
    await Promise.all([first, second!].map((session) => finished(ask(session))));
    expect(origin.connections).toHaveLength(1);
  });

  test("a limit that was lowered before a request was sent holds for it: it is not sent, and may be elsewhere", async () => {
    const { origin, open } = await countingOrigin({ [MAX_CONCURRENT_STREAMS]: 3 });
    await using _ = origin;
    const peer = h2c(origin);
    const held = [await sessionTo(peer), await sessionTo(peer)];
    const connection = await origin.connection();
    connection.send(settingsFrame({ [MAX_CONCURRENT_STREAMS]: 1 }));
    await eventually(() => {
      const session = connector.reuse(peer);
      session?.destroy();
      return session === undefined;
    });
    const [first, second] = held.map((session) => ask(session));
    expect((await second!.over).error).toMatchObject({ type: "H2Error", retry: true });
    held[1]!.destroy();
    open();
    await finished(first!);
    expect(connection.heard.filter(({ type }) => type === HEADERS)).toHaveLength(1);
  });

  test("an origin that allows no streams at all is an error that says so", async () => {
    await using origin = await FrameOrigin.start(undefined, { [MAX_CONCURRENT_STREAMS]: 0 });
    await expect(connector.connect(h2c(origin))).rejects.toMatchObject({
      type: "H2Error",
      source: "upstream",
      context: expect.stringContaining("allows no streams"),
    });
    await (await origin.connection()).whenClosed();
  });

  test("peers of other groups, limits or protocols share none", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    await finished(ask(await sessionTo(h2c(origin))));
    expect(connector.reuse(h2c(origin, { group: "other" }))).toBeUndefined();
    expect(connector.reuse(h2c(origin, { maxH2Streams: 7 }))).toBeUndefined();
    expect(connector.reuse(new HttpPeer(origin.address))).toBeUndefined();
    const same = connector.reuse(h2c(origin, { h2PingIntervalMs: 1000, readMs: 1, maxRequests: 9 }))!;
    expect(same.reused).toBe(true);
    same.destroy();
  });
});

describe("the end of a connection", () => {
  test("maxRequests closes it behind the last, and the next gets another", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    const peer = h2c(origin, { maxRequests: 2 });
    const first = await sessionTo(peer);
    const second = connector.reuse(peer)!;
    expect(connector.reuse(peer)).toBeUndefined();
    await Promise.all([finished(ask(first)), finished(ask(second))]);
    const connection = await origin.connection();
    expect((await connection.find(isGoaway)).payload.readUInt32BE(4)).toBe(0);
    await connection.whenClosed();
    const third = await sessionTo(peer);
    expect(third.reused).toBe(false);
    await finished(ask(third));
  });

  test("GOAWAY lets those it names finish, sends those above it away, and takes no more", async () => {
    await using origin = await FrameOrigin.start(async (connection, index) => {
      const first = await connection.request();
      if (index > 0) return connection.send(ok(first, "new"));
      await connection.request();
      connection.send(head(first, { ":status": "200" }), goaway(first));
      await new Promise((resolve) => setTimeout(resolve, 20));
      return connection.send(data(first, "old", true));
    });
    const peer = h2c(origin);
    const first = ask(await sessionTo(peer));
    const second = ask(connector.reuse(peer)!);
    const { error } = await second.over;
    expect(error).toMatchObject({ type: "H2Error", retry: true });
    expect(connector.reuse(peer)).toBeUndefined();
    const third = await sessionTo(peer);
    expect((await finished(ask(third))).body).toBe("new");
    expect((await finished(first)).body).toBe("old");
    await origin.connections[0]!.whenClosed();
    expect(origin.connections).toHaveLength(2);
  });

  test("GOAWAY with an error lets the others on the connection fail as well, each with its own verdict", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      const first = await connection.request();
      await connection.request();
      connection.send(goaway(first, NGHTTP2_ENHANCE_YOUR_CALM));
    });
    const peer = h2c(origin);
    const first = ask(await sessionTo(peer));
    const second = ask(connector.reuse(peer)!);
    const errors = [(await first.over).error!, (await second.over).error!];
    expect(errors.map(({ type, retry }) => [type, retry])).toEqual([
      ["H2Error", "reusedOnly"],
      ["H2Error", true],
    ]);
  });

  test("GOAWAY, or the end, of an idle connection takes it out of the pool", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    const peer = h2c(origin);
    for (const leave of [
      (connection: FrameConnection) => connection.send(goaway(1)),
      (connection: FrameConnection) => connection.socket.end(),
      (connection: FrameConnection) => connection.socket.resetAndDestroy(),
    ]) {
      await finished(ask(await sessionTo(peer)));
      expect(connector.pool.idleCount).toBe(1);
      const connection = origin.connections.at(-1)!;
      leave(connection);
      await eventually(() => connector.pool.idleCount === 0);
      await connection.whenClosed();
    }
    expect(origin.connections).toHaveLength(3);
  });

  test("a session whose connection ended before its request was sent says that nothing was sent", async () => {
    await using origin = await FrameOrigin.start();
    const peer = h2c(origin);
    const session = await sessionTo(peer);
    const connection = await origin.connection();
    connection.socket.resetAndDestroy();
    await eventually(() => connector.reuse(peer) === undefined);
    const { error } = await ask(session, { method: "POST", bytes: "body" }).over;
    expect(error).toMatchObject({ type: "ConnectionClosed", retry: true, source: "upstream" });
    expect(error!.message).toContain("before the request was sent");
  });

  test("all requests in flight fail when it is lost", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      for (let count = 0; count < 5; count++) await connection.request();
      connection.socket.resetAndDestroy();
    });
    const peer = h2c(origin);
    const exchanges: Exchange[] = [];
    for (let count = 0; count < 5; count++) exchanges.push(ask(await sessionTo(peer)));
    for (const { over } of exchanges) {
      expect((await over).error).toMatchObject({ type: "ReadError", retry: "reusedOnly", source: "upstream" });
    }
  });

  test("idleMs closes it when it is idle for so long; 0 at once", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    await finished(ask(await sessionTo(h2c(origin, { idleMs: 20 }))));
    expect(connector.pool.idleCount).toBe(1);
    await (await origin.connection(0)).whenClosed();
    expect(connector.pool.idleCount).toBe(0);
    await finished(ask(await sessionTo(h2c(origin, { idleMs: 0 }))));
    expect(connector.pool.idleCount).toBe(0);
    await (await origin.connection(1)).whenClosed();
  });

  test("closing the connector says GOAWAY on idle ones, and on others when they are through", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    const peer = h2c(origin);
    const busy = ask(await sessionTo(peer));
    const idle = await sessionTo(h2c(origin, { group: "idle" }));
    idle.destroy();
    connector.close();
    const second = await origin.connection(1);
    expect((await second.find(isGoaway)).payload.readUInt32BE(4)).toBe(0);
    await second.whenClosed();
    open();
    expect((await finished(busy)).body).toBe("ok");
    await (await origin.connection(0)).find(isGoaway);
    await origin.connections[0]!.whenClosed();
  });

  test("one that takes no streams any more while it is idle is closed by the next request", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      connection.send(ok(await connection.request()));
    });
    await finished(ask(await sessionTo(h2c(origin))));
    const first = await origin.connection(0);
    first.send(settingsFrame({ [MAX_CONCURRENT_STREAMS]: 0 }));
    await eventually(() => first.heard.filter(({ type, flags }) => type === SETTINGS && flags === ACK).length === 2);
    const next = await sessionTo(h2c(origin));
    expect(origin.connections).toHaveLength(2);
    await first.find(isGoaway);
    await first.whenClosed();
    next.destroy();
  });

  test("an origin that keeps its side open does not keep the connection", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      connection.send(ok(await connection.request()));
    });
    // The origin's socket is half-open and never ends by itself.
    const over = new Promise<string>((resolve) => {
      const stop = observe(upstreamChannels.closed, ({ reason, address }) => {
        if (address === origin.address) resolve((stop(), reason));
      });
    });
    await finished(ask(await sessionTo(h2c(origin))));
    connector.close();
    expect(await over).toBe("pool-closed");
  });
});

describe("PING", () => {
  test("that is not answered kills the connection, and its streams say why", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      connection.answersPing = false;
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const exchange = ask(await sessionTo(h2c(origin, { h2PingIntervalMs: 30_000 })));
    vi.advanceTimersByTime(30_000);
    await (await origin.connection()).find(isPing);
    vi.advanceTimersByTime(5000);
    const { error } = await exchange.over;
    expect(error).toMatchObject({ type: "PingTimedout", source: "upstream", retry: "reusedOnly" });
    expect(error!.message).toContain("did not answer an HTTP/2 PING within 5000 ms");
  });

  test("that is answered keeps it, idle or not", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    open();
    const peer = h2c(origin, { h2PingIntervalMs: 5 });
    await finished(ask(await sessionTo(peer)));
    const connection = await origin.connection();
    await connection.find(() => connection.heard.filter(isPing).length >= 5);
    expect(connector.pool.idleCount).toBe(1);
  });

  test("that is not answered while it is idle takes it out of the pool", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      connection.send(ok(await connection.request()));
      connection.answersPing = false;
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    await finished(ask(await sessionTo(h2c(origin, { h2PingIntervalMs: 30_000 }))));
    vi.advanceTimersByTime(30_000);
    const connection = await origin.connection();
    await connection.find(isPing);
    expect(connector.pool.idleCount).toBe(1);
    vi.advanceTimersByTime(5000);
    await connection.whenClosed();
    expect(connector.pool.idleCount).toBe(0);
  });

  test("asks after a request that timed out, and others get no stream until it is answered", async () => {
    await using origin = await FrameOrigin.start(async (connection) => {
      connection.answersPing = false;
      for (;;) await connection.request();
    });
    const peer = h2c(origin, { readMs: 30 });
    const patient = ask(await sessionTo(h2c(origin)));
    const hasty = ask(connector.reuse(peer)!);
    expect((await hasty.over).error).toMatchObject({ type: "ReadTimedout" });
    const connection = await origin.connection();
    const ping = await connection.find(isPing);
    expect(connector.reuse(peer)).toBeUndefined();
    connection.send(Buffer.from([0, 0, 8, PING, 1, 0, 0, 0, 0]), ping.payload);
    let next: ClientSession | undefined;
    await eventually(() => (next = connector.reuse(peer)) !== undefined);
    next!.destroy();
    patient.session.destroy();
  });
});

describe("connecting", () => {
  test("to what speaks HTTP/1 is a handshake error that says so, and no request was sent", async () => {
    await using server = await tcpServer((socket) =>
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    );
    await expect(connector.connect(h2c(server))).rejects.toMatchObject({
      type: "HandshakeError",
      source: "upstream",
      message: expect.stringContaining("HTTP/1 instead of a frame of HTTP/2") as string,
    });
  });

  test("to what says nothing ends with connectMs, and the error says that it was connected to", async () => {
    await using origin = await FrameOrigin.silent();
    const peer = h2c(origin, { connectMs: 40 });
    await expect(connector.connect(peer)).rejects.toMatchObject({
      type: "ConnectTimedout",
      source: "upstream",
      detail: "http2-silent",
      context: `${origin.address} is connected, and did not begin to speak HTTP/2 within 40 ms`,
    });
    await (await origin.connection()).whenClosed();
  });

  test("by TLS to what says nothing: the error says that the handshake took too long", async () => {
    const tls: Pick<TlsProvider, "connect"> = {
      connect: (_socket, _peer, { signal }) =>
        new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error))),
    };
    const secured = new HttpConnector({ tls });
    await using server = await tcpServer();
    const peer = new HttpPeer(server.address, { tls: true, minHttpVersion: 2, connectMs: 40 });
    await expect(secured.connect(peer)).rejects.toMatchObject({
      type: "ConnectTimedout",
      detail: "tls-silent",
      context: expect.stringContaining("is connected, and did not complete the TLS handshake within 40 ms") as string,
    });
  });

  test("to a connection all of whose streams are in use: the error says so", async () => {
    const { origin, open } = await countingOrigin({ [MAX_CONCURRENT_STREAMS]: 1 });
    await using _ = origin;
    const peer = h2c(origin, { connectMs: 40, maxH2Streams: 1 });
    const first = ask(await connector.connect(peer));
    // The second connection of this peer would take it; here none is to come.
    vi.spyOn(connector, "openAny").mockReturnValue(new Promise(() => undefined));
    await expect(connector.connect(peer)).rejects.toMatchObject({ type: "ConnectTimedout", detail: "no-stream" });
    open();
    await first.over;
    first.session.destroy();
    vi.restoreAllMocks();
  });

  test("in vain is told as a connection that failed, and not as one that was closed besides", async () => {
    await using server = await tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    using log = new EventLog(...Object.values(upstreamChannels));
    await expect(connector.connect(h2c(server))).rejects.toMatchObject({ type: "HandshakeError" });
    server.sockets[0]?.destroy();
    await turn();
    const { address } = server;
    // Connections of other tests may close meanwhile.
    const ours = log.events.filter(({ message }) => message["address"] === address);
    expect(ours.map(({ channel }) => channel.split(":").at(-1))).toEqual(["connect-start", "connect-failed"]);
  });

  test.for([
    ["ends it", (connection: FrameConnection) => connection.socket.end()],
    ["resets it", (connection: FrameConnection) => connection.socket.resetAndDestroy()],
  ] as const)("that the upstream %s in the middle of an exchange is closed for that", async ([, end]) => {
    await using origin = await FrameOrigin.start(async (connection) => {
      await connection.request();
      end(connection);
    });
    using log = new EventLog(...Object.values(upstreamChannels));
    const { session, over } = ask(await connector.connect(h2c(origin)));
    await over;
    session.destroy();
    const { address } = origin;
    await eventually(() => log.messages("closed").some((message) => message["address"] === address));
    expect(log.messages("closed").find((message) => message["address"] === address)).toMatchObject({
      reason: "exchange",
      requests: 1,
    });
  });

  test("to what refuses tells each who waits, each its own error", async () => {
    const server = await tcpServer();
    const { address } = server;
    await server[Symbol.asyncDispose]();
    const peer = new HttpPeer(address, { minHttpVersion: 2 });
    const results = await Promise.allSettled([1, 2, 3].map(() => connector.connect(peer)));
    const errors = results.map((result) => (result as PromiseRejectedResult).reason as Error);
    expect(errors.map((error) => (error as { type?: string }).type)).toEqual(Array(3).fill("ConnectRefused"));
    expect(new Set(errors).size).toBe(3);
  });

  test("goes on when the client who began it leaves and others wait; ends when nobody does", async () => {
    await using origin = await FrameOrigin.silent();
    const peer = h2c(origin);
    const [first, second] = [new AbortController(), new AbortController()];
    const leaving = connector.connect(peer, first.signal);
    const staying = connector.connect(peer, second.signal);
    const connection = await origin.connection();
    first.abort(new Error("left"));
    await expect(leaving).rejects.toThrow("left");
    connection.send(settingsFrame());
    const session = await staying;
    expect(origin.connections).toHaveLength(1);
    session.destroy();

    await using other = await FrameOrigin.silent();
    const third = new AbortController();
    const alone = connector.connect(h2c(other), third.signal);
    const opened = await other.connection();
    third.abort(new Error("left too"));
    await expect(alone).rejects.toThrow("left too");
    await opened.whenClosed();
  });

  test("of one who comes when the last who waited has just left does not fail by that", async () => {
    const { origin, open } = await countingOrigin();
    await using _ = origin;
    const peer = h2c(origin);
    const first = new AbortController();
    const leaving = connector.connect(peer, first.signal);
    leaving.catch(() => undefined);
    first.abort(new Error("left"));
    const staying = connector.connect(peer, undefined);
    await expect(leaving).rejects.toThrow("left");
    open();
    await finished(ask(await staying));
    await turn();
    expect(connector.pool.idleCount).toBe(1);
  });

  test("with a signal that is aborted opens nothing", async () => {
    await using origin = await FrameOrigin.start();
    await expect(connector.connect(h2c(origin), AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(origin.connections).toHaveLength(0);
  });

  test("takes any stream, one that is no socket as well", async () => {
    await using origin = await nodeH2Origin((stream) => {
      stream.respond({ ":status": 200 });
      stream.end("by a tunnel");
    });
    const connectStream: PeerOptions["connectStream"] = async () => {
      const { local, remote } = streamPair();
      origin.server.emit("connection", remote);
      return local;
    };
    const exchange = await finished(ask(await sessionTo(h2c(origin, { connectStream }))));
    expect(exchange.body).toBe("by a tunnel");
  });
});

describe("choosing the protocol by ALPN", () => {
  /** TLS without encryption: what is asked here is what is offered, and what is made of the answer. */
  function fakeTls(chooses: (alpn: readonly string[]) => string | undefined) {
    const offers: string[][] = [];
    const provider: Pick<TlsProvider, "connect"> = {
      connect: async (stream, _peer, { alpn = [] }) => {
        offers.push([...alpn]);
        return { stream, digest: { version: "TLSv1.3", cipher: "none", alpn: chooses(alpn) } };
      },
    };
    return { provider, offers };
  }

  const H1_OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1";

  function bilingual(): Promise<FrameOrigin> {
    return FrameOrigin.bilingual(H1_OK, async (connection) => {
      for (;;) connection.send(ok(await connection.request(), "h2"));
    });
  }

  function tlsPeer(origin: { readonly address: string }, options: PeerOptions = {}): HttpPeer {
    return new HttpPeer(origin.address, { tls: true, sni: "a.test", maxHttpVersion: 2, ...options });
  }

  test("offers what the versions allow", async () => {
    await using origin = await bilingual();
    const { provider, offers } = fakeTls((alpn) => alpn[0]);
    connector = new HttpConnector({ tls: provider });
    for (const options of [{ maxHttpVersion: 1 }, {}, { minHttpVersion: 2 }] as PeerOptions[]) {
      const exchange = await finished(ask(await sessionTo(tlsPeer(origin, options))));
      expect(exchange.body).toBe(options.maxHttpVersion === 1 ? "h1" : "h2");
    }
    expect(offers).toEqual([["http/1.1"], ["h2", "http/1.1"], ["h2"]]);
  });

  test("an origin that chooses HTTP/1 gets a connection for each, and is not waited for again", async () => {
    await using origin = await bilingual();
    const { provider, offers } = fakeTls(() => "http/1.1");
    connector = new HttpConnector({ tls: provider });
    const peer = tlsPeer(origin);
    const sessions = await Promise.all([1, 2, 3].map(() => sessionTo(peer)));
    await eventually(() => origin.connections.length === 3);
    const exchanges = await Promise.all(sessions.map((session) => finished(ask(session))));
    expect(exchanges.map(({ body }) => body)).toEqual(["h1", "h1", "h1"]);
    // Idle ones are used, and what is opened from now on offers nothing else.
    const again = [1, 2, 3, 4].map(() => sessionTo(peer));
    for (const session of await Promise.all(again)) await finished(ask(session));
    expect(offers).toEqual([["h2", "http/1.1"], ["http/1.1"], ["http/1.1"], ["http/1.1"]]);
  });

  test.each([undefined, "http/1.1"])(
    "HTTP/2 that is demanded and answered by %s is an error that says so",
    async (alpn) => {
      await using origin = await bilingual();
      connector = new HttpConnector({ tls: fakeTls(() => alpn).provider });
      await expect(connector.connect(tlsPeer(origin, { minHttpVersion: 2 }))).rejects.toMatchObject({
        type: "HandshakeError",
        source: "upstream",
        context: expect.stringMatching(/minHttpVersion 2.*ALPN/),
      });
      await (await origin.connection()).whenClosed();
    },
  );

  test("a WebSocket goes by HTTP/1 where HTTP/2 has no extended CONNECT, and others stay on HTTP/2", async () => {
    await using origin = await bilingual();
    const { provider, offers } = fakeTls((alpn) => alpn[0]);
    connector = new HttpConnector({ tls: provider });
    const peer = tlsPeer(origin);
    // Nobody knows yet.
    const first = await sessionTo(peer, "websocket");
    expect((await finished(ask(first))).body).toBe("h1");
    expect(offers).toEqual([["h2", "http/1.1"], ["http/1.1"]]);
    const held = await sessionTo(peer);
    const upgrading = await connector.connect(peer, undefined, "websocket");
    expect((await finished(ask(upgrading))).body).toBe("h1");
    const other = await connector.connect(peer, undefined, "spdy/9");
    expect((await finished(ask(other))).body).toBe("h1");
    expect((await finished(ask(held))).body).toBe("h2");
  });

  test("HTTP_1_1_REQUIRED makes the request go again, by HTTP/1, and those after it", async () => {
    await using origin = await FrameOrigin.bilingual(H1_OK, async (connection) => {
      connection.send(reset(await connection.request(), NGHTTP2_HTTP_1_1_REQUIRED));
    });
    const { provider, offers } = fakeTls((alpn) => alpn[0]);
    connector = new HttpConnector({ tls: provider });
    const peer = tlsPeer(origin);
    const { error } = await ask(await sessionTo(peer), { method: "POST", bytes: "x" }).over;
    expect(error).toMatchObject({ type: "H2Downgrade", retry: true });
    expect((await finished(ask(await sessionTo(peer)))).body).toBe("h1");
    expect(offers).toEqual([["h2", "http/1.1"], ["http/1.1"]]);
    // Who insists is not answered otherwise.
    const insisting = tlsPeer(origin, { minHttpVersion: 2 });
    const refused = await ask(await sessionTo(insisting)).over;
    expect(refused.error).toMatchObject({ type: "H2Downgrade", retry: false });
  });
});

test("the channels tell of one connection, and of every request on it", async () => {
  const { origin, open } = await countingOrigin();
  await using _ = origin;
  open();
  const told: unknown[][] = [];
  const { connectStart, connected, pooled, closed } = upstreamChannels;
  const stops = [
    observe(connectStart, () => told.push(["start"])),
    observe(connected, ({ reused, digest }) => told.push(["connected", reused, digest.remoteAddress])),
    observe(pooled, () => told.push(["pooled"])),
    observe(closed, ({ address, reason, requests, bytesRead }) => {
      if (address === origin.address) told.push(["closed", reason, requests, bytesRead! > 0]);
    }),
  ];
  try {
    const peer = h2c(origin);
    const [first, second] = await Promise.all([sessionTo(peer), sessionTo(peer)]);
    await Promise.all([finished(ask(first)), finished(ask(second))]);
    await finished(ask(connector.reuse(peer)!));
    connector.close();
    await eventually(() => told.at(-1)![0] === "closed");
    expect(told).toEqual([
      ["start"],
      ["connected", false, origin.address],
      ["connected", true, origin.address],
      ["pooled"],
      ["connected", true, origin.address],
      ["pooled"],
      ["closed", "pool-closed", 3, true],
    ]);
  } finally {
    for (const stop of stops) stop();
  }
});
