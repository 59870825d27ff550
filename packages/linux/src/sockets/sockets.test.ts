import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, Socket, type AddressInfo, type ListenOptions } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bufferSizes, setBufferSizes } from "./buffer-sizes.ts";
import { describeSocket } from "./describe-socket.ts";
import { descriptorOf } from "./descriptor-of.ts";
import { fastOpen, setFastOpen } from "./fast-open.ts";
import { keepAlive, setKeepAlive } from "./keep-alive.ts";
import { openTcpSocket } from "./open-tcp-socket.ts";
import { isIpv6Only, reusesPort } from "./shared-port.ts";
import { parseTcpInfo, tcpInfo } from "./tcp-info.ts";
import { setTypeOfService, typeOfService } from "./type-of-service.ts";

let stack: AsyncDisposableStack;

beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

async function listen(options: ListenOptions = { port: 0, host: "127.0.0.1" }) {
  const server = createServer();
  stack.defer(() => void server.close());
  await once(server.listen(options), "listening");
  return server;
}

/** Both ends of a connection. */
async function connection(server: Awaited<ReturnType<typeof listen>>, client?: Socket) {
  const { port, address } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const ours = client === undefined ? connect(port, address) : client.connect(port, address);
  await once(ours, "connect");
  const [theirs] = (await accepted) as [Socket];
  stack.defer(() => {
    ours.destroy();
    theirs.destroy();
  });
  return { ours, theirs };
}

function folder(): string {
  const made = mkdtempSync(path.join(tmpdir(), "sluice-sockets-"));
  stack.defer(() => rmSync(made, { recursive: true }));
  return made;
}

describe("TCP_INFO", () => {
  test("of a connection: its state, its round-trip time, what it carried", async () => {
    const { ours, theirs } = await connection(await listen());
    ours.write("x".repeat(1000));
    await once(theirs, "data");
    const info = tcpInfo(ours);
    expect(info).toMatchObject({ state: "ESTABLISHED", lost: 0, totalRetransmits: 0, usedFastOpen: false });
    expect(info.rttUs).toBeGreaterThan(0);
    expect(info.rttUs).toBeLessThan(10_000_000);
    expect(info.pathMtu).toBeGreaterThan(500);
    expect(info.sendMss).toBeGreaterThan(500);
    expect(info.congestionWindow).toBeGreaterThan(0);
    expect(tcpInfo(theirs).bytesReceived).toBe(1000n);
  });

  test("of a listening socket", async () => {
    expect(tcpInfo(await listen()).state).toBe("LISTEN");
  });

  test("of a kernel that has less of it", () => {
    const old = Buffer.alloc(104, 1);
    expect(parseTcpInfo(old)).toMatchObject({
      state: "ESTABLISHED",
      rttUs: 0x01010101,
      totalRetransmits: 0x01010101,
      minRttUs: undefined,
      bytesAcknowledged: undefined,
      deliveryRate: undefined,
    });
    expect(parseTcpInfo(Buffer.alloc(0)).state).toBe("UNKNOWN");
  });

  test("the places of its fields are those of the kernel's header", () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 240 }, (_, i) => i));
    const at = (offset: number): number => bytes.readUInt32LE(offset);
    expect(parseTcpInfo(bytes)).toMatchObject({
      retransmits: 2,
      retransmissionTimeoutUs: at(8),
      sendMss: at(16),
      receiveMss: at(20),
      unacknowledged: at(24),
      lost: at(32),
      sinceSentMs: at(44),
      sinceReceivedMs: at(52),
      pathMtu: at(60),
      rttUs: at(68),
      rttVarUs: at(72),
      congestionWindow: at(80),
      totalRetransmits: at(100),
      bytesAcknowledged: bytes.readBigUInt64LE(120),
      bytesReceived: bytes.readBigUInt64LE(128),
      notSentBytes: at(144),
      minRttUs: at(148),
      deliveryRate: bytes.readBigUInt64LE(160),
    });
  });

  test("of a closed socket", async () => {
    const { ours } = await connection(await listen());
    ours.destroy();
    expect(() => tcpInfo(ours)).toThrow(
      "reading TCP_INFO: the socket has no descriptor: it is closed, or not open yet",
    );
  });

  test("of a Unix socket", async () => {
    const server = await listen({ path: path.join(folder(), "s") });
    expect(() => tcpInfo(server)).toThrow(/^reading TCP_INFO: getsockopt: E(OPNOTSUPP|NOTSUP) /);
  });
});

