import { RequestHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { seeResponse, type SeenResponse } from "../../test/harness.ts";
import { tcpServer, type TestServer } from "../../test/net-harness.ts";
import { upstreamChannels } from "../diagnostics.ts";
import type { ClientSession } from "../http/client-session.ts";
import { configureLogs } from "../log/logger.ts";
import { EventLog } from "../testing/index.ts";
import { HttpConnector, type HttpConnectorOptions } from "./http-connector.ts";
import { HttpPeer, type PeerOptions } from "./http-peer.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REQUEST = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

let log: EventLog;
const connectors: HttpConnector[] = [];

beforeEach(() => {
  configureLogs({ levels: "silent" });
  log = new EventLog(...Object.values(upstreamChannels));
});

afterEach(() => {
  for (const connector of connectors.splice(0)) connector.close();
  log[Symbol.dispose]();
});

function connectorWith(options: HttpConnectorOptions = {}): HttpConnector {
  const connector = new HttpConnector(options);
  connectors.push(connector);
  return connector;
}

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

/** A connection that has served one request, and is given back. */
async function used(connector: HttpConnector, peer: HttpPeer): Promise<void> {
  const session = await connector.connect(peer);
  await exchange(session);
  session.release();
}

test("a connection is told from its beginning to its end", async () => {
  await using server = await origin();
  const connector = connectorWith();
  const peer = new HttpPeer(server.address);
  await used(connector, peer);
  const again = connector.reuse(peer)!;
  await exchange(again);
  again.release();
  connector.close();
  await log.next("closed");

  expect(log.names).toEqual(["connect-start", "connected", "pooled", "connected", "pooled", "closed"]);
  const { address } = server;
  const { digest } = again;
  const { pool } = connector;
  const [first] = log.messages("connected");
  const messages = log.events.map(({ message }) => message);
  expect(messages).toStrictEqual([
    { address, peer },
    { address, peer, reused: false, digest, connectMs: expect.any(Number) as number, pool },
    { address, digest },
    { address, peer, reused: true, digest, connectMs: 0, pool },
    { address, digest },
    {
      address,
      digest,
      requests: 2,
      bytesRead: 2 * OK.length,
      bytesWritten: 2 * REQUEST.length,
      reason: "pool-closed",
      error: undefined,
    },
  ]);
  expect(first!["connectMs"]).toBeGreaterThan(0);
  // One object, by which listeners know the connection.
  const told = messages.map((message) => message["digest"]).filter((each) => each !== undefined);
  expect(told.every((each) => each === digest)).toBe(true);
});

test("a connection that cannot be opened is told with its error", async () => {
  const server = await origin();
  const { address } = server;
  await server[Symbol.asyncDispose]();
  const peer = new HttpPeer(address);
  const error: unknown = await connectorWith()
    .connect(peer)
    .catch((thrown: unknown) => thrown);
  expect(log.names).toEqual(["connect-start", "connect-failed"]);
  expect(log.messages("connect-failed")).toStrictEqual([
    { address, peer, error, connectMs: expect.any(Number) as number },
  ]);
  expect(error).toMatchObject({ type: "ConnectRefused", source: "upstream" });
});

test("one that nobody waits for any more is told with the reason for that", async () => {
  await using server = await origin();
  const why = new Error("gone");
  const connecting = connectorWith().connect(new HttpPeer(server.address), AbortSignal.abort(why));
  await expect(connecting).rejects.toBe(why);
  expect(log.names).toEqual(["connect-start", "connect-failed"]);
  expect(log.messages("connect-failed")[0]!["error"]).toBe(why);
});

test("one that lacks a TLS provider is told, too", async () => {
  await using server = await origin();
  const connecting = connectorWith().connect(new HttpPeer(server.address, { tls: true }));
  await expect(connecting).rejects.toThrow("no TLS provider");
  expect(log.names).toEqual(["connect-start", "connect-failed"]);
});

test("without listeners nothing is published", async () => {
  log[Symbol.dispose]();
  const publish = Object.values(upstreamChannels).map((channel) => vi.spyOn(channel, "publish"));
  const server = await origin();
  const connector = connectorWith();
  const peer = new HttpPeer(server.address);
  await used(connector, peer);
  expect((await exchange(connector.reuse(peer)!)).body).toBe("ok");
  await server[Symbol.asyncDispose]();
  await expect(connector.connect(peer)).rejects.toThrow("ECONNREFUSED");
  for (const each of publish) expect(each).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

describe("a connection ends", () => {
  /** A connection to an origin that answers so, in the middle of whose exchange `then` happens. */
  async function during(response: string, then: (session: ClientSession, server: TestServer) => void): Promise<void> {
    await using server = await tcpServer((socket) => socket.once("data", () => socket.write(response)));
    const session = await connectorWith().connect(new HttpPeer(server.address));
    const seen = seeResponse();
    seen.onResponseData = () => then(session, server);
    session.writeRequest(RequestHeader.build("GET", "/", { Host: "a.test" }), "none", seen);
    session.flush();
    await log.next("closed");
  }

  /** One that is idle in the pool, to which `then` happens. */
  async function idle(
    then: (connector: HttpConnector, server: TestServer) => unknown,
    options: HttpConnectorOptions = {},
    peer: PeerOptions = {},
  ): Promise<void> {
    await using server = await origin();
    const connector = connectorWith(options);
    await used(connector, new HttpPeer(server.address, peer));
    await then(connector, server);
    await log.next("closed");
  }

  const HALF = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
  const cases: [reason: string, how: string, pooled: boolean, run: () => Promise<void>][] = [
    [
      "not-reusable",
      "when the upstream has said so",
      false,
      async () => {
        await using server = await origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        await used(connectorWith(), new HttpPeer(server.address));
        await log.next("closed");
      },
    ],
    ["exchange", "when its exchange is given up", false, () => during(HALF, (session) => session.destroy())],
    [
      "exchange",
      "when the upstream breaks off",
      false,
      () => during(HALF, (_, server) => server.sockets[0]!.resetAndDestroy()),
    ],
    [
      "closed",
      "when the upstream closes it while it is idle",
      true,
      () => idle((_, server) => server.sockets[0]!.end()),
    ],
    [
      "unexpected-data",
      "when the upstream speaks while it is idle",
      true,
      () => idle((_, server) => server.sockets[0]!.write("hello?")),
    ],
    [
      "unexpected-data",
      "when the upstream sends more than its response",
      false,
      async () => {
        await using server = await origin(`${OK}surplus`);
        await used(connectorWith(), new HttpPeer(server.address));
        await log.next("closed");
      },
    ],
    ["idle-timeout", "when it was idle for idleMs", true, () => idle(() => undefined, {}, { idleMs: 1 })],
    ["disabled", "when nothing is to be pooled", false, () => idle(() => undefined, {}, { idleMs: 0 })],
    [
      "evicted",
      "when the pool is full",
      true,
      () => {
        const fill = async (connector: HttpConnector, { address }: TestServer): Promise<void> => {
          await used(connector, new HttpPeer(address, { group: "b" }));
          await log.next("closed");
          connector.close();
          await log.next("closed", 2);
        };
        return idle(fill, { maxIdle: 1 });
      },
    ],
  ];
  test.each(cases)("as %s %s", async (reason, _how, pooled, run) => {
    await run();
    const [closed] = log.messages("closed");
    expect([closed!["reason"], closed!["requests"]]).toEqual([reason, 1]);
    expect(log.names.includes("pooled")).toBe(pooled);
  });

  test("as exchange when it was taken for one that came to nothing before anything was sent", async () => {
    await using server = await origin();
    const session = await connectorWith().connect(new HttpPeer(server.address));
    session.destroy();
    expect(await log.next("closed")).toMatchObject({ reason: "exchange", requests: 0 });
  });

  test("a tunnel, too", async () => {
    await using server = await tcpServer((socket) => socket.end("bye"));
    const session = await connectorWith().connect(new HttpPeer(server.address, { tunnel: true }));
    const seen = seeResponse();
    const ended = new Promise<void>((resolve) => (seen.onResponseEnd = () => resolve()));
    session.writeRequest(RequestHeader.build("CONNECT", "a.test:80"), "none", seen);
    await ended;
    session.finishRequest();
    session.release();
    expect(await log.next("closed")).toMatchObject({ requests: 1, bytesRead: 3, bytesWritten: 0 });
    expect(log.names).toEqual(["connect-start", "connected", "closed"]);
  });
});
