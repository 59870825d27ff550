import { mkdtempSync, rmSync } from "node:fs";
import { connect, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResponseHeader } from "@sluice/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { tcpClient, type TestClient } from "../../test/net-harness.ts";
import { connectionChannels } from "../diagnostics.ts";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { HttpApp, ServerSession } from "../http/server-session.ts";
import { AcceptGate } from "../listeners/accept-gate.ts";
import { configureLogs } from "../log/logger.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { EventLog } from "../testing/index.ts";
import { HttpService } from "./http-service.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const RESPONSE = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nok";
const whole = (text: string): boolean => text.includes("\r\n\r\nok");

let log: EventLog;
const stopping: (() => Promise<void>)[] = [];

beforeEach(() => {
  configureLogs({ levels: "silent" });
  log = new EventLog(...Object.values(connectionChannels));
});

afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop();
  log[Symbol.dispose]();
});

function reply(session: ServerSession): void {
  session.writeHeader(ResponseHeader.build(200, { Date: "now", "Content-Length": 2 }), false);
  session.writeBody(Buffer.from("ok"));
  session.finish();
}

/** What `direct` has served. */
let digests: ConnectionDigest[];

const direct: HttpApp = {
  handleRequest: (session) => {
    digests.push(session.digest);
    reply(session);
    return Promise.resolve();
  },
};

interface Running {
  readonly service: HttpService;
  readonly address: string;
}

async function start(app: HttpApp = direct): Promise<Running> {
  digests = [];
  const service = new HttpService("web", app).listenTcp("127.0.0.1:0");
  await service.start();
  stopping.push(() => service.stop(AbortSignal.abort()));
  return { service, address: service.addresses[0]! };
}

async function served(address: string): Promise<TestClient> {
  const client = await tcpClient(address);
  client.socket.write(GET);
  await client.until(whole);
  return client;
}

test("a connection is told with its service, and at its end with what it did", async () => {
  const { address } = await start();
  using client = await served(address);
  client.socket.write(GET);
  await client.until((text) => text.split("\r\n\r\nok").length === 3);
  const remote = `127.0.0.1:${client.socket.localPort!}`;
  client.socket.end();
  const closed = await log.next("closed");

  expect(log.names).toEqual(["accepted", "closed"]);
  const [accepted] = log.messages("accepted");
  expect(accepted).toStrictEqual({ service: "web", digest: digests[0] });
  // One object, by which listeners know the connection.
  expect([closed["digest"], digests[1]].map((each) => each === accepted!["digest"])).toEqual([true, true]);
  expect(closed).toStrictEqual({
    service: "web",
    digest: accepted!["digest"],
    requests: 2,
    bytesRead: 2 * GET.length,
    bytesWritten: 2 * RESPONSE.length,
    reason: "client",
    error: undefined,
  });
  // Also when nobody asked for them while it was open.
  const digest = closed["digest"] as ConnectionDigest;
  expect([digest.remoteAddress, digest.localAddress]).toEqual([remote, address]);
});