describe("what the system knows of a socket", () => {
  test.each([
    [{ port: 0, host: "127.0.0.1" }, "ipv4", "127.0.0.1:PORT"],
    [{ port: 0, host: "0.0.0.0" }, "ipv4", "0.0.0.0:PORT"],
    [{ port: 0, host: "::" }, "ipv6", "[::]:PORT"],
    [{ port: 0, host: "::1" }, "ipv6", "[::1]:PORT"],
  ])("listening on %j", async (options, family, address) => {
    const server = await listen(options);
    const { port } = server.address() as AddressInfo;
    const expected = {
      family,
      type: "stream",
      listening: true,
      connected: false,
      address: address.replace("PORT", String(port)),
    };
    expect(describeSocket(server)).toEqual(expected);
  });

  test("on a path, and on an abstract name", async () => {
    const file = path.join(folder(), "ü.sock");
    expect(describeSocket(await listen({ path: file }))).toMatchObject({ family: "unix", address: `unix:${file}` });
    const name = `sluice-${process.pid}`;
    expect(describeSocket(await listen({ path: `\0${name}` })).address.replace(/\0+$/, "")).toBe(`unix:@${name}`);
  });

  test("connected, and without a name", async () => {
    const server = await listen({ path: path.join(folder(), "s") });
    const client = connect(server.address() as string);
    await once(client, "connect");
    stack.defer(() => void client.destroy());
    expect(describeSocket(client)).toEqual({
      family: "unix",
      type: "stream",
      listening: false,
      connected: true,
      address: "unix:",
    });
  });

  test("of a file, and of nothing", () => {
    const file = openSync("/dev/null", "r");
    stack.defer(() => closeSync(file));
    expect(() => describeSocket(file)).toThrow(
      "describing a socket: getsockopt: ENOTSOCK (socket operation on non-socket)",
    );
    expect(() => describeSocket(1_000_000)).toThrow(/EBADF/);
    for (const none of [-1, 1.5, Number.NaN, {}, new Socket()])
      expect(() => descriptorOf(none)).toThrow("no descriptor");
  });
});

describe("TCP keep-alive", () => {
  test("its four numbers, read back; what is not given stays", async () => {
    const { ours, theirs } = await connection(await listen());
    expect(keepAlive(ours).enabled).toBe(false);
    setKeepAlive(ours, { idleSeconds: 30, intervalSeconds: 5, count: 4, userTimeoutMs: 9000 });
    expect(keepAlive(ours)).toEqual({
      enabled: true,
      idleSeconds: 30,
      intervalSeconds: 5,
      count: 4,
      userTimeoutMs: 9000,
    });
    setKeepAlive(ours, { count: 7 });
    expect(keepAlive(ours)).toMatchObject({ idleSeconds: 30, count: 7 });
    setKeepAlive(theirs);
    expect(keepAlive(theirs)).toMatchObject({ enabled: true, userTimeoutMs: 0 });
  });

  test("of a listening socket goes over to what it accepts", async () => {
    const server = await listen();
    setKeepAlive(server, { idleSeconds: 33 });
    const { theirs } = await connection(server);
    expect(keepAlive(theirs)).toMatchObject({ enabled: true, idleSeconds: 33 });
  });

  test.each([
    [{ idleSeconds: 0 }, "idleSeconds must be a whole number from 1 to 32767, not 0"],
    [{ intervalSeconds: 1.5 }, "intervalSeconds must be a whole number from 1 to 32767, not 1.5"],
    [{ count: 128 }, "count must be a whole number from 1 to 127, not 128"],
    [{ userTimeoutMs: -1 }, "userTimeoutMs must be a whole number from 0 to 2147483647, not -1"],
    [{ idleSeconds: "30" as unknown as number }, "idleSeconds must be a whole number from 1 to 32767, not string"],
  ])("%j", async (options, message) => {
    const server = await listen();
    expect(() => setKeepAlive(server, options)).toThrow(`setting TCP keep-alive: ${message}`);
    expect(keepAlive(server).enabled).toBe(false);
  });
});

