import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResponseHeader } from "@sluice/http";
import { beforeEach, describe, expect, test } from "vitest";
import { tcpClient, untilRefused, tcpServer, type TestClient } from "../../test/net-harness.ts";
import type { ConnectionDigest } from "../http/connection-digest.ts";
import type { HttpApp, ServerSession } from "../http/server-session.ts";
import { configureLogs } from "../log/logger.ts";
import { Http2FrameClient, turn } from "../testing/index.ts";
import { HttpService } from "./http-service.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const whole = (text: string): boolean => text.includes("\r\n\r\nok");

function reply(session: ServerSession): void {
  session.writeHeader(ResponseHeader.build(200, { "Content-Length": 2 }), false);
  session.writeBody(Buffer.from("ok"));
  session.finish();
}

/** An app whose requests wait until the test lets them go. */
function gatedApp(): HttpApp & { arrived: Promise<void>; open: () => void } {
  const gate = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  return {
    arrived: arrival.promise,
    open: () => gate.resolve(),
    handleRequest: async (session) => {
      arrival.resolve();
      await gate.promise;
      if (session.error === undefined) reply(session);
    },
  };
}

const direct: HttpApp = {
  handleRequest: (session) => {
    reply(session);
    return Promise.resolve();
  },
};

const patient = (): AbortSignal => new AbortController().signal;

beforeEach(() => configureLogs({ levels: "silent" }));