test("without listeners nothing is published", async () => {
  log[Symbol.dispose]();
  const publish = Object.values(connectionChannels).map((channel) => vi.spyOn(channel, "publish"));
  const { service, address } = await start();
  service.setAcceptFilter(() => service.connectionCount === 0);
  using _first = await served(address);
  using second = await tcpClient(address);
  await second.ended;
  await service.stop(AbortSignal.abort());
  for (const each of publish) expect(each).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

describe("a connection ends", () => {
  /** An app that answers a part, then does what `then` does. */
  const half = (then: (session: ServerSession) => void): HttpApp => ({
    handleRequest: async (session) => {
      session.writeHeader(ResponseHeader.build(200, { "Content-Length": 10 }), false);
      session.writeBody(Buffer.from("half"));
      session.flush();
      const gone = Promise.withResolvers<void>();
      session.onGone = () => gone.resolve();
      then(session);
      if (session.error === undefined) await gone.promise;
      session.abort();
    },
  });
  const cases: [reason: string, how: string, run: () => Promise<void>, error?: string][] = [
    [
      "client",
      "by a client that ends it between requests",
      async () => {
        using client = await served((await start()).address);
        client.socket.end();
        await log.next("closed");
      },
    ],
    [
      "client",
      "by a client that leaves in the middle of a request",
      async () => {
        using client = await tcpClient((await start(half(() => undefined))).address);
        client.socket.write(GET);
        await client.until((text) => text.includes("half"));
        client.socket.end();
        await log.next("closed");
      },
    ],
    [
      "error",
      "by a reset",
      async () => {
        const client = await served((await start()).address);
        client.socket.resetAndDestroy();
        await log.next("closed");
      },
      "ECONNRESET",
    ],
    [
      "last-response",
      "by Connection: close",
      async () => {
        using client = await tcpClient((await start()).address);
        client.socket.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        await client.ended;
        client.socket.end();
        await log.next("closed");
      },
    ],
    [
      "last-response",
      "by a request that could not be read",
      async () => {
        const app: HttpApp = {
          handleRequest: async (session) => {
            session.writeHeader(ResponseHeader.build(400), true);
            session.finish();
          },
        };
        using client = await tcpClient((await start(app)).address);
        client.socket.write("GET /\r\n\r\n");
        await client.ended;
        client.socket.end();
        await log.next("closed");
      },
    ],
    [
      "idle-timeout",
      "by keepAliveMs",
      async () => {
        const app: HttpApp = {
          handleRequest: (session) => {
            session.limits.keepAliveMs = 1;
            return direct.handleRequest(session);
          },
        };
        using client = await served((await start(app)).address);
        await client.ended;
        await log.next("closed");
      },
    ],
    [
      "cut",
      "by an app that gives its response up",
      async () => {
        const giveUp = half((session) => session.abort());
        const app: HttpApp = {
          handleRequest: (session) => {
            void giveUp.handleRequest(session);
            return Promise.resolve();
          },
        };
        using client = await tcpClient((await start(app)).address);
        client.socket.write(GET);
        await client.ended;
        await log.next("closed");
      },
    ],
    [
      "server-stop",
      "by a service that stops while it is idle",
      async () => {
        const { service, address } = await start();
        using _client = await served(address);
        await service.stop(AbortSignal.abort());
        await log.next("closed");
      },
    ],
    [
      "server-stop",
      "by a service that stops in the middle of a request",
      async () => {
        const { service, address } = await start(half(() => undefined));
        using client = await tcpClient(address);
        client.socket.write(GET);
        await client.until((text) => text.includes("half"));
        await service.stop(AbortSignal.abort());
        await log.next("closed");
      },
    ],
    [
      "server-stop",
      "by a service that stops, of a tunnel whose client ended its direction",
      async () => {
        const ended = Promise.withResolvers<void>();
        const over = Promise.withResolvers<void>();
        const app: HttpApp = {
          handleRequest: (session) => {
            session.events = {
              onRequestData: () => undefined,
              onRequestBatch: () => undefined,
              onRequestEnd: () => ended.resolve(),
              onDownstreamWritable: () => undefined,
              onDownstreamError: () => over.resolve(),
            };
            session.writeHeader(ResponseHeader.build(101, { Upgrade: "echo/1" }), false);
            session.flush();
            return over.promise;
          },
        };
        const { service, address } = await start(app);
        using client = await tcpClient(address);
        client.socket.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n");
        await client.until((text) => text.includes("\r\n\r\n"));
        client.socket.end();
        await ended.promise;
        await service.stop(AbortSignal.abort());
        await log.next("closed");
      },
    ],
  ];
  test.each(cases)("as %s %s", async (reason, _how, run, error) => {
    await run();
    expect(log.names).toEqual(["accepted", "closed"]);
    const [closed] = log.messages("closed");
    expect([closed!["reason"], (closed!["error"] as NodeJS.ErrnoException | undefined)?.code]).toEqual([reason, error]);
  });
});

describe("a refused connection is told", () => {
  test.for([false, Promise.resolve(false)])("when the filter says no: %s", async (verdict) => {
    const { service, address } = await start();
    service.setAcceptFilter(() => verdict);
    using client = await tcpClient(address);
    const from = `127.0.0.1:${client.socket.localPort!}`;
    await client.ended;
    expect(log.names).toEqual(["rejected"]);
    const message = { service: "web", client: from, listener: "127.0.0.1:0", reason: "filter", error: undefined };
    expect(log.messages("rejected")).toStrictEqual([message]);
  });

  test("when the filter fails, with its error", async () => {
    const { service, address } = await start();
    const failure = new Error("no list");
    service.setAcceptFilter(() => Promise.reject(failure));
    using client = await tcpClient(address);
    await client.ended;
    expect(log.messages("rejected")).toMatchObject([{ reason: "filter-failed", error: failure }]);
    expect(log.names).toEqual(["rejected"]);
  });

  test("when it had left, so that nobody could be asked about it", () => {
    const gate = new AcceptGate(() => undefined, "web");
    const listener = SocketAddress.parse("127.0.0.1:80");
    gate.pass(
      new Socket(),
      () => true,
      listener,
      () => expect.unreachable(),
    );
    expect(log.messages("rejected")).toMatchObject([{ client: undefined, reason: "no-address" }]);
  });

  test("when the service stops before the filter has decided", async () => {
    const { service, address } = await start();
    const asked = Promise.withResolvers<void>();
    service.setAcceptFilter(() => (asked.resolve(), new Promise<boolean>(() => undefined)));
    using client = await tcpClient(address);
    await asked.promise;
    await service.stop(AbortSignal.abort());
    await client.ended;
    expect(log.messages("rejected")).toMatchObject([{ service: "web", reason: "server-stop" }]);
    expect([log.names, service.refusedCount]).toEqual([["rejected"], 0]);
  });

  test("on a Unix socket without an address of the client", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-"));
    const path = join(directory, "s.sock");
    const service = new HttpService("web", direct).listenUnix(path).setAcceptFilter(() => false);
    await service.start();
    const socket = connect(path).on("error", () => undefined);
    expect(await log.next("rejected")).toMatchObject({ client: undefined, listener: `unix:${path}`, reason: "filter" });
    socket.destroy();
    await service.stop(AbortSignal.abort());
    rmSync(directory, { recursive: true });
  });
});
