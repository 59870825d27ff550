import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tcpClient, tcpServer } from "../../test/net-harness.ts";
import { SocketAddress } from "../net/socket-address.ts";
import type { ListenOptions } from "./listen-options.ts";
import { Listener } from "./listener.ts";

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

test("a Unix socket file that a dead process has left is replaced", async () => {
  const path = join(directory, "stale.sock");
  const leave = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.exit())`;
  execFileSync(process.execPath, ["-e", leave]);
  expect(statSync(path).isSocket()).toBe(true);
  using on = await listening(`unix:${path}`);
  using client = await tcpClient(`unix:${path}`);
  expect(await on.accepted).toBeDefined();
  expect(client).toBeDefined();
});

test("a file that is no socket is not replaced", async () => {
  const path = join(directory, "precious");
  writeFileSync(path, "somebody's");
  const listener = new Listener(SocketAddress.unix(path), {}, () => undefined);
  await expect(listener.bind()).rejects.toThrow(/precious \(there is something that is no socket; remove it/);
  await expect(listener.reserve()).rejects.toMatchObject({ type: "BindError" });
  expect(readFileSync(path, "utf8")).toBe("somebody's");
});

test("a Unix socket whose directory is missing", async () => {
  const listener = new Listener(SocketAddress.unix(join(directory, "no", "such.sock")), {}, () => undefined);
  await expect(listener.bind()).rejects.toMatchObject({ type: "BindError" });
  await expect(listener.bind()).rejects.toThrow(/such\.sock \(its folder is not there, or this account may create/);
});

test("a Unix socket that no client could connect to", async () => {
  const path = join(directory, "x".repeat(108));
  const listener = new Listener(SocketAddress.unix(path), {}, () => undefined);
  await expect(listener.bind()).rejects.toThrow(/the path of a socket has at most \d+ bytes/);
  await expect(listener.reserve()).rejects.toThrow(/at most/);
  expect(existsSync(path)).toBe(false);
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
  expect(make({ acceptFilter: "10.0.0.0/8" })).toThrow('acceptFilter: expected a function, got "10.0.0.0/8"');
  expect(make({ acceptFilters: () => true })).toThrow("did you mean acceptFilter?");
});

test.each<[ListenOptions, string]>([
  [{ backlog: 0 }, "backlog: expected an integer from 1 to 2147483647, got 0"],
  [{ dscp: 64 }, "dscp: expected an integer from 0 to 63, got 64"],
  [{ maxConnections: 0 }, "maxConnections: expected an integer of at least 1, got 0"],
  [{ maxConnectionsPerClient: 1.5 }, "maxConnectionsPerClient: expected an integer of at least 1, got 1.5"],
  [{ keepAlive: { idleMs: 10 } }, "keepAlive: idleMs: expected an integer from 1000 to 32767000, got 10"],
])("%j cannot be", (options, message) => {
  const make = () => new Listener(SocketAddress.parse("127.0.0.1:0"), options, () => undefined);
  expect(make).toThrow(`listening on 127.0.0.1:0: ${message}`);
});

test("options of connections are set on those that are accepted", async () => {
  using on = await listening("127.0.0.1:0", { dscp: 46, keepAlive: { idleMs: 5000 } });
  using _client = await tcpClient(on.listener.address);
  expect((await on.accepted).getTypeOfService()).toBe(184);
});

test.skipIf(process.platform !== "linux")("the system completes as many connections as the backlog says", async () => {
  using on = await listening("127.0.0.1:0", { backlog: 3 });
  const port = Number(on.listener.address.split(":").at(-1));
  const clients = Array.from({ length: 10 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  // Before this process accepts any of them.
  await new Promise((resolve) => process.nextTick(resolve));
  const to = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  const states = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote]) => `${remote} `.endsWith(to))
    .map(([, , , state]) => state);
  for (const client of clients) client.destroy();
  // ESTABLISHED; one more than the backlog is let in.
  expect(states.filter((state) => state === "01")).toHaveLength(4);
});

test("IPv6 only: IPv4 is refused", async () => {
  using on = await listening("[::]:0", { ipv6Only: true });
  const port = on.listener.address.split(":").at(-1)!;
  using _client = await tcpClient(`[::1]:${port}`);
  await expect(tcpClient(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("two listeners share an address if both say so", async () => {
  using one = await listening("127.0.0.1:0", { reusePort: true });
  using two = await listening(one.listener.address, { reusePort: true });
  expect(two.listener.address).toBe(one.listener.address);
  const third = new Listener(SocketAddress.parse(one.listener.address), {}, () => undefined);
  await expect(third.bind()).rejects.toMatchObject({ cause: { code: "EADDRINUSE" } });
});

test("onBound has the descriptor before anybody is accepted; what it throws is the error of binding", async () => {
  let seen: number | undefined;
  using on = await listening("127.0.0.1:0", { onBound: (fd) => (seen = fd) });
  expect(seen).toBe(on.listener.fd);
  const failing = {
    onBound: () => {
      throw new Error("no such option");
    },
  };
  const listener = new Listener(SocketAddress.parse("127.0.0.1:0"), failing, () => undefined);
  await expect(listener.bind()).rejects.toThrow(/cannot listen on 127.0.0.1:0 .*no such option/);
});

describe.each([
  ["TCP", () => "127.0.0.1:0"],
  ["Unix", () => `unix:${join(directory, "r.sock")}`],
])("%s", (_, address) => {
  test("reserved, nobody is accepted and nobody else can have the address; bound, it goes on", async () => {
    const { promise, resolve } = Promise.withResolvers<Socket>();
    const listener = new Listener(SocketAddress.parse(address()), {}, resolve);
    await listener.reserve();
    const where = listener.address;
    expect(listener.fd).toBeGreaterThan(2);
    await expect(tcpClient(where)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await listener.bind();
    expect(listener.address).toBe(where);
    using client = await tcpClient(where);
    (await promise).end("hello");
    expect(await client.until((text) => text === "hello")).toBe("hello");
    (await promise).destroy();
    listener.close();
    await expect(tcpClient(where)).rejects.toThrow(/ECONNREFUSED|ENOENT/);
  });

  test("reserved and never bound, it is given back", async () => {
    const listener = new Listener(SocketAddress.parse(address()), {}, () => undefined);
    await listener.reserve();
    const where = listener.address;
    listener.close();
    using again = await listening(where);
    expect(again.listener.address).toBe(where);
  });

  test("a descriptor that another has reserved is listened on", async () => {
    const owner = new Listener(SocketAddress.parse(address()), {}, () => undefined);
    await owner.reserve();
    const { promise, resolve } = Promise.withResolvers<Socket>();
    const listener = new Listener(SocketAddress.parse(address()), {}, resolve);
    listener.adopt(owner.fd!);
    expect(listener.address).toBe(owner.address.startsWith("unix:") ? listener.wanted.text : owner.address);
    await listener.bind();
    expect(listener.fd).toBe(owner.fd);
    using client = await tcpClient(owner.address);
    (await promise).end("hello");
    expect(await client.until((text) => text === "hello")).toBe("hello");
    (await promise).destroy();
    listener.close();
    owner.handedOver();
  });
});

describe("the file of a Unix socket", () => {
  test("is removed at the end, and leaves nothing beside it", async () => {
    const path = join(directory, "own.sock");
    const before = readdirSync(directory).toSorted();
    {
      using _on = await listening(`unix:${path}`);
      expect(readdirSync(directory).toSorted()).toEqual([...before, "own.sock"].toSorted());
    }
    expect(readdirSync(directory).toSorted()).toEqual(before);
  });

  test("stays when the socket was handed over", async () => {
    const path = join(directory, "kept.sock");
    {
      using on = await listening(`unix:${path}`);
      on.listener.handedOver();
    }
    expect(existsSync(path)).toBe(true);
  });

  test("that somebody else has put in its place stays", async () => {
    const path = join(directory, "other.sock");
    {
      using _on = await listening(`unix:${path}`);
      rmSync(path);
      writeFileSync(path, "somebody else's");
    }
    expect(existsSync(path)).toBe(true);
  });

  test("of one that accepts is not replaced", async () => {
    const path = join(directory, "living.sock");
    using _on = await listening(`unix:${path}`);
    const second = new Listener(SocketAddress.unix(path), {}, () => undefined);
    await expect(second.bind()).rejects.toMatchObject({ cause: { code: "EADDRINUSE" } });
    await expect(second.reserve()).rejects.toMatchObject({ cause: { code: "EADDRINUSE" } });
  });
});
