import { mkdtempSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { tcpClient } from "../../test/net-harness.ts";
import { configureLogs } from "../log/logger.ts";
import { SocketAddress } from "../net/socket-address.ts";
import type { AcceptFilter } from "./accept-filter.ts";
import { AcceptGate } from "./accept-gate.ts";
import { Listener } from "./listener.ts";

const DEBUG = 20;
const ERROR = 50;

let lines: { level: number; client?: string; listener?: string; err?: { message: string }; msg: string }[];
const open: Disposable[] = [];

beforeEach(() => {
  lines = [];
  configureLogs({
    levels: "debug",
    destination: { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  });
});

afterEach(() => {
  vi.useRealTimers();
  for (const each of open.splice(0)) each[Symbol.dispose]();
});

interface Door {
  readonly address: string;
  readonly gate: AcceptGate;
  /** Resolves with the next socket that is let in. */
  readonly next: () => Promise<Socket>;
  readonly letIn: Socket[];
  readonly noneWaits: () => number;
}

/** A listener with a gate, closed after the test. */
async function door(where: string, own?: AcceptFilter, service?: AcceptFilter): Promise<Door> {
  const letIn: Socket[] = [];
  let noneWaits = 0;
  let wake = Promise.withResolvers<Socket>();
  const gate = new AcceptGate(() => noneWaits++);
  gate.filter = service;
  const onConnection = (socket: Socket): void => {
    letIn.push(socket);
    wake.resolve(socket);
    wake = Promise.withResolvers();
  };
  const options = own === undefined ? {} : { acceptFilter: own };
  const listener = new Listener(SocketAddress.parse(where), options, onConnection, gate);
  await listener.bind();
  open.push({
    [Symbol.dispose]: () => {
      listener.close();
      gate.closeWaiting();
      for (const socket of letIn) socket.destroy();
    },
  });
  return { address: listener.address, gate, letIn, next: () => wake.promise, noneWaits: () => noneWaits };
}

/** A filter that leaves its clients to the test. */
function asked(): { filter: AcceptFilter; next: () => Promise<PromiseWithResolvers<boolean>> } {
  const arrived: PromiseWithResolvers<boolean>[] = [];
  const wanted: ((decision: PromiseWithResolvers<boolean>) => void)[] = [];
  return {
    filter: () => {
      const decision = Promise.withResolvers<boolean>();
      const claim = wanted.shift();
      if (claim === undefined) arrived.push(decision);
      else claim(decision);
      return decision.promise;
    },
    next: async () => arrived.shift() ?? (await new Promise((resolve) => wanted.push(resolve))),
  };
}

test("without a filter everybody comes in, and nobody counts as refused", async () => {
  const { address, gate, next } = await door("127.0.0.1:0");
  const arrival = next();
  using _client = await tcpClient(address);
  await arrival;
  expect([gate.acceptedCount, gate.refusedCount, gate.waitingCount]).toEqual([1, 0, 0]);
});

test("a filter sees the address of the client, and true lets it in", async () => {
  const seen: (SocketAddress | undefined)[] = [];
  const { address, next } = await door("127.0.0.1:0", (client) => seen.push(client) > 0);
  const arrival = next();
  using client = await tcpClient(address);
  const socket = await arrival;
  expect(seen.map((each) => [each?.host, each?.port])).toEqual([["127.0.0.1", client.socket.localPort]]);
  socket.write("come in");
  expect(await client.until((text) => text !== "")).toBe("come in");
});

test("false closes the connection without a byte; it is counted, and a line at debug names the client", async () => {
  const { address, gate, letIn } = await door("127.0.0.1:0", () => false);
  using client = await tcpClient(address);
  const from = `127.0.0.1:${client.socket.localPort!}`;
  await client.ended;
  expect(client.text()).toBe("");
  expect([letIn.length, gate.acceptedCount, gate.refusedCount]).toEqual([0, 1, 1]);
  expect(lines).toEqual([
    expect.objectContaining({ level: DEBUG, client: from, listener: "127.0.0.1:0", msg: "refused a connection" }),
  ]);
});

test("an IPv4 client of an IPv6 listener has its IPv4 address", async () => {
  const hosts: (string | undefined)[] = [];
  const { address, next } = await door("[::]:0", (client) => hosts.push(client?.host) > 0);
  for (const host of ["127.0.0.1", "[::1]"]) {
    const arrival = next();
    using _client = await tcpClient(address.replace("[::]", host));
    await arrival;
  }
  expect(hosts).toEqual(["127.0.0.1", "::1"]);
});

test("a client on a Unix socket has no address", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  open.push({ [Symbol.dispose]: () => rmSync(directory, { recursive: true }) });
  const seen: unknown[] = [];
  const { address, next } = await door(`unix:${join(directory, "s.sock")}`, (client) => seen.push(client) > 0);
  const arrival = next();
  using _client = await tcpClient(address);
  await arrival;
  expect(seen).toEqual([undefined]);
});

test("a TCP client that had left before, and so has no address, is refused unasked", () => {
  const gate = new AcceptGate();
  let calls = 0;
  const socket = new Socket();
  gate.pass(
    socket,
    () => ++calls > 0,
    SocketAddress.parse("127.0.0.1:80"),
    () => expect.unreachable(),
  );
  expect([calls, gate.refusedCount, socket.destroyed]).toEqual([0, 1, true]);
});

test.for([
  [true, true, ["service", "listener"], true],
  [true, false, ["service", "listener"], false],
  [false, true, ["service"], false],
] as const)("the service says %s, the listener %s", async ([service, listener, order, comesIn]) => {
  for (const later of [false, true]) {
    const calls: string[] = [];
    const says = (who: string, answer: boolean): AcceptFilter => {
      return () => (calls.push(who), later ? Promise.resolve(answer) : answer);
    };
    const { address, next, gate } = await door("127.0.0.1:0", says("listener", listener), says("service", service));
    const arrival = next();
    using client = await tcpClient(address);
    await (comesIn ? arrival : client.ended);
    expect(calls).toEqual(order);
    expect(gate.refusedCount).toBe(comesIn ? 0 : 1);
  }
});

test.for<[how: string, answer: () => unknown, why: string]>([
  [
    "throws",
    () => {
      throw new Error("no list");
    },
    "no list",
  ],
  ["rejects", () => Promise.reject(new Error("no list")), "no list"],
  ["gives nothing", () => undefined, "must give true or false, or a promise of it; it gave undefined"],
  ["gives a number", () => 1, "it gave number"],
  ["gives a promise of null", () => Promise.resolve(null), "it gave null"],
])("a filter that %s refuses, and is logged as an error", async ([, answer, why]) => {
  const filter = answer as AcceptFilter;
  const places: [own: AcceptFilter | undefined, service?: AcceptFilter][] = [
    [filter],
    [filter, () => Promise.resolve(true)],
    [undefined, filter],
  ];
  for (const [own, service] of places) {
    const { address, gate, letIn } = await door("127.0.0.1:0", own, service);
    using client = await tcpClient(address);
    await client.ended;
    expect([letIn.length, gate.refusedCount]).toEqual([0, 1]);
    const [line] = lines.splice(0);
    expect(line).toMatchObject({ level: ERROR, msg: "an accept filter failed; refused the connection" });
    expect(line?.client).toBe(`127.0.0.1:${client.socket.localPort}`);
    expect(line?.err?.message).toContain(why);
  }
});

test("others are accepted while a promise is waited for", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, next, gate, noneWaits } = await door("127.0.0.1:0", filter);
  using first = await tcpClient(address);
  const slow = await nextAsked();
  using second = await tcpClient(address);
  const quick = await nextAsked();
  expect(gate.waitingCount).toBe(2);

  const arrival = next();
  quick.resolve(true);
  expect((await arrival).remotePort).toBe(second.socket.localPort);
  expect([gate.waitingCount, noneWaits()]).toEqual([1, 0]);
  slow.resolve(false);
  await first.ended;
  expect([gate.waitingCount, gate.refusedCount, noneWaits()]).toEqual([0, 1, 1]);
});

