import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RequestHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { seeResponse, type SeenResponse } from "../../test/harness.ts";
import { tcpServer, type TestServer } from "../../test/net-harness.ts";
import type { ClientSession } from "../http/client-session.ts";
import { configureLogs } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { connectSocket } from "../net/connect.ts";
import { streamPair, turn, type StreamPair } from "../testing/index.ts";
import type { ConnectStream } from "./connect-stream.ts";
import { HttpConnector } from "./http-connector.ts";
import { HttpPeer } from "./http-peer.ts";
import type { TlsProvider } from "../tls/tls-provider.ts";

beforeEach(() => configureLogs({ levels: "silent" }));
afterEach(() => void vi.useRealTimers());

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** An origin that answers every read with `response`. */
function origin(response = OK): Promise<TestServer> {
  return tcpServer((socket) => socket.on("data", () => socket.write(response)));
}

/** Sends a request and waits for the response to end or fail. */
function exchange(session: ClientSession): Promise<SeenResponse> {
  return new Promise((resolve) => {
    const seen = seeResponse();
    const { onResponseEnd, onUpstreamError } = seen;
    seen.onResponseEnd = (trailers) => (onResponseEnd(trailers), resolve(seen));
    seen.onUpstreamError = (error) => (onUpstreamError(error), resolve(seen));
    session.writeRequest(RequestHeader.build("GET", "/", { Host: "a.test" }), "none", seen);
    session.flush();
  });
}

async function warm(connector: HttpConnector, peer: HttpPeer): Promise<ClientSession> {
  const session = await connector.connect(peer);
  const seen = await exchange(session);
  expect(seen.body).toBe("ok");
  session.release();
  return session;
}

/** Resolves when `check` holds; the events of real sockets come in turns of the loop, not at a time. */
async function eventually(check: () => boolean): Promise<void> {
  for (let turns = 0; turns < 100_000 && !check(); turns++) await turn();
  expect(check()).toBe(true);
}

describe("reuse", () => {
  test("nothing is there to reuse at first", async () => {
    await using server = await origin();
    expect(new HttpConnector().reuse(new HttpPeer(server.address))).toBeUndefined();
  });

  test("a connection is used again after a clean exchange, and says so", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address);
    const first = await connector.connect(peer);
    expect(first.reused).toBe(false);
    await exchange(first);
    first.release();
    const second = connector.reuse(new HttpPeer(server.address))!;
    expect(second).toBe(first);
    expect(second.reused).toBe(true);
    expect((await exchange(second)).body).toBe("ok");
    second.release();
    expect(server.sockets).toHaveLength(1);
    connector.close();
  });

  test("a connection serves as many requests as its peer allows", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address, { maxRequests: 2 });
    await warm(connector, peer);
    const second = connector.reuse(peer)!;
    await exchange(second);
    second.release();
    expect(connector.reuse(peer)).toBeUndefined();
    connector.close();
  });

  test("one in use is not given to another", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address);
    await warm(connector, peer);
    expect(connector.reuse(peer)).toBeDefined();
    expect(connector.reuse(peer)).toBeUndefined();
  });

  test("peers that an origin could tell apart share none", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    await warm(connector, new HttpPeer(server.address));
    expect(connector.reuse(new HttpPeer(server.address, { group: "b" }))).toBeUndefined();
    expect(connector.reuse(new HttpPeer(server.address, { bindTo: "127.0.0.1" }))).toBeUndefined();
    expect(connector.reuse(new HttpPeer(server.address))).toBeDefined();
  });

  test("a connection that the origin closed while idle is noticed and not given out", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address);
    await warm(connector, peer);
    expect(connector.pool.idleCount).toBe(1);
    (await server.accepted()).end();
    await eventually(() => connector.pool.idleCount === 0);
    expect(connector.reuse(peer)).toBeUndefined();
    expect(connector.pool.unexpectedData.idle).toBe(0);
  });

  test("a connection that the origin reset while idle is noticed", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    await warm(connector, new HttpPeer(server.address));
    (await server.accepted()).resetAndDestroy();
    await eventually(() => connector.pool.idleCount === 0);
    expect(connector.pool.unexpectedData.idle).toBe(0);
  });

  test("a connection on which the origin speaks while idle is dropped, and counted", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address);
    await warm(connector, peer);
    (await server.accepted()).write("HTTP/1.1 408 Request Timeout\r\n\r\n");
    await eventually(() => connector.pool.idleCount === 0);
    expect(connector.pool.unexpectedData.idle).toBe(1);
    expect(connector.reuse(peer)).toBeUndefined();
  });

  test("surplus bytes behind a response close the connection", async () => {
    await using server = await origin(`${OK}surplus`);
    const connector = new HttpConnector();
    const session = await connector.connect(new HttpPeer(server.address));
    expect((await exchange(session)).body).toBe("ok");
    session.release();
    expect(connector.pool.idleCount).toBe(0);
  });

  test("idleMs 0 keeps nothing", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    await warm(connector, new HttpPeer(server.address, { idleMs: 0 }));
    expect(connector.pool.idleCount).toBe(0);
    await eventually(() => server.sockets[0]!.readableEnded);
  });

  test("maxIdle 0 keeps nothing", async () => {
    await using server = await origin();
    const connector = new HttpConnector({ maxIdle: 0 });
    await warm(connector, new HttpPeer(server.address));
    expect(connector.pool.idleCount).toBe(0);
  });

  test.for([
    [{ idleMs: 10_000 }, OK, 10_000],
    [{ idleMs: 60_000 }, OK.replace("\r\n\r\n", "\r\nKeep-Alive: timeout=5\r\n\r\n"), 4000],
    [{ idleMs: 2000 }, OK.replace("\r\n\r\n", "\r\nKeep-Alive: timeout=5\r\n\r\n"), 2000],
  ] as const)(
    "an idle connection is given up after the shorter of idleMs and Keep-Alive less a margin: %j",
    async ([options, response, ms]) => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
      await using server = await origin(response);
      const connector = new HttpConnector();
      const peer = new HttpPeer(server.address, options);
      await warm(connector, peer);
      vi.advanceTimersByTime(ms - 1);
      expect(connector.pool.idleCount).toBe(1);
      vi.advanceTimersByTime(20);
      expect(connector.pool.idleCount).toBe(0);
      expect(connector.reuse(peer)).toBeUndefined();
    },
  );

  test("close closes idle connections, and those in use when their exchange is over", async () => {
    await using server = await origin();
    const connector = new HttpConnector();
    const peer = new HttpPeer(server.address);
    await warm(connector, peer);
    const busy = await connector.connect(peer);
    connector.close();
    expect(connector.pool.idleCount).toBe(0);
    expect((await exchange(busy)).body).toBe("ok");
    busy.release();
    expect(connector.pool.idleCount).toBe(0);
    await eventually(() => server.sockets.every((socket) => socket.readableEnded || socket.destroyed));
  });
});

