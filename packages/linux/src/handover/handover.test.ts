import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type AddressInfo, type ListenOptions, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { serviceManager } from "../../test/support/service-manager.ts";
import { bindUnixSocket } from "../ffi/unix-socket.ts";
import { describeSocket } from "../sockets/describe-socket.ts";
import { descriptorOf } from "../sockets/descriptor-of.ts";
import type { HandedListener } from "./handed-listener.ts";
import { linuxHandover } from "./linux-handover.ts";
import { receiveListeners } from "./receive-listeners.ts";
import { sendListeners } from "./send-listeners.ts";

let folder: string;
let sockPath: string;
let servers: Server[];
let toClose: number[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-handover-"));
  sockPath = path.join(folder, "upgrade.sock");
  servers = [];
  toClose = [];
});

afterEach(() => {
  for (const server of servers) server.close();
  for (const fd of toClose) closeSync(fd);
  rmSync(folder, { recursive: true });
});

async function listen(options: ListenOptions = { port: 0, host: "127.0.0.1" }): Promise<Server> {
  const server = createServer((socket) => socket.on("error", () => undefined).end("old"));
  servers.push(server);
  await once(server.listen(options), "listening");
  return server;
}

async function listener(address: string, options?: ListenOptions): Promise<HandedListener> {
  return { address, fd: descriptorOf(await listen(options)) };
}

/** Both sides, as far as the sockets' arrival. */
async function handOver(listeners: readonly HandedListener[]) {
  const receiving = receiveListeners(sockPath);
  const sent = sendListeners(sockPath, listeners);
  sent.catch(() => undefined);
  const received = await receiving;
  toClose.push(...received.listeners.map(({ fd }) => fd));
  return { received, sent };
}

describe("sockets arrive", () => {
  test("of TCP, IPv6 and Unix sockets, with their names, as the same sockets", async () => {
    const given = [
      await listener("127.0.0.1:0"),
      await listener("[::]:443", { port: 0, host: "::" }),
      await listener(`unix:${folder}/my app.sock`, { path: path.join(folder, "my app.sock") }),
      await listener("a name with ü, \n and 日本"),
    ];
    const { received, sent } = await handOver(given);
    expect(received.listeners.map(({ address }) => address)).toEqual(given.map(({ address }) => address));
    expect(received.listeners.map(({ fd }) => fstatSync(fd).ino)).toEqual(given.map(({ fd }) => fstatSync(fd).ino));
    expect(received.from).toMatchObject({ pid: process.pid, uid: process.getuid!() });
    expect(await received.serving()).toBe("draining");
    expect(await sent).toMatchObject({ pid: process.pid });
    expect(existsSync(sockPath)).toBe(false);
  });

  test("of several messages: 600 of them, more than one may carry", async () => {
    const server = await listener("same");
    const given = Array.from({ length: 600 }, (_, i) => ({ address: `127.0.0.1:${i}`, fd: server.fd }));
    const { received, sent } = await handOver(given);
    expect(received.listeners.map(({ address }) => address)).toEqual(given.map(({ address }) => address));
    expect(new Set(received.listeners.map(({ fd }) => fd)).size).toBe(600);
    await received.serving();
    await sent;
  });

  test("and with them what the new process is to know of the old one's environment", async () => {
    const receiving = receiveListeners(sockPath);
    const sent = sendListeners(sockPath, [], { variables: { WATCHDOG_USEC: "1000" } });
    const received = await receiving;
    expect(received.variables).toEqual({ WATCHDOG_USEC: "1000" });
    await received.serving();
    await sent;
  });

  test("none at all", async () => {
    const { received, sent } = await handOver([]);
    expect(received.listeners).toEqual([]);
    expect(await received.serving()).toBe("draining");
    await sent;
  });

  test("with addresses as long as they may be", async () => {
    const { fd } = await listener("x");
    const given = Array.from({ length: 253 }, () => ({ address: "\u0001".repeat(4096), fd }));
    const { received, sent } = await handOver(given);
    expect(received.listeners).toHaveLength(253);
    await received.serving();
    await sent;
  });

  test("and serve, whoever closes the other one first", async () => {
    const old = await listen();
    const { port } = old.address() as AddressInfo;
    const { received, sent } = await handOver([{ address: "a", fd: descriptorOf(old) }]);
    toClose = [];
    const next = createServer((socket) => socket.end("new"));
    servers.push(next);
    await once(next.listen({ fd: received.listeners[0]!.fd }), "listening");
    await received.serving();
    await sent;
    old.close();
    const client = connect(port, "127.0.0.1");
    const [bytes] = (await once(client, "data")) as [Buffer];
    expect(bytes.toString()).toBe("new");
  });

  test("through an abstract address", async () => {
    sockPath = `@${folder}`;
    const { received, sent } = await handOver([await listener("a")]);
    expect(received.listeners).toHaveLength(1);
    await received.serving();
    await sent;
  });

  test("also when they are bound and do not listen yet", async () => {
    const fd = bindUnixSocket(path.join(folder, "s"), "test");
    toClose.push(fd);
    const { received, sent } = await handOver([{ address: "a", fd }]);
    const mine = received.listeners[0]!.fd;
    expect(describeSocket(mine)).toMatchObject({ listening: false, connected: false });
    await received.serving();
    await sent;
  });

  test("close-on-exec, so that children do not keep them", async () => {
    const { received, sent } = await handOver([await listener("a")]);
    const info = readFileSync(`/proc/self/fdinfo/${received.listeners[0]!.fd}`, "utf8");
    const closeOnExec = 0o2000000;
    expect(Number.parseInt(/flags:\s*(\d+)/.exec(info)![1]!, 8) & closeOnExec).not.toBe(0);
    await received.serving();
    await sent;
  });
});

