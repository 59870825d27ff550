import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { see, respond, type SeenRequest } from "../../test/harness.ts";
import { exchange, GET, POST } from "../../test/http2-harness.ts";
import type { HttpApp } from "../http/server-session.ts";
import { resolveHttp1ServerOptions } from "../http1/server-options.ts";
import { configureLogs } from "../log/logger.ts";
import type { ByteStream } from "../net/byte-stream.ts";
import { FLAG, FRAME, Http2FrameClient, streamPair } from "../testing/index.ts";
import { Http2ServerConnection, type Http2Start } from "./http2-server-connection.ts";
import { resolveHttp2ServerOptions } from "./server-options.ts";

const OPTIONS = resolveHttp2ServerOptions({}, resolveHttp1ServerOptions());

interface Served {
  readonly connection: Http2ServerConnection;
  readonly requests: SeenRequest[];
  readonly closed: Promise<void>;
}

function serve(stream: ByteStream, handler: (seen: SeenRequest) => void, start?: Http2Start): Served {
  const requests: SeenRequest[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const app: HttpApp = {
    handleRequest: async (session) => {
      const seen = see(session);
      requests.push(seen);
      await new Promise<void>((done) => {
        const { onRequestEnd } = seen;
        seen.onRequestEnd = (trailers) => {
          onRequestEnd(trailers);
          done();
        };
        if (session.requestBodyDone) done();
        else session.events = seen;
      });
      handler(seen);
    },
  };
  return { connection: new Http2ServerConnection(stream, app, OPTIONS, () => resolve(), start), requests, closed };
}

describe("over a stream that is no socket", () => {
  test("a response that leaves a moment later leaves the client its whole time for another request", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const pair = streamPair();
      // As by TLS, where what is written counts until the next turn.
      let leavingBytes = 1;
      Object.defineProperty(pair.local, "writableLength", { get: () => leavingBytes });
      serve(pair.local, ({ session }) => respond(session, 200, "ok"));
      const client = new Http2FrameClient(pair.remote);
      client.get(1);
      await client.next(FRAME.DATA, 1);
      await new Promise((resolve) => setImmediate(resolve));
      leavingBytes = 0;
      vi.advanceTimersByTime(OPTIONS.keepAliveMs - 1000);
      expect(await client.get(3).status(3)).toBe(200);
      await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(OPTIONS.keepAliveMs + 1000);
      expect((await client.goaway()).code).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("serves, and says by two GOAWAY that it ends", async () => {
    const pair = streamPair();
    const served = serve(pair.local, ({ session }) => respond(session, 200, "ok"));
    const client = new Http2FrameClient(pair.remote);
    client.get(1);
    expect(await client.status(1)).toBe(200);
    await client.next(FRAME.DATA, 1);
    served.connection.shutdown();
    expect(await client.goaway()).toEqual({ code: 0, lastStreamId: 2 ** 31 - 1 });
    await client.next(FRAME.GOAWAY, 0, ({ payload }) => payload.readUInt32BE(0) === 1);
    await client.closed;
    client.stream.end();
    await served.closed;
    expect(served.connection.summary).toMatchObject({ requests: 1, reason: "server-stop" });
  });
});

describe("a response that is told as served, and has not left when the server ends, is told", () => {
  const lines: string[] = [];
  const told = (): unknown[] => lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  beforeEach(() => {
    lines.length = 0;
    configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
  });

  /** @param bytes Of each of two responses, to a client that takes 10,000. */
  async function cut(bytes: number): Promise<Served> {
    const pair = streamPair({ toRemote: { windowBytes: 10_000 }, highWaterMark: 10_000 });
    const served = serve(pair.local, ({ session }) => respond(session, 200, "a".repeat(bytes)));
    const client = new Http2FrameClient(pair.remote);
    client.get(1).get(3);
    if (bytes > 0) pair.remote.pause();
    await pair.flush();
    expect(served.requests.map(({ session }) => session.responseDone)).toEqual([true, true]);
    served.connection.destroy();
    if (bytes === 0) client.stream.end();
    await served.closed;
    return served;
  }

  test("where it waits for the window of the client", async () => {
    const { connection } = await cut(100_000);
    expect(told()).toEqual(["cut a client"]);
    expect(lines[0]).toContain("the server stops");
    expect(connection.summary.reason).toBe("cut");
  });

  test("where it waits for the system", async () => {
    const { connection } = await cut(20_000);
    expect(told()).toEqual(["cut a client"]);
    expect(connection.summary.reason).toBe("cut");
  });

  test("but not one that has left", async () => {
    const { connection } = await cut(0);
    expect(told()).toEqual([]);
    expect(connection.summary.reason).toBe("server-stop");
  });
});

test("a client that has said that it leaves has the time to take its last response", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    const pair = streamPair({ toRemote: { windowBytes: 10_000 }, highWaterMark: 10_000 });
    const served = serve(pair.local, ({ session }) => respond(session, 200, "a".repeat(60_000)));
    const client = new Http2FrameClient(pair.remote);
    client.get(1).send(FRAME.GOAWAY, 0, 0, Buffer.alloc(8));
    pair.remote.pause();
    await pair.flush();
    expect(pair.local.writableLength).toBeGreaterThan(10_000);
    // Longer than a client may take that has everything.
    for (let second = 0; second < 20; second++) vi.advanceTimersByTime(1000);
    expect(pair.local.destroyed).toBe(false);
    pair.remote.resume();
    await pair.flush();
    expect(client.dataBytes(1)).toBe(60_000);
    await client.next(FRAME.DATA, 1, ({ flags }) => flags === FLAG.END_STREAM);
    client.stream.end();
    await served.closed;
  } finally {
    vi.useRealTimers();
  }
});

testWith("openssl", "over TLS: serves many streams with large bodies, and ends by two GOAWAY", async ({ openssl }) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-h2-"));
  const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync(openssl, [...args, "-subj", "/CN=localhost", "-keyout", keyFile, "-out", certFile], { stdio: "ignore" });
  const [key, cert] = [readFileSync(keyFile), readFileSync(certFile)];
  rmSync(folder, { recursive: true });
  const accepted = Promise.withResolvers<Served>();
  const server = createServer(
    { key, cert, ALPNProtocols: ["h2"], allowHalfOpen: true } as object,
    (socket: TLSSocket) => {
      const tls = { version: "TLSv1.3", cipher: "x", alpn: "h2" };
      accepted.resolve(serve(socket, ({ session, body }) => respond(session, 200, body), { tls }));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client: ClientHttp2Session = connect("https://localhost", {
    createConnection: () =>
      connectTls({ port, host: "127.0.0.1", ca: cert, servername: "localhost", ALPNProtocols: ["h2"] }),
  });
  const body = "0123456789".repeat(50_000);
  const got = await Promise.all([exchange(client, POST, body), exchange(client, GET), exchange(client, POST, body)]);
  expect(got.map((one) => [one.status, one.body === body, one.body.length])).toEqual([
    [200, true, 500_000],
    [200, false, 0],
    [200, true, 500_000],
  ]);
  const { connection, requests, closed } = await accepted.promise;
  expect(requests[0]!.session.digest).toMatchObject({
    tls: { alpn: "h2" },
    remoteAddress: expect.stringMatching(/^127/),
  });
  const goaways: unknown[] = [];
  client.on("goaway", (code, last) => goaways.push([code, last]));
  connection.shutdown();
  await closed;
  expect(goaways[0]).toEqual([0, 2 ** 31 - 1]);
  expect(connection.summary.reason).toBe("server-stop");
  await new Promise((resolve) => server.close(resolve));
});