describe("type of service", () => {
  test.each(["127.0.0.1", "::1"])("of a listening socket on %s and what it accepts", async (host) => {
    const server = await listen({ port: 0, host });
    setTypeOfService(server, 184);
    expect(typeOfService(server)).toBe(184);
    const { ours, theirs } = await connection(server);
    expect(typeOfService(theirs)).toBe(184);
    setTypeOfService(ours, 32);
    expect(typeOfService(ours)).toBe(32);
  });

  test("only of IP, and only a byte", async () => {
    const server = await listen({ path: path.join(folder(), "s") });
    expect(() => setTypeOfService(server, 1)).toThrow("expected a socket of IPv4 or IPv6, not of the family unix");
    expect(() => setTypeOfService(server, 256)).toThrow("the byte must be a whole number from 0 to 255, not 256");
  });
});

test("buffers: the kernel doubles what it is told", async () => {
  const server = await listen();
  setBufferSizes(server, { sendBytes: 51_200, receiveBytes: 102_400 });
  expect(bufferSizes(server)).toEqual({ sendBytes: 102_400, receiveBytes: 204_800 });
  setBufferSizes(server, {});
  expect(bufferSizes(server).sendBytes).toBe(102_400);
  expect(() => setBufferSizes(server, { sendBytes: 0 })).toThrow("sendBytes must be a whole number from 1 to");
});

test("whether a port is shared, and whether IPv4 is let in", async () => {
  expect(reusesPort(await listen())).toBe(false);
  expect(reusesPort(await listen({ port: 0, host: "127.0.0.1", reusePort: true }))).toBe(true);
  expect(isIpv6Only(await listen({ port: 0, host: "::", ipv6Only: true }))).toBe(true);
  expect(isIpv6Only(await listen({ port: 0, host: "::" }))).toBe(false);
});

describe("TCP fast open", () => {
  test("of a listener", async () => {
    const server = await listen();
    expect(fastOpen(server)).toBe(0);
    setFastOpen(server, 16);
    expect(fastOpen(server)).toBe(16);
    expect(() => setFastOpen(server, -1)).toThrow("queueLength must be a whole number");
  });

  test("of a connection that is still to be made, with all else that must be set before", async () => {
    const server = await listen();
    setFastOpen(server, 16);
    const options = { fastOpen: true, typeOfService: 8, receiveBytes: 40_000, keepAlive: { idleSeconds: 11 } };
    const ours = new Socket({ fd: openTcpSocket("ipv4", options) });
    const { port } = server.address() as AddressInfo;
    const accepted = once(server, "connection");
    ours.connect(port, "127.0.0.1");
    await once(ours, "connect");
    // With a cookie from an earlier connection, nothing is sent before there is something to send.
    ours.write("first");
    const [theirs] = (await accepted) as [Socket];
    const [bytes] = (await once(theirs, "data")) as [Buffer];
    expect(String(bytes)).toBe("first");
    expect(typeOfService(ours)).toBe(8);
    expect(bufferSizes(ours).receiveBytes).toBe(80_000);
    expect(keepAlive(ours)).toMatchObject({ enabled: true, idleSeconds: 11 });
    ours.destroy();
    theirs.destroy();
  });

  const serverBit = 2;
  const allowed = (Number(readFileSync("/proc/sys/net/ipv4/tcp_fastopen", "utf8")) & serverBit) !== 0;
  test("is used from the second connection on, if the system allows it", async () => {
    const server = await listen();
    setFastOpen(server, 16);
    const { port } = server.address() as AddressInfo;
    const used: boolean[] = [];
    for (let i = 0; i < 2; i++) {
      const ours = new Socket({ fd: openTcpSocket("ipv4", { fastOpen: true }) }).connect(port, "127.0.0.1");
      const accepted = once(server, "connection");
      ours.write("x");
      const [theirs] = (await accepted) as [Socket];
      await once(theirs, "data");
      theirs.end("y");
      await once(ours.resume(), "end");
      used.push(tcpInfo(theirs).usedFastOpen);
      ours.destroy();
      theirs.destroy();
    }
    expect(used[1]).toBe(allowed);
  });
});

test("an IPv6 connection with options set before", async () => {
  const server = await listen({ port: 0, host: "::1" });
  const client = new Socket({ fd: openTcpSocket("ipv6", { typeOfService: 40 }) });
  const { ours } = await connection(server, client);
  expect(describeSocket(ours)).toMatchObject({ family: "ipv6", listening: false });
  expect(typeOfService(ours)).toBe(40);
});

test("a socket with an option that cannot be is not left open", () => {
  const before = openTcpSocket("ipv4");
  closeSync(before);
  expect(() => openTcpSocket("ipv4", { typeOfService: 999 })).toThrow("typeOfService must be");
  const after = openTcpSocket("ipv4");
  closeSync(after);
  expect(after).toBe(before);
});