test("serves requests on all its listeners", async () => {
  const service = new HttpService("web", direct).listenTcp("127.0.0.1:0").listenTcp("127.0.0.1:0");
  await service.start();
  expect(service.addresses).toHaveLength(2);
  for (const address of service.addresses) {
    using client = await tcpClient(address);
    client.socket.write(GET);
    expect(await client.until(whole)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  }
  await service.stop(AbortSignal.abort());
});

test("an app without types may give no promise: what it has not answered by then is cut, and nobody else", async () => {
  const handleRequest = (session: ServerSession): void => {
    if (session.request.target === "/") reply(session);
  };
  const app = { handleRequest: handleRequest as unknown as HttpApp["handleRequest"] };
  const service = new HttpService("web", app, { http2: { h2c: true } }).listenTcp("127.0.0.1:0");
  await service.start();
  const [address] = service.addresses;
  using client = await tcpClient(address!);
  client.socket.write(GET);
  await client.until(whole);
  client.socket.write(GET.replace("/", "/not-answered"));
  await client.ended;
  await using http2 = await Http2FrameClient.connect(address!);
  expect(await http2.settings([]).get(1).status(1)).toBe(200);
  await service.stop(AbortSignal.abort());
});

test("a promise of an app's own that settles again tells nobody else's request as handled", async () => {
  const settle: (() => void)[] = [];
  /** Settles as often as it is told to. */
  class Repeated extends Promise<void> {
    // oxlint-disable-next-line unicorn/no-thenable -- that is the point
    override then<A, B>(done?: ((value: void) => A | PromiseLike<A>) | null): Promise<A | B> {
      settle.push(() => void done?.());
      return new Promise(() => undefined);
    }
  }
  const second = Promise.withResolvers<ServerSession>();
  const handleRequest = (session: ServerSession): Promise<void> => {
    if (settle.length === 0) reply(session);
    else second.resolve(session);
    return Repeated.resolve();
  };
  const service = new HttpService("web", { handleRequest }).listenTcp("127.0.0.1:0");
  await service.start();
  const [address] = service.addresses;
  using first = await tcpClient(address!);
  first.socket.write(GET);
  await expect.poll(() => settle.length).toBe(1);
  settle[0]!();
  await first.until(whole);
  using other = await tcpClient(address!);
  other.socket.write(GET);
  const session = await second.promise;
  await expect.poll(() => settle.length).toBe(2);
  settle[0]!();
  await turn();
  reply(session);
  settle[1]!();
  expect(await other.until(whole)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  await service.stop(AbortSignal.abort());
});

test("a client that resets its connection in the middle of a head is known by its address", async () => {
  const seen: [unknown, unknown][] = [];
  const service = new HttpService("web", {
    handleRequest: async (session) => {
      if (session.error === undefined) reply(session);
      else seen.push([session.digest.remoteAddress, session.error.message]);
    },
  }).listenTcp("127.0.0.1:0");
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  const address = `127.0.0.1:${client.socket.localPort}`;
  // Both have been read when the first is answered: a reset would take with it what has not.
  client.socket.write(`${GET}${GET.slice(0, 20)}`);
  await client.until(whole);
  client.socket.resetAndDestroy();
  await expect.poll(() => seen).toEqual([[address, expect.stringMatching(/in the middle of a head.*ECONNRESET/)]]);
  await service.stop(AbortSignal.abort());
});

test("bodies stay as they were sent, though the read buffer is used again, the app pauses and more requests wait", async () => {
  const bodies = [200_000, 5, 100_000].map((bytes, n) =>
    Array.from({ length: bytes / 5 }, (_, at) => `${n}${String(at).padStart(4, "0").slice(-4)}`).join(""),
  );
  const seen: string[] = [];
  const service = new HttpService("web", {
    handleRequest: async (session) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const index = seen.push("") - 1;
      let chunks = 0;
      await turn();
      session.events = {
        onRequestData: (chunk) => {
          seen[index] += chunk.toString("latin1");
          if (++chunks % 3 !== 0) return;
          session.pauseBody();
          void turn().then(() => session.resumeBody());
        },
        onRequestEnd: () => resolve(),
        onRequestBatch: () => undefined,
        onDownstreamWritable: () => undefined,
        onDownstreamError: () => resolve(),
      };
      await promise;
      reply(session);
    },
  }).listenTcp("127.0.0.1:0");
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  for (const body of bodies) {
    client.socket.write(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  }
  await client.until((text) => text.split("\r\n\r\nok").length === 4);
  expect(seen.map((body, n) => body === bodies[n])).toEqual([true, true, true]);
  await service.stop(AbortSignal.abort());
});

test("serves a Unix socket; its path is our address, and the client has none", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  const path = join(directory, "s.sock");
  const digests: ConnectionDigest[] = [];
  const service = new HttpService("web", {
    handleRequest: (session) => {
      digests.push(session.digest);
      return direct.handleRequest(session);
    },
  }).listenUnix(path);
  await service.start();
  expect(service.addresses).toEqual([`unix:${path}`]);
  {
    using client = await tcpClient(`unix:${path}`);
    client.socket.write(GET);
    await client.until(whole);
  }
  expect(digests).toMatchObject([{ localAddress: `unix:${path}`, remoteAddress: undefined }]);
  await service.stop(AbortSignal.abort());
  rmSync(directory, { recursive: true });
});

test("an address in use fails the start, and leaves no listener of the service open", async () => {
  await using taken = await tcpServer();
  const service = new HttpService("web", direct).listenTcp("127.0.0.1:0").listenTcp(taken.address);
  await expect(service.start()).rejects.toMatchObject({ type: "BindError", source: "internal" });
  await expect(service.start()).rejects.toThrow(taken.address);
  const [first] = service.addresses as [string];
  if (!first.endsWith(":0")) await expect(tcpClient(first)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test.for([{ maxHeadBytes: 0 }, { keepAliveMs: -1 }, { maxRequests: Number.NaN }])(
  "options out of range are refused: %j",
  (options) => {
    expect(() => new HttpService("web", direct, options)).toThrow(RangeError);
    expect(() => new HttpService("web", direct, options)).toThrow(Object.keys(options)[0]);
  },
);

describe("setAcceptFilter", () => {
  test("is asked on listeners added before and after, and its refusals are counted", async () => {
    const ports: (number | undefined)[] = [];
    const service = new HttpService("web", direct)
      .listenTcp("127.0.0.1:0")
      .setAcceptFilter((client) => ports.push(client?.port) < 0)
      .listenTcp("127.0.0.1:0", { acceptFilter: () => true });
    await service.start();
    for (const address of service.addresses) {
      using client = await tcpClient(address);
      await client.ended;
      expect(client.text()).toBe("");
      expect(ports.pop()).toBe(client.socket.localPort);
    }
    expect([service.refusedCount, service.connectionCount]).toEqual([2, 0]);

    service.setAcceptFilter(undefined);
    using client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await client.until(whole);
    expect(service.refusedCount).toBe(2);
    await service.stop(AbortSignal.abort());
  });

  test("a listener may have a filter of its own", async () => {
    const service = new HttpService("web", direct)
      .listenTcp("127.0.0.1:0", { acceptFilter: () => false })
      .listenTcp("127.0.0.1:0");
    await service.start();
    using refused = await tcpClient(service.addresses[0]!);
    await refused.ended;
    using served = await tcpClient(service.addresses[1]!);
    served.socket.write(GET);
    await served.until(whole);
    expect(service.refusedCount).toBe(1);
    await service.stop(AbortSignal.abort());
  });

  test("a request sent while the filter decides is served", async () => {
    const [call, decision] = [Promise.withResolvers<void>(), Promise.withResolvers<boolean>()];
    const service = new HttpService("web", direct)
      .setAcceptFilter(() => (call.resolve(), decision.promise))
      .listenTcp("127.0.0.1:0");
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await call.promise;
    expect(service.connectionCount).toBe(0);
    decision.resolve(true);
    await client.until(whole);
    await service.stop(AbortSignal.abort());
  });

  test("what is no function is refused", () => {
    expect(() => new HttpService("web", direct).setAcceptFilter(true as never)).toThrow(TypeError);
  });
});

describe("stop", () => {
  /** A service whose filter has not decided about the first client, and refuses all others. */
  async function undecided(): Promise<{
    service: HttpService;
    client: TestClient;
    decide: (letIn: boolean) => void;
  }> {
    const [call, decision] = [Promise.withResolvers<void>(), Promise.withResolvers<boolean>()];
    let calls = 0;
    const service = new HttpService("web", direct).listenTcp("127.0.0.1:0", {
      acceptFilter: () => (call.resolve(), ++calls === 1 && decision.promise),
    });
    await service.start();
    const client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await call.promise;
    return { service, client, decide: decision.resolve };
  }

  test("waits for a filter that decides, and who is let in then is served and closed", async () => {
    const { service, client, decide } = await undecided();
    using _client = client;
    let stopped = false;
    const stop = service.stop(patient()).then(() => (stopped = true));
    await untilRefused(service.addresses[0]!);
    expect(stopped).toBe(false);
    decide(true);
    expect(await client.until(whole)).toContain("\r\nConnection: close\r\n");
    client.socket.end();
    await stop;
  });

  test("waits for a filter that decides, and is over when it refuses", async () => {
    const { service, client, decide } = await undecided();
    using _client = client;
    const stop = service.stop(patient());
    await untilRefused(service.addresses[0]!);
    const before = service.refusedCount;
    decide(false);
    await stop;
    expect(service.refusedCount).toBe(before + 1);
  });

  test("forced, it closes those whose filter has not decided", async () => {
    const { service, client, decide } = await undecided();
    using _client = client;
    await service.stop(AbortSignal.abort());
    await client.ended;
    decide(true);
    await turn();
    expect([client.text(), service.connectionCount, service.refusedCount]).toEqual(["", 0, 0]);
  });

  test("closes idle connections, and refuses new ones", async () => {
    const service = new HttpService("web", direct).listenTcp("127.0.0.1:0");
    await service.start();
    const [address] = service.addresses as [string];
    using fresh = await tcpClient(address);
    using used = await tcpClient(address);
    used.socket.write(GET);
    await used.until(whole);
    expect(service.connectionCount).toBe(2);
    await service.stop(patient());
    await Promise.all([fresh.ended, used.ended]);
    expect(service.connectionCount).toBe(0);
    await expect(tcpClient(address)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("lets a request in flight finish, and tells the client that the connection closes", async () => {
    const app = gatedApp();
    const service = new HttpService("web", app).listenTcp("127.0.0.1:0");
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await app.arrived;
    let stopped = false;
    const stop = service.stop(patient()).then(() => (stopped = true));
    await untilRefused(service.addresses[0]!);
    expect(stopped).toBe(false);
    app.open();
    expect(await client.until(whole)).toContain("\r\nConnection: close\r\n");
    await client.ended;
    client.socket.end();
    await stop;
    expect(service.connectionCount).toBe(0);
  });

  test("cuts what is in flight once it is forced to", async () => {
    const app = gatedApp();
    const service = new HttpService("web", app).listenTcp("127.0.0.1:0");
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await app.arrived;
    const force = new AbortController();
    const stop = service.stop(force.signal);
    force.abort();
    await stop;
    await client.ended;
    expect(client.text()).toBe("");
    app.open();
  });

  test("forced from the start, it waits for nothing", async () => {
    const app = gatedApp();
    const service = new HttpService("web", app).listenTcp("127.0.0.1:0");
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    client.socket.write(GET);
    await app.arrived;
    await service.stop(AbortSignal.abort());
    expect(service.connectionCount).toBe(0);
    app.open();
  });

  test("without connections resolves at once", async () => {
    const service = new HttpService("web", direct).listenTcp("127.0.0.1:0");
    await service.start();
    await expect(service.stop(patient())).resolves.toBeUndefined();
  });
});
