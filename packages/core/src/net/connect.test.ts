import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { tcpServer } from "../../test/net-harness.ts";
import { connectSocket, DEFAULT_CONNECT_MS, fromConnectError } from "./connect.ts";
import { SocketAddress } from "./socket-address.ts";

const parse = (text: string): SocketAddress => SocketAddress.parse(text);

test("gives a connected socket without listeners, half-open", async () => {
  await using server = await tcpServer();
  const socket = await connectSocket(parse(server.address));
  expect(socket.allowHalfOpen).toBe(true);
  expect(socket.readyState).toBe("open");
  expect([socket.listenerCount("connect"), socket.listenerCount("error"), socket.listenerCount("data")]).toEqual([
    0, 0, 0,
  ]);
  socket.destroy();
});

test("connects to IPv6", async () => {
  await using server = await tcpServer(undefined, "::1");
  const socket = await connectSocket(parse(server.address));
  expect(socket.remoteFamily).toBe("IPv6");
  socket.destroy();
});

test("connects to a name", async () => {
  await using server = await tcpServer();
  const socket = await connectSocket(parse(`localhost:${server.address.split(":")[1]!}`));
  expect(socket.readyState).toBe("open");
  socket.destroy();
});

test("connects to a Unix socket", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  const path = join(directory, "s.sock");
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const socket = await connectSocket(SocketAddress.unix(path));
  expect(socket.remoteAddress).toBeUndefined();
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

test("from a given local address", async () => {
  await using server = await tcpServer();
  const socket = await connectSocket(parse(server.address), { bindTo: "127.0.0.5" });
  expect(socket.localAddress).toBe("127.0.0.5");
  socket.destroy();
});

test("nobody listens: ConnectRefused of the upstream", async () => {
  let address: string;
  {
    await using server = await tcpServer();
    ({ address } = server);
  }
  await expect(connectSocket(parse(address))).rejects.toMatchObject({
    type: "ConnectRefused",
    source: "upstream",
    context: `connecting to ${address}`,
    cause: { code: "ECONNREFUSED" },
  });
});

test("no such Unix socket: a ConnectError with its cause", async () => {
  await expect(connectSocket(SocketAddress.unix("/no/such.sock"))).rejects.toMatchObject({
    type: "ConnectError",
    detail: "no-such-socket",
    source: "upstream",
    cause: { code: "ENOENT" },
  });
});

test("a name that does not exist: a ConnectError with its cause", async () => {
  await expect(connectSocket(parse("no-such-host.invalid:80"))).rejects.toMatchObject({
    type: "ConnectError",
    source: "upstream",
  });
});

test("a local address that is not ours: BindError, our own fault", async () => {
  await using server = await tcpServer();
  await expect(connectSocket(parse(server.address), { bindTo: "192.0.2.1" })).rejects.toMatchObject({
    type: "BindError",
    source: "internal",
  });
});

test.for([
  ["ETIMEDOUT", "ConnectTimedout", "upstream"],
  ["ENETUNREACH", "ConnectNoRoute", "upstream"],
  ["EHOSTUNREACH", "ConnectNoRoute", "upstream"],
  ["ECONNRESET", "ConnectError", "upstream"],
  ["EADDRINUSE", "InternalError", "internal"],
  ["EACCES", "InternalError", "internal"],
  ["EPERM", "InternalError", "internal"],
  ["EMFILE", "SocketError", "internal"],
  ["ENFILE", "SocketError", "internal"],
])("the system's %s is %s, source %s", ([code, type, source]) => {
  const cause = Object.assign(new Error("x"), { code });
  expect(fromConnectError(cause, parse("127.0.0.1:80"))).toMatchObject({ type, source, cause, retry: false });
});

test.for(["EACCES", "EPERM"])("the system's %s has the detail no-permission", (code) => {
  const cause = Object.assign(new Error("x"), { code });
  expect(fromConnectError(cause, SocketAddress.unix("/a.sock"))).toMatchObject({
    type: "InternalError",
    detail: "no-permission",
  });
});

test.for([
  ["ENOTFOUND", "getaddrinfo", "name-lookup"],
  ["EAI_FAIL", "getaddrinfo", "name-lookup"],
  ["EAI_AGAIN", "getaddrinfo", "name-lookup-timeout"],
  ["ENOENT", "connect", undefined],
])("a %s of %s has the detail %s", ([code, syscall, detail]) => {
  const cause = Object.assign(new Error("x"), { code, syscall });
  expect(fromConnectError(cause, parse("origin.test:80"))).toMatchObject({ type: "ConnectError", detail });
});

// The clock stands still and nothing of the network happens before it is moved: every attempt is one that takes too long.
test.for([
  [undefined, DEFAULT_CONNECT_MS],
  [250, 250],
] as const)("connectMs %s: ConnectTimedout after %i ms, and the attempt is given up", async ([connectMs, ms]) => {
  await using server = await tcpServer();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    const attempt = connectSocket(parse(server.address), connectMs === undefined ? {} : { connectMs });
    vi.advanceTimersByTime(ms - 1);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    await expect(attempt).rejects.toMatchObject({
      type: "ConnectTimedout",
      source: "upstream",
      context: `connecting to ${server.address} took longer than ${ms} ms`,
    });
  } finally {
    vi.useRealTimers();
  }
});

test("a connection that was there in time is not late for a process that stood still", async () => {
  await using server = await tcpServer();
  const attempt = connectSocket(parse(server.address), { connectMs: 50 });
  const until = performance.now() + 150;
  while (performance.now() < until);
  const socket = await attempt;
  expect(socket.remotePort).toBe(Number(server.address.split(":")[1]));
  socket.destroy();
});

test("connectMs 0 sets no timer, and no timer is left after a connection", async () => {
  await using server = await tcpServer();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    const attempt = connectSocket(parse(server.address), { connectMs: 0 });
    expect(vi.getTimerCount()).toBe(0);
    (await attempt).destroy();
    const timed = connectSocket(parse(server.address));
    expect(vi.getTimerCount()).toBe(1);
    (await timed).destroy();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("a signal that aborted before: nothing is connected", async () => {
  await using server = await tcpServer();
  const reason = new Error("no longer wanted");
  await expect(connectSocket(parse(server.address), {}, AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(server.sockets).toHaveLength(0);
});

test("a signal that aborts meanwhile: the attempt is given up with its reason", async () => {
  await using server = await tcpServer();
  const controller = new AbortController();
  const attempt = connectSocket(parse(server.address), {}, controller.signal);
  const reason = new Error("no longer wanted");
  controller.abort(reason);
  await expect(attempt).rejects.toBe(reason);
});

test("a signal that aborts afterwards changes nothing", async () => {
  await using server = await tcpServer();
  const controller = new AbortController();
  const socket = await connectSocket(parse(server.address), {}, controller.signal);
  controller.abort();
  expect(socket.destroyed).toBe(false);
  socket.destroy();
});