test("what a client sends while it waits is there when it comes in", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, next } = await door("127.0.0.1:0", filter);
  using client = await tcpClient(address);
  const decision = await nextAsked();
  await new Promise((resolve) => client.socket.end("hello", () => resolve(undefined)));
  const arrival = next();
  decision.resolve(true);
  const socket = await arrival;
  const text = await new Promise((resolve) => {
    let all = "";
    socket.setEncoding("latin1").on("data", (piece: string) => (all += piece));
    socket.on("end", () => resolve(all)).resume();
  });
  expect(text).toBe("hello");
});

test("a client that resets while it waits harms nobody", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, next } = await door("127.0.0.1:0", filter);
  const client = await tcpClient(address);
  const decision = await nextAsked();
  const closed = new Promise((resolve) => client.socket.once("close", resolve));
  client.socket.resetAndDestroy();
  await closed;
  const arrival = next();
  decision.resolve(true);
  const socket = await arrival;
  const failed = new Promise((resolve) => socket.once("error", resolve));
  socket.resume();
  expect(await failed).toMatchObject({ code: "ECONNRESET" });
});

test("a filter that has not decided after 60 s refuses, and what it says later is nothing", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, gate, letIn, noneWaits } = await door("127.0.0.1:0", filter);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  using client = await tcpClient(address);
  const decision = await nextAsked();
  vi.advanceTimersByTime(59_999);
  expect(gate.waitingCount).toBe(1);
  vi.advanceTimersByTime(1);
  expect([gate.waitingCount, gate.refusedCount, noneWaits()]).toEqual([0, 1, 1]);
  await client.ended;
  decision.resolve(true);
  await decision.promise;
  expect([letIn.length, gate.refusedCount]).toEqual([0, 1]);
  expect(lines).toMatchObject([{ level: ERROR, err: { message: expect.stringContaining("60000 ms") as string } }]);
});

test("a decision leaves no timer", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, next } = await door("127.0.0.1:0", filter);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  using _client = await tcpClient(address);
  const decision = await nextAsked();
  expect(vi.getTimerCount()).toBe(1);
  const arrival = next();
  decision.resolve(true);
  await arrival;
  expect(vi.getTimerCount()).toBe(0);
});

test("those who wait can be closed, which is no refusal", async () => {
  const { filter, next: nextAsked } = asked();
  const { address, gate, letIn, noneWaits } = await door("127.0.0.1:0", filter);
  using client = await tcpClient(address);
  const decision = await nextAsked();
  gate.closeWaiting();
  await client.ended;
  decision.resolve(true);
  await decision.promise;
  expect([letIn.length, gate.waitingCount, gate.refusedCount, noneWaits()]).toEqual([0, 0, 0, 1]);
});
