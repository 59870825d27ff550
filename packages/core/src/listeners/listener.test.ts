import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tcpClient, tcpServer } from "../../test/net-harness.ts";
import { SocketAddress } from "../net/socket-address.ts";
import { Listener, type ListenOptions } from "./listener.ts";

let directory: string;
beforeAll(() => (directory = mkdtempSync(join(tmpdir(), "sluice-"))));
afterAll(() => rmSync(directory, { recursive: true }));

/** A listener that is closed, with its connections, at the end of the scope. */
async function listening(
  address: string,
  options: ListenOptions = {},
): Promise<{ listener: Listener; accepted: Promise<Socket> } & Disposable> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const listener = new Listener(SocketAddress.parse(address), options, resolve);
  await listener.bind();
  return {
    listener,
    accepted: promise,
    [Symbol.dispose]: () => {
      listener.close();
      void promise.then((socket) => socket.destroy());
    },
  };
}

test("shows the port that the system chose", async () => {
  using on = await listening("127.0.0.1:0");
  expect(on.listener.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
});

test("shows an IPv6 address in brackets", async () => {
  using on = await listening("[::1]:0");
  expect(on.listener.address).toMatch(/^\[::1\]:[1-9]\d*$/);
});

test("shows the wanted address before it is bound", () => {
  const listener = new Listener(SocketAddress.parse("127.0.0.1:0"), {}, () => undefined);
  expect(listener.address).toBe("127.0.0.1:0");
});

test("gives sockets that stay open when the client ends its direction", async () => {
  using on = await listening("127.0.0.1:0");
  using client = await tcpClient(on.listener.address);
  const socket = await on.accepted;
  const ended = new Promise((resolve) => socket.once("end", resolve));
  socket.resume();
  client.socket.end();
  await ended;
  expect(socket.destroyed).toBe(false);
  socket.end("still here");
  expect(await client.until((text) => text === "still here")).toBe("still here");
});

test("an address in use: BindError with the address, and what to do", async () => {
  await using taken = await tcpServer();
  const listener = new Listener(SocketAddress.parse(taken.address), {}, () => undefined);
  await expect(listener.bind()).rejects.toMatchObject({ type: "BindError", cause: { code: "EADDRINUSE" } });
  await expect(listener.bind()).rejects.toThrow(`cannot listen on ${taken.address} (another process listens there`);
});

test("an address that is none of this machine", async () => {
  const listener = new Listener(SocketAddress.parse("192.0.2.1:0"), {}, () => undefined);
  await expect(listener.bind()).rejects.toThrow("this machine has no such address");
});

test("a Unix socket: its permissions are those asked for", async () => {
  const path = join(directory, "mode.sock");
  using first = await listening(`unix:${path}`, { mode: 0o600 });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(first.listener.address).toBe(`unix:${path}`);
  using second = await listening(`unix:${join(directory, "default.sock")}`);
  expect(statSync(join(directory, "default.sock")).mode & 0o777).toBe(0o666);
  expect(second).toBeDefined();
});

test("a Unix socket file that is there is replaced", async () => {
  const path = join(directory, "stale.sock");
  writeFileSync(path, "left by a process that died");
  using on = await listening(`unix:${path}`);
  using client = await tcpClient(`unix:${path}`);
  expect(await on.accepted).toBeDefined();
  expect(client).toBeDefined();
});

test("a Unix socket whose directory is missing", async () => {
  const listener = new Listener(SocketAddress.unix(join(directory, "no", "such.sock")), {}, () => undefined);
  await expect(listener.bind()).rejects.toMatchObject({ type: "BindError" });
});

test("after close nobody is accepted, and what was accepted stays", async () => {
  using on = await listening("127.0.0.1:0");
  using client = await tcpClient(on.listener.address);
  const { address } = on.listener;
  const socket = await on.accepted;
  on.listener.close();
  await expect(tcpClient(address)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  socket.write("alive");
  expect(await client.until((text) => text !== "")).toBe("alive");
});

test("a filter that is none, and an option that is none, are refused at once", () => {
  const make = (options: object) => () => new Listener(SocketAddress.parse("127.0.0.1:0"), options, () => undefined);
  expect(make({ acceptFilter: "10.0.0.0/8" })).toThrow("acceptFilter: expected a function, got string");
  expect(make({ acceptFilters: () => true })).toThrow("did you mean acceptFilter?");
});