describe("what was read stays as it was, though the read buffer is used again", () => {
  test("a body that arrives in many reads", async () => {
    const body = Array.from({ length: 40_000 }, (_, n) => String(n).padStart(8, "0")).join("");
    await using server = await tcpServer((socket) =>
      socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)),
    );
    const session = await new HttpConnector().connect(new HttpPeer(server.address));
    const seen = await exchange(session);
    expect(seen.body === body).toBe(true);
    session.destroy();
  });

  test("chunks kept by the session until they are asked for", async () => {
    const chunks = Array.from({ length: 3000 }, (_, n) => String(n).padStart(100, "."));
    const wire = chunks.map((chunk) => `64\r\n${chunk}\r\n`).join("");
    await using server = await tcpServer((socket) =>
      socket.on("data", () =>
        socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${wire}0\r\nA: b\r\n\r\n`),
      ),
    );
    const session = await new HttpConnector().connect(new HttpPeer(server.address));
    const { promise, resolve } = Promise.withResolvers<void>();
    const seen = seeResponse();
    const { onResponseData } = seen;
    let received = 0;
    // Every hundredth chunk, the session waits a turn, while the socket has more to read.
    seen.onResponseData = (chunk) => {
      onResponseData(chunk);
      if (++received % 100 !== 0) return;
      session.pause();
      void turn().then(() => session.resume());
    };
    seen.onResponseEnd = () => resolve();
    session.writeRequest(RequestHeader.build("GET", "/", { Host: "a.test" }), "none", seen);
    session.flush();
    await promise;
    expect(seen.body === chunks.join("")).toBe(true);
    session.destroy();
  });

  test("a head that arrives in pieces", async () => {
    await using server = await tcpServer((socket) => {
      socket.setNoDelay(true);
      socket.once("data", () => {
        void (async () => {
          for (const byte of "HTTP/1.1 200 OK\r\nX-Long: abcdefghijklmnop\r\nContent-Length: 2\r\n\r\nok") {
            await new Promise((done) => socket.write(byte, done));
            await turn();
          }
        })();
      });
    });
    const session = await new HttpConnector().connect(new HttpPeer(server.address));
    const seen = await exchange(session);
    expect(seen.header!.get("x-long")).toBe("abcdefghijklmnop");
    expect(seen.body).toBe("ok");
    session.destroy();
  });
});

describe("connecting", () => {
  test("to nobody: ConnectRefused, and no connection is kept", async () => {
    let address: string;
    {
      await using server = await tcpServer();
      ({ address } = server);
    }
    const connector = new HttpConnector();
    await expect(connector.connect(new HttpPeer(address))).rejects.toMatchObject({
      type: "ConnectRefused",
      source: "upstream",
    });
    expect(connector.pool.idleCount).toBe(0);
  });

  test("stops with its signal", async () => {
    await using server = await origin();
    const reason = new Error("no longer wanted");
    await expect(new HttpConnector().connect(new HttpPeer(server.address), AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
  });

  test("from an address of the list for the family", async () => {
    await using server = await origin();
    const connector = new HttpConnector({ bindToV4: ["127.0.0.3"] });
    const session = await connector.connect(new HttpPeer(server.address));
    expect((await server.accepted()).remoteAddress).toBe("127.0.0.3");
    session.destroy();
    const own = await connector.connect(new HttpPeer(server.address, { bindTo: "127.0.0.4" }));
    expect((await server.accepted()).remoteAddress).toBe("127.0.0.4");
    own.destroy();
  });

  test("knows the addresses of both sides", async () => {
    await using server = await origin();
    const session = await new HttpConnector().connect(new HttpPeer(server.address));
    const socket = await server.accepted();
    expect(session.digest.remoteAddress).toBe(server.address);
    expect(session.digest.localAddress).toBe(`127.0.0.1:${socket.remotePort}`);
    session.destroy();
    expect(session.digest.remoteAddress).toBe(server.address);
  });

  test("limits on response heads are those given", async () => {
    await using server = await origin();
    const connector = new HttpConnector({ headLimits: { maxHeadBytes: 10 } });
    const seen = await exchange(await connector.connect(new HttpPeer(server.address)));
    expect(seen.error?.message).toContain("a head of more than 10 bytes");
    expect(() => new HttpConnector({ headLimits: { maxFields: 0 } })).toThrow(RangeError);
  });
});

describe("a Unix socket", () => {
  test("its path is the address of the upstream; our side has none", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-"));
    const path = join(directory, "origin.sock");
    const server = createServer((socket) => socket.on("data", () => socket.write(OK)));
    server.listen(path);
    await once(server, "listening");
    const session = await new HttpConnector().connect(new HttpPeer(`unix:${path}`));
    expect((await exchange(session)).body).toBe("ok");
    expect(session.digest).toMatchObject({ remoteAddress: `unix:${path}`, localAddress: undefined });
    session.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
});

describe("connectStream", () => {
  /** Answers every read with `OK`, in memory, and counts the streams it gave. */
  function inMemory(): { connectStream: ConnectStream; pairs: StreamPair[] } {
    const pairs: StreamPair[] = [];
    const connectStream: ConnectStream = () => {
      const pair = streamPair();
      pairs.push(pair);
      pair.remote.on("data", () => pair.remote.write(OK, "latin1"));
      return Promise.resolve(pair.local);
    };
    return { connectStream, pairs };
  }

  test("its streams serve, are pooled, and are given only to peers with the same function", async () => {
    const [one, other] = [inMemory(), inMemory()];
    const peer = (connectStream?: ConnectStream): HttpPeer =>
      new HttpPeer("127.0.0.1:1", connectStream === undefined ? {} : { connectStream });
    const connector = new HttpConnector();
    const session = await warm(connector, peer(one.connectStream));
    expect(session.digest.remoteAddress).toBeUndefined();
    expect(connector.reuse(peer(other.connectStream))).toBeUndefined();
    expect(connector.reuse(peer())).toBeUndefined();
    const again = connector.reuse(peer(one.connectStream))!;
    expect([again === session, again.reused]).toEqual([true, true]);
    expect((await exchange(again)).body).toBe("ok");
    again.release();
    expect([one.pairs.length, other.pairs.length]).toEqual([1, 0]);
    connector.close();
    await one.pairs[0]!.flush();
    expect(one.pairs[0]!.local.destroyed).toBe(true);
  });

  test("a stream of it that ends while idle is noticed", async () => {
    const { connectStream, pairs } = inMemory();
    const connector = new HttpConnector();
    await warm(connector, new HttpPeer("127.0.0.1:1", { connectStream }));
    expect(connector.pool.idleCount).toBe(1);
    pairs[0]!.remote.end();
    await pairs[0]!.flush();
    expect(connector.pool.idleCount).toBe(0);
  });

  test("a real socket, which its maker has read from and paused", async () => {
    await using server = await tcpServer((socket) => {
      socket.write("welcome");
      socket.on("data", () => socket.write(OK));
    });
    const connectStream: ConnectStream = async (peer) => {
      const socket = await connectSocket(peer.address);
      const [greeting] = (await once(socket, "data")) as [Buffer];
      expect(greeting.toString()).toBe("welcome");
      socket.removeAllListeners("data").pause();
      return socket;
    };
    const session = await new HttpConnector().connect(new HttpPeer(server.address, { connectStream }));
    expect((await exchange(session)).body).toBe("ok");
    expect(session.digest.remoteAddress).toBe(server.address);
    session.destroy();
  });

  test("TLS is spoken on its stream", async () => {
    const { connectStream, pairs } = inMemory();
    const streams: ByteStream[] = [];
    const digest = { version: "TLSv1.3", cipher: "X", alpn: undefined };
    const tls: Pick<TlsProvider, "connect"> = {
      connect: (stream) => (streams.push(stream), Promise.resolve({ stream, digest })),
    };
    const peer = new HttpPeer("a.test:443", { tls: true, connectStream });
    const session = await new HttpConnector({ tls }).connect(peer);
    expect(streams).toEqual([pairs[0]!.local]);
    expect((await exchange(session)).body).toBe("ok");
  });
});

describe("TLS", () => {
  test.each<[options: unknown, message: string]>([
    [{ tls: true }, "HttpConnector: tls: expected a TLS provider, such as opensslTls(), got true"],
    [{ maxIdel: 1 }, "HttpConnector: unknown option maxIdel; did you mean maxIdle?"],
    [{ bindToV4: "127.0.0.1" }, 'HttpConnector: bindToV4: expected an array of IPv4 addresses, got "127.0.0.1"'],
    [{ bindToV4: ["::1"] }, 'HttpConnector: bindToV4: expected an array of IPv4 addresses, got "::1"'],
    [{ bindToV6: [undefined] }, "HttpConnector: bindToV6: expected an array of IPv6 addresses, got undefined"],
    [{ headLimits: { maxHeadByte: 1 } }, "headLimits: unknown option maxHeadByte; did you mean maxHeadBytes?"],
  ])("options that cannot be: %j", (options, message) => {
    expect(() => new HttpConnector(options as never)).toThrow(message);
  });

  test("without a provider is an error that says what to do, before anything is connected", async () => {
    await using server = await origin();
    const peer = new HttpPeer(server.address, { tls: true, sni: "a.test" });
    await expect(new HttpConnector().connect(peer)).rejects.toMatchObject({
      type: "ConfigError",
      source: "internal",
    });
    await expect(new HttpConnector().connect(peer)).rejects.toThrow(/no TLS provider: install a TLS package/);
    expect(server.sockets).toHaveLength(0);
  });

  test("a provider's stream and digest are used", async () => {
    await using server = await origin();
    const pair = streamPair();
    const digest = { version: "TLSv1.3", cipher: "X", alpn: undefined };
    const peers: HttpPeer[] = [];
    const connector = new HttpConnector({
      tls: {
        connect: (_stream, peer) => {
          peers.push(peer);
          return Promise.resolve({ stream: pair.local, digest });
        },
      },
    });
    const peer = new HttpPeer(server.address, { tls: true, sni: "a.test" });
    const session = await connector.connect(peer);
    expect(session.digest.tls).toBe(digest);
    expect(peers).toEqual([peer]);
    pair.remote.on("data", () => pair.remote.write(OK, "latin1"));
    expect((await exchange(session)).body).toBe("ok");
    session.release();
    expect(connector.pool.idleCountOf(peer.reuseKey)).toBe(1);
    expect(connector.reuse(new HttpPeer(server.address))).toBeUndefined();
    connector.close();
  });

  test("what a provider rejects with is passed on", async () => {
    await using server = await origin();
    const connector = new HttpConnector({ tls: { connect: () => Promise.reject(new Error("bad certificate")) } });
    await expect(connector.connect(new HttpPeer(server.address, { tls: true }))).rejects.toThrow("bad certificate");
  });
});

test("retire: connections to a peer close, the idle at once and the one in use when it is done; others stay", async () => {
  await using gone = await origin();
  await using stays = await origin();
  const connector = new HttpConnector();
  const [peer, other] = [new HttpPeer(gone.address), new HttpPeer(stays.address)];
  await warm(connector, other);
  const busy = await connector.connect(peer);
  await warm(connector, peer);
  expect(connector.pool.idleCount).toBe(2);
  connector.retire(peer);
  expect(connector.pool.idleCountOf(peer.reuseKey)).toBe(0);
  expect((await exchange(busy)).body).toBe("ok");
  busy.release();
  expect([connector.pool.idleCountOf(peer.reuseKey), connector.pool.idleCount]).toEqual([0, 1]);
  connector.close();
});