describe("a hand-over that fails leaves the old process what it has", () => {
  test("nobody waits", async () => {
    const given = [await listener("a")];
    await expect(sendListeners(sockPath, given, { connectMs: 0 })).rejects.toMatchObject({
      name: "LinuxError",
      code: "ENOENT",
      syscall: "connect",
      message: `handing 1 listening sockets over at ${sockPath}: connect: ENOENT (no such file or directory)`,
    });
    expect(describeSocket(given[0]!.fd).listening).toBe(true);
  });

  test("the new process comes late: it is tried again", async () => {
    const retried: string[] = [];
    const sent = sendListeners(sockPath, [await listener("a")], { onRetry: (error) => void retried.push(error.code) });
    await expect.poll(() => retried.length).toBeGreaterThan(0);
    const received = await receiveListeners(sockPath);
    toClose.push(received.listeners[0]!.fd);
    await received.serving();
    await sent;
    expect(retried[0]).toBe("ENOENT");
  });

  test("the new process says that it cannot", async () => {
    const { received, sent } = await handOver([await listener("a")]);
    await received.refuse("no certificate");
    await expect(sent).rejects.toMatchObject({ code: "ECANCELED", message: /refused: no certificate$/ });
  });

  test("the new process goes away", async () => {
    const server = createServer((socket) => socket.on("data", () => socket.destroy()));
    servers.push(server);
    await once(server.listen(sockPath), "listening");
    await expect(sendListeners(sockPath, [await listener("a")])).rejects.toMatchObject({
      code: expect.stringMatching(/ECONNRESET|EPIPE/),
    });
  });

  test("the new process does not serve in time: it hears that the old one goes on", async () => {
    const receiving = receiveListeners(sockPath);
    const sent = sendListeners(sockPath, [await listener("a")], { servingMs: 50 });
    const [received] = await Promise.all([receiving, expect(sent).rejects.toMatchObject({ code: "ETIMEDOUT" })]);
    toClose.push(received.listeners[0]!.fd);
    await expect(received.serving()).rejects.toMatchObject({
      code: "ECANCELED",
      message: /the old process goes on serving: .*waited \d+ ms for the new process to serve$/,
    });
  });

  test("an old process that gives up", async () => {
    const stop = new AbortController();
    const sent = sendListeners(sockPath, [await listener("a")], { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(sent).rejects.toThrow("enough");
  });

  test.each([
    ["no descriptor", { address: "a", fd: 1_000_000 }, "EBADF"],
    ["no number", { address: "a", fd: Number.NaN }, "EINVAL"],
    ["a file", { address: "a" }, "ENOTSOCK"],
    ["no address", { address: "" }, "EINVAL"],
    ["an endless address", { address: "x".repeat(5000) }, "EINVAL"],
  ])("%s is not sent", async (_, given, code) => {
    const file = openSync("/dev/null", "r");
    toClose.push(file);
    await expect(sendListeners(sockPath, [{ fd: file, ...given }])).rejects.toMatchObject({ code });
  });

  test("more than there can be are not sent", async () => {
    const { fd } = await listener("a");
    const given = Array.from({ length: 10_001 }, () => ({ address: "a", fd }));
    await expect(sendListeners(sockPath, given)).rejects.toMatchObject({ code: "EINVAL" });
  });

  test("a connection is not sent", async () => {
    const server = await listen();
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
    client.on("error", () => undefined);
    await once(client, "connect");
    await expect(sendListeners(sockPath, [{ address: "c", fd: descriptorOf(client) }])).rejects.toMatchObject({
      code: "EINVAL",
      message: /of c is no socket that can listen$/,
    });
    client.destroy();
  });

  test.each(["", "no\0path", "x".repeat(120)])("a path that cannot be: %j", async (bad) => {
    const expected = { code: bad.length > 100 ? "ENAMETOOLONG" : "EINVAL" };
    await expect(sendListeners(bad, [])).rejects.toMatchObject(expected);
    await expect(receiveListeners(bad)).rejects.toMatchObject(expected);
  });
});

describe("where the new process waits", () => {
  test("only its user can connect", async () => {
    await receiveListeners(sockPath, {
      waitMs: 0,
      onListening: () => expect(statSync(sockPath).mode & 0o777).toBe(0o600),
    }).catch(() => undefined);
    expect.assertions(1);
  });

  test("nobody comes", async () => {
    await expect(receiveListeners(sockPath, { waitMs: 0 })).rejects.toMatchObject({
      code: "ETIMEDOUT",
      message: /^waiting at .*upgrade\.sock for the process to take over from: waited \d+ ms for it; was it told/,
    });
    expect(existsSync(sockPath)).toBe(false);
  });

  test("the socket file of one that has died is replaced", async () => {
    // Node removes the file of a socket that it closes; a crash does not.
    const leave = `require("net").createServer().listen(${JSON.stringify(sockPath)}, () => process.exit())`;
    execFileSync(process.execPath, ["-e", leave]);
    expect(existsSync(sockPath)).toBe(true);
    const { received, sent } = await handOver([await listener("a")]);
    await received.serving();
    await sent;
  });

  test("a file that is no socket stays", async () => {
    writeFileSync(sockPath, "precious");
    await expect(receiveListeners(sockPath)).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(existsSync(sockPath)).toBe(true);
  });

  test("two cannot wait at once, and the first does not mind", async () => {
    const first = receiveListeners(sockPath);
    await expect(receiveListeners(sockPath)).rejects.toMatchObject({
      code: "EADDRINUSE",
      message: /another process waits there already$/,
    });
    const sent = sendListeners(sockPath, []);
    await (await first).serving();
    await sent;
  });

  test("a folder that is not there", async () => {
    await expect(receiveListeners("/nowhere/at/all.sock")).rejects.toMatchObject({ code: "ENOENT", syscall: "bind" });
  });
});

describe("somebody else at the door is sent away, and the old process is still waited for", () => {
  const hello = (count: unknown): string => `{"type":"hello","version":1,"count":${String(count)}}\n`;
  test.each([
    ["nothing", "", /went away before the old process to begin/],
    ["HTTP", "GET / HTTP/1.1\r\n\r\n", /sent "GET \/ HTTP\/1.1\\r", which is no message/],
    ["another version", '{"type":"hello","version":99,"count":1}\n', /speaks version 99 .* this one 1/],
    ["more than there can be", hello(1e9), /is no message/],
    ["a negative count", hello(-1), /is no message/],
    ["another frame first", '{"type":"serving"}\n', /sent an unexpected {"type":"serving"}/],
    [
      "addresses without descriptors",
      `${hello(1)}{"type":"listeners","addresses":["a"]}\n`,
      /0 descriptors for 1 addr/,
    ],
    ["no addresses, for ever", `${hello(1)}{"type":"listeners","addresses":[]}\n`, /an unexpected/],
    ["addresses that are none", `${hello(1)}{"type":"listeners","addresses":[{}]}\n`, /is no message/],
    ["variables that are none", '{"type":"hello","version":1,"count":1,"variables":{"a":1}}\n', /is no message/],
    ["null", "null\n", /is no message/],
  ])("%s", async (_, text, why) => {
    const refused = Promise.withResolvers<unknown>();
    const receiving = receiveListeners(sockPath, { onRefused: refused.resolve });
    const stranger = connect(sockPath).end(text).resume();
    stranger.on("error", () => undefined);
    expect(await refused.promise).toMatchObject({ name: "LinuxError", message: why });
    const sent = sendListeners(sockPath, [await listener("a")]);
    const received = await receiving;
    toClose.push(received.listeners[0]!.fd);
    await received.serving();
    await sent;
  });

  test("one whose sockets come byte by byte is understood", async () => {
    const receiving = receiveListeners(sockPath);
    const slow = connect(sockPath).setNoDelay(true);
    for (const byte of hello(0)) {
      slow.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const received = await receiving;
    expect(received.listeners).toEqual([]);
    slow.destroy();
    await received.serving();
  });

  test("one who says nothing has limited time", async () => {
    const refused = Promise.withResolvers<unknown>();
    const receiving = receiveListeners(sockPath, { transferMs: 30, onRefused: refused.resolve });
    const stranger = connect(sockPath);
    expect(await refused.promise).toMatchObject({ code: "ETIMEDOUT" });
    stranger.destroy();
    const sent = sendListeners(sockPath, []);
    await (await receiving).serving();
    await sent;
  });
});

test("an old process that dies before it hears of it leaves the new one serving", async () => {
  const receiving = receiveListeners(sockPath);
  const dying = connect(sockPath);
  dying.write('{"type":"hello","version":1,"count":0}\n');
  const received = await receiving;
  dying.destroy();
  expect(await received.serving()).toBe("gone");
});

test("under systemd, linuxHandover makes the new process the main one, and gives it the watchdog", async () => {
  const heard = serviceManager(path.join(folder, "notify"));
  vi.stubEnv("NOTIFY_SOCKET", path.join(folder, "notify"));
  vi.stubEnv("WATCHDOG_USEC", "2000000");
  onTestFinished(() => void vi.unstubAllEnvs());
  const handover = linuxHandover();
  const sendAll = () => handover.send(sockPath, new Map(), { connectMs: 0, servingMs: 5000 });
  let sending: Promise<void> | undefined;
  const onListening = (): void => {
    sending = sendAll();
    vi.stubEnv("WATCHDOG_USEC", undefined);
  };
  const received = await handover.receive(sockPath, { timeoutMs: 5000, onListening });
  expect(process.env["WATCHDOG_USEC"]).toBe("2000000");
  expect(heard()).toBeUndefined();
  await received.serving();
  await sending;
  expect([heard(), heard()]).toEqual([`MAINPID=${process.pid}`, undefined]);
});

test("linuxHandover does it in the words of the server", async () => {
  const handover = linuxHandover();
  const listening = Promise.withResolvers<void>();
  const receiving = handover.receive(sockPath, { timeoutMs: 5000, onListening: listening.resolve });
  await listening.promise;
  const { fd } = await listener("a");
  const sending = handover.send(
    sockPath,
    new Map([
      ["127.0.0.1:80", fd],
      ["127.0.0.1:80#2", fd],
    ]),
    { connectMs: 0, servingMs: 5000, borrowed: ["unix:/run/systemd's.sock"] },
  );
  const received = await receiving;
  toClose.push(...received.fds.values());
  expect([...received.fds.keys()]).toEqual(["127.0.0.1:80", "127.0.0.1:80#2"]);
  expect(received.borrowed).toEqual(["unix:/run/systemd's.sock"]);
  await received.serving();
  await sending;
  received.failed("harmless afterwards");
});
