// What keys of the configuration do, seen from outside: those that no other test shows by the way.
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateAuthority } from "@sluice/tls-openssl/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { Origin } from "./origin.ts";
import { startTlsOrigin } from "./tls-origin.ts";

// Each starts processes.
vi.setConfig({ testTimeout: 60_000 });

const ca = certificateAuthority("Inner");
const certificate = ca.issue({ names: ["api.test"] });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-keys-"));
  writeFileSync(`${folder}/ca.pem`, ca.cert);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Conf {
  /** Keys of the file. */
  readonly server?: string;
  /** Of the one listener. */
  readonly listener?: string;
  /** Of the one upstream. */
  readonly upstream?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** A gateway for one upstream of one server. */
function start(address: string, { server = "", listener = "", upstream = "", env }: Conf): Promise<GatewayProcess> {
  const yaml = `${server}
listeners: [{ address: "127.0.0.1:0"${listener} }]
upstreams: { api: { servers: ["${address}"]${upstream} } }
routes: [{ upstream: api }]
`;
  return GatewayProcess.start(folder, yaml, env);
}

/** Accepts, and does no more than `onSocket` does. */
async function tcpServer(
  onSocket: (socket: Socket) => void = () => undefined,
): Promise<{ address: string } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    onSocket(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** An origin, and from where each of its connections came. */
async function countedOrigin(): Promise<{ origin: Origin; from: (string | undefined)[]; open: Set<Socket> }> {
  const from: (string | undefined)[] = [];
  const open = new Set<Socket>();
  const origin = await Origin.start((_request, response) => response.end("ok"));
  origin.server.on("connection", (socket: Socket) => {
    from.push(socket.remoteAddress);
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return { origin, from, open };
}

describe("connections to upstreams", () => {
  test.each([
    ["", 1],
    ["upstream_keepalive_pool_size: 0", 3],
  ])("%j: three requests need %i", async (server, connections) => {
    const { origin, from } = await countedOrigin();
    await using _ = origin;
    await using gateway = await start(origin.address, { server });
    for (let n = 0; n < 3; n++) expect((await call(gateway.addresses[0]!, "/")).status).toBe(200);
    expect(from).toHaveLength(connections);
  });

  test("idle_ms: one that is idle for longer is closed", async () => {
    const { origin, from, open } = await countedOrigin();
    await using _ = origin;
    await using gateway = await start(origin.address, { upstream: ", idle_ms: 50" });
    await call(gateway.addresses[0]!, "/");
    await gateway.until(() => open.size === 0);
    await call(gateway.addresses[0]!, "/");
    expect(from).toHaveLength(2);
  });

  test("client_bind_to_ipv4: they come from there", async () => {
    const { origin, from } = await countedOrigin();
    await using _ = origin;
    await using gateway = await start(origin.address, { server: `client_bind_to_ipv4: ["127.0.0.77"]` });
    expect((await call(gateway.addresses[0]!, "/")).status).toBe(200);
    expect(from).toEqual(["127.0.0.77"]);
  });

  test("client_bind_to_ipv6: one that is not this machine's fails each of IPv6, and none of IPv4", async () => {
    const { origin } = await countedOrigin();
    await using _ = origin;
    const server = `client_bind_to_ipv6: ["2001:db8::1"]`;
    await using gateway = await start("[::1]:9", { server });
    expect((await call(gateway.addresses[0]!, "/")).status).toBeGreaterThanOrEqual(500);
    await gateway.until(() => gateway.requests.length > 0);
    expect(gateway.requests[0]!["error"]).toContain("BindError");
    await using other = await start(origin.address, { server });
    expect((await call(other.addresses[0]!, "/")).status).toBe(200);
  });

  test("ca_file: whom it names is trusted, and others are not", async () => {
    await using origin = await startTlsOrigin({ certificate });
    const upstream = ", tls: { sni: api.test }";
    await using gateway = await start(origin.address, { server: `ca_file: ${folder}/ca.pem`, upstream });
    expect((await call(gateway.addresses[0]!, "/")).status).toBe(200);
    await using other = await start(origin.address, { upstream });
    expect((await call(other.addresses[0]!, "/")).status).toBe(502);
  });

  test("upstream_debug_ssl_keylog: the secrets are in the file of SSLKEYLOGFILE, and else nowhere", async () => {
    await using origin = await startTlsOrigin({ certificate });
    const upstream = `, tls: { sni: api.test, ca: "${folder}/ca.pem" }`;
    for (const [on, name] of [
      [true, "on.log"],
      [false, "off.log"],
    ] as const) {
      const env = { SSLKEYLOGFILE: `${folder}/${name}` };
      await using gateway = await start(origin.address, { server: `upstream_debug_ssl_keylog: ${on}`, upstream, env });
      expect((await call(gateway.addresses[0]!, "/")).status).toBe(200);
      // They are written behind the request, and not at all by a gateway that has ended.
      if (!on) continue;
      const written = (): string => (existsSync(`${folder}/on.log`) ? readFileSync(`${folder}/on.log`, "utf8") : "");
      await expect.poll(written, { timeout: 10_000 }).toContain("CLIENT_TRAFFIC_SECRET_0 ");
    }
    expect(existsSync(`${folder}/off.log`)).toBe(false);
  });

  test("connect_ms: an upstream that does not answer the handshake is given up: 504", async () => {
    await using server = await tcpServer();
    await using gateway = await start(server.address, { upstream: ", tls: true, connect_ms: 50" });
    expect((await call(gateway.addresses[0]!, "/")).status).toBe(504);
    await gateway.until(() => gateway.requests.length > 0);
    expect(gateway.requests[0]!["error"]).toContain("ConnectTimedout");
  });

  test("read_ms: an upstream that does not answer the request is given up: 504", async () => {
    await using server = await tcpServer((socket) => void socket.resume());
    await using gateway = await start(server.address, { upstream: ", read_ms: 50" });
    expect((await call(gateway.addresses[0]!, "/")).status).toBe(504);
    await gateway.until(() => gateway.requests.length > 0);
    expect(gateway.requests[0]!["error"]).toContain("ReadTimedout");
  });

  test("write_ms: an upstream that does not take the request is given up: 504", async () => {
    await using server = await tcpServer((socket) => void socket.pause());
    await using gateway = await start(server.address, { upstream: ", write_ms: 50" });
    const body = "x".repeat(32 * 1024 * 1024);
    await call(gateway.addresses[0]!, "/", { method: "POST", body }).catch(() => undefined);
    await gateway.until(() => gateway.requests.length > 0);
    expect(gateway.requests[0]).toMatchObject({
      status: 504,
      error: expect.stringContaining("WriteTimedout") as string,
    });
  });
});

describe("listeners", () => {
  test.each(["max_connections", "max_connections_per_client"])(
    "%s: what is more is closed, until one leaves",
    async (key) => {
      const { origin } = await countedOrigin();
      await using _ = origin;
      await using gateway = await start(origin.address, { listener: `, ${key}: 1` });
      const [host, port] = gateway.addresses[0]!.split(":") as [string, string];
      const holder = connect(Number(port), host);
      await once(holder, "connect");
      await expect(call(gateway.addresses[0]!, "/")).rejects.toThrow(/ECONNRESET|EPIPE|hang up/);
      holder.destroy();
      await gateway.until(async () => (await call(gateway.addresses[0]!, "/").catch(() => undefined))?.status === 200);
    },
  );
});

describe("processes", () => {
  test.skipIf(process.platform !== "linux")("max_blocking_threads: workers have as many", async () => {
    await using gateway = await start("127.0.0.1:9", {
      server: "threads: 2\nmax_blocking_threads: 7",
      env: { SLUICE_LOG: "info,core=debug" },
    });
    const workers = (): string[] =>
      [...gateway.stderr.matchAll(/"worker":\d+,"pid":(\d+),[^\n]*"a worker is ready"/g)].map(([, pid]) => pid!);
    await gateway.until(() => workers().length === 2);
    for (const pid of workers()) {
      expect(readFileSync(`/proc/${pid}/environ`, "latin1").split("\0")).toContain("UV_THREADPOOL_SIZE=7");
    }
  });

  test("keys of Pingora that do nothing here are told", async () => {
    const server = "work_stealing: false\nlistener_tasks_per_fd: 2\nblocking_threads_ttl_seconds: 10";
    await using gateway = await start("127.0.0.1:9", { server });
    const line = gateway.stderr.split("\n").find((each) => each.includes("configuration keys without effect"))!;
    expect((JSON.parse(line) as { keys: string[] }).keys.toSorted()).toEqual([
      "blocking_threads_ttl_seconds",
      "listener_tasks_per_fd",
      "work_stealing",
    ]);
  });
});
