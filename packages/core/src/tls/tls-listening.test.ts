import { once } from "node:events";
import type { Socket } from "node:net";
import { ProxyError } from "@sluice/error";
import { ResponseHeader } from "@sluice/http";
import { beforeEach, describe, expect, test } from "vitest";
import { tcpClient } from "../../test/net-harness.ts";
import { connectionChannels, observe, tlsChannels, type TlsHandshakeFailedMessage } from "../diagnostics.ts";
import type { HttpApp } from "../http/server-session.ts";
import { configureLogs } from "../log/logger.ts";
import { HttpService } from "../services/http-service.ts";
import type { TlsProvider } from "./tls-provider.ts";

const DIGEST = { version: "TLSv1.3", cipher: "X", alpn: undefined };
const settings = { certificates: [{ cert: "-----BEGIN CERTIFICATE-----", key: "-----BEGIN PRIVATE KEY-----" }] };
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

let lines: Record<string, unknown>[] = [];
beforeEach(() => {
  lines = [];
  configureLogs({ levels: "info", destination: { write: (line) => lines.push(JSON.parse(line) as object as never) } });
});

const app: HttpApp = {
  handleRequest(session) {
    const body = Buffer.from(`by ${session.digest.tls?.version}`);
    session.writeHeader(ResponseHeader.build(200).setContentLength(body.length), false);
    session.writeBody(body);
    session.finish();
    return Promise.resolve();
  },
};

/** A provider whose handshakes the test decides about: no TLS is spoken. */
function stagedTls(): TlsProvider & {
  waiting: { socket: Socket; finish(): void; fail(error: Error): void }[];
  closed: number;
} {
  const staged = {
    name: "staged",
    waiting: [] as { socket: Socket; finish(): void; fail(error: Error): void }[],
    closed: 0,
    connect: () => Promise.reject(new Error("not used")),
    listen: () =>
      Promise.resolve({
        accept: (socket: Socket, signal?: AbortSignal) =>
          new Promise<{ stream: Socket; digest: typeof DIGEST }>((resolve, reject) => {
            const fail = (error: Error): void => {
              socket.destroy();
              reject(error);
            };
            signal?.addEventListener("abort", () => fail(signal.reason as Error));
            staged.waiting.push({ socket, finish: () => resolve({ stream: socket, digest: DIGEST }), fail });
          }),
        close: () => void staged.closed++,
      }),
  };
  return staged;
}

async function untilWaiting(tls: ReturnType<typeof stagedTls>, count: number): Promise<void> {
  while (tls.waiting.length < count) await new Promise((resolve) => setImmediate(resolve));
}

describe("without a provider", () => {
  test("listening with TLS is an error at once, and says what to do", () => {
    const service = new HttpService("web", app);
    expect(() => service.listenTls("127.0.0.1:0", settings)).toThrow(
      /cannot listen on 127\.0\.0\.1:0 with TLS: there is no TLS provider: install a TLS package/,
    );
  });
});

test("a setting that cannot be is an error at once", () => {
  const service = new HttpService("web", app, { tls: stagedTls() });
  expect(() => service.listenTls("127.0.0.1:0", {})).toThrow(/listening on 127\.0\.0\.1:0: TLS needs certificates/);
  expect(() => service.listenTls("127.0.0.1:0", { ...settings, alpn: ["h3"] })).toThrow(
    'listening on 127.0.0.1:0: alpn: expected protocols that are spoken here, "h2" and "http/1.1", got "h3"',
  );
});

test("what the provider cannot use stops the start, with the address", async () => {
  const tls = {
    ...stagedTls(),
    listen: () => Promise.reject(ProxyError.internal("ConfigError", "cannot read /a.pem")),
  };
  const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
  await expect(service.start()).rejects.toThrow(/cannot listen on 127\.0\.0\.1:0 with TLS.*cannot read \/a\.pem/);
});

test("requests are served behind the handshake, and know of it", async () => {
  const tls = stagedTls();
  const accepted: unknown[] = [];
  const stop = observe(connectionChannels.accepted, ({ digest }) => accepted.push(digest.tls));
  const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  await untilWaiting(tls, 1);
  expect(service.connectionCount).toBe(0);
  tls.waiting[0]!.finish();
  client.socket.write(GET);
  expect(await client.until((text) => text.includes("by TLSv1.3"))).toMatch(/^HTTP\/1\.1 200/);
  expect(accepted).toEqual([DIGEST]);
  stop();
  await service.stop(AbortSignal.abort());
  expect(tls.closed).toBe(1);
});

test("the accept filter is asked before the handshake", async () => {
  const tls = stagedTls();
  const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings).setAcceptFilter(() => false);
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  await once(client.socket.resume(), "end");
  expect(tls.waiting).toEqual([]);
  await service.stop(AbortSignal.abort());
});

test("a handshake that fails is logged with its client and a hint, counted and published", async () => {
  const tls = stagedTls();
  const published: TlsHandshakeFailedMessage[] = [];
  const stop = observe(tlsChannels.handshakeFailed, (message) => published.push(message));
  const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  const address = `127.0.0.1:${client.socket.localPort}`;
  await untilWaiting(tls, 1);
  const error = ProxyError.downstream("TLSHandshakeFailure", "no certificate").setDetail("cert-missing");
  tls.waiting[0]!.fail(error);
  await once(client.socket.resume(), "end");
  const hint = "the client has no certificate, and clientCertificates requires one";
  expect(lines).toMatchObject([
    { level: 30, msg: "TLS handshake failed", client: address, listener: "127.0.0.1:0", detail: "cert-missing", hint },
  ]);
  expect(published).toEqual([{ service: "web", client: address, listener: "127.0.0.1:0", error, hint }]);
  expect(service.failedHandshakeCount).toBe(1);
  stop();
  await service.stop(AbortSignal.abort());
});

test("one that fails by our own fault is an error in the log", async () => {
  const tls = stagedTls();
  const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
  await service.start();
  using client = await tcpClient(service.addresses[0]!);
  await untilWaiting(tls, 1);
  tls.waiting[0]!.fail(new TypeError("a defect"));
  await once(client.socket.resume(), "end");
  expect(lines).toMatchObject([
    { level: 50, source: "internal", error: expect.stringContaining("a defect") as string },
  ]);
  await service.stop(AbortSignal.abort());
});

describe("at a stop", () => {
  test("handshakes that go on may end, and their connections are told to close", async () => {
    const tls = stagedTls();
    const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    await untilWaiting(tls, 1);
    const stopped = service.stop(new AbortController().signal);
    // A listener that is closed has no port any more.
    while (service.addresses[0] !== "127.0.0.1:0") await new Promise((resolve) => setImmediate(resolve));
    tls.waiting[0]!.finish();
    client.socket.write(GET);
    expect(await client.until((text) => text.includes("by TLSv1.3"))).toMatch(/connection: close/i);
    await stopped;
  });

  test("those that are not done when the grace period ends are cut", async () => {
    const tls = stagedTls();
    const service = new HttpService("web", app, { tls }).listenTls("127.0.0.1:0", settings);
    await service.start();
    using client = await tcpClient(service.addresses[0]!);
    await untilWaiting(tls, 1);
    const force = new AbortController();
    const closed = once(client.socket.resume(), "end");
    const stopped = service.stop(force.signal);
    force.abort();
    await Promise.all([stopped, closed]);
    expect(lines).toMatchObject([
      { msg: "TLS handshake failed", error: expect.stringContaining("the server stops") as string },
    ]);
  });
});
