import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { WorkerEndCause } from "../src/index.ts";
import { get, Held, LifeProcess, type Told } from "./life-process.ts";

// Processes take their time to start where others work as well.
vi.setConfig({ testTimeout: 60_000 });

const LISTEN = { listen: ["127.0.0.1:0"] };

/** The server, running, with its address. */
async function running(settings: object, execArgv: string[] = []): Promise<{ server: LifeProcess; address: string }> {
  const server = new LifeProcess({ ...LISTEN, threads: 2, ...settings }, { execArgv });
  try {
    return { server, address: await server.running() };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "sluice-workers-"))));
afterAll(() => rmSync(folder, { recursive: true }));

const ready = ({ channel }: Told): boolean => channel === "sluice:worker:ready";
const ended = ({ channel }: Told): boolean => channel === "sluice:worker:ended";
const holds = (told: Told): boolean => told.holds === true;
const draining = ({ channel }: Told): boolean => channel === "sluice:worker:draining";

/** Asks until each of that many processes has answered. */
async function servingPids(address: string, count: number): Promise<Set<number>> {
  const pids = new Set<number>();
  const giveUpAt = performance.now() + 15_000;
  while (pids.size < count && performance.now() < giveUpAt) {
    const answers = await Promise.all(Array.from({ length: 16 }, () => get(address, "/pid")));
    for (const { pid } of answers) pids.add(pid);
  }
  return pids;
}

test("as many processes as asked for share a port that the system chose", async () => {
  const { server, address } = await running({ threads: 3 });
  await using _ = server;
  const pids = await servingPids(address, 3);
  expect(pids.size).toBe(3);
  expect(pids).not.toContain(server.pid);
  server.signal("SIGTERM");
  expect(await server.exited).toBe(0);
});

test("what runs once per server runs in the process that was started, before the workers; the rest in each", async () => {
  const { server } = await running({});
  await using _ = server;
  const once = server.told.findIndex((told) => told.once === "started");
  expect(server.told[once]!.from).toBe(server.pid);
  expect(server.told.filter((told) => told.once !== undefined)).toHaveLength(1);
  expect(server.told.findIndex(ready)).toBeGreaterThan(once);
  const announced = server.told.filter(({ addresses }) => addresses !== undefined);
  expect(new Set(announced.map(({ from }) => from)).size).toBe(2);
});

test("a server with workers that cannot start ends, and says why", async () => {
  await using server = new LifeProcess({ ...LISTEN, threads: 2, failIn: "the database is away" });
  expect(await server.exited).toBe(1);
  expect(server.stderr).toContain("could not start: the database is away");
});

test("an address that is taken is found before any worker is started", async () => {
  const { server: first, address } = await running({});
  await using _ = first;
  await using second = new LifeProcess({ listen: [address], threads: 2 });
  expect(await second.exited).toBe(1);
  expect(second.stderr).toContain(`cannot listen on ${address} (another process listens there`);
  expect(second.told.filter(ready)).toEqual([]);
});

describe("a worker that dies is replaced, and nobody else is concerned", () => {
  test.each<[string, string, WorkerEndCause]>([
    ["calls process.exit", "/exit", "exited"],
    ["aborts", "/abort", "aborted"],
  ])("one that %s", async (_name, path, cause) => {
    const { server, address } = await running({});
    await using _ = server;
    const before = await servingPids(address, 2);
    const agent = new Agent({ keepAlive: true });
    // On the other worker, while this one dies.
    const { pid: other } = await get(address, "/pid", agent);
    using hold = new Held();
    const held = get(address, hold.path, agent);
    let victim: number;
    do victim = (await get(address, "/pid")).pid;
    while (victim === other);
    const killer = new Agent({ keepAlive: true });
    while ((await get(address, "/pid", killer)).pid !== victim) killer.destroy();
    await expect(get(address, path, killer)).rejects.toThrow(/ECONNRESET|socket hang up/);

    const [end] = await server.until(ended);
    expect(end).toMatchObject({ cause, pid: victim });
    hold.release();
    expect((await held).body).toBe("released");
    await server.until(ready, 3);
    const after = await servingPids(address, 2);
    expect(after).not.toContain(victim);
    expect([...after].filter((pid) => before.has(pid))).toEqual([other]);
    agent.destroy();
    killer.destroy();
  });

  test("one that is killed", async () => {
    const { server, address } = await running({});
    await using _ = server;
    const { pid } = await get(address, "/pid");
    process.kill(pid, "SIGKILL");
    const [end] = await server.until(ended);
    expect(end).toMatchObject({ cause: "killed", pid, signal: "SIGKILL", exitCode: null });
    await server.until(ready, 3);
    expect((await servingPids(address, 2)).size).toBe(2);
  });

  test.each([
    ["bit by bit", "/oom"],
    ["in one turn of its event loop", "/oom?atOnce"],
  ])("one that runs out of memory %s", async (_name, path) => {
    const { server, address } = await running({}, ["--max-old-space-size=64"]);
    await using _ = server;
    void get(address, path).catch(() => undefined);
    const [end] = await server.until(ended);
    expect(end).toMatchObject({ cause: "out-of-memory", message: expect.stringMatching(/out of memory/) as string });
    await server.until(ready, 3);
    expect((await servingPids(address, 2)).size).toBe(2);
  });

  test.runIf(process.platform === "linux")(
    "nothing that it would report stays, also of a server that is killed",
    async () => {
      const TMPDIR = mkdtempSync(join(tmpdir(), "sluice-workers-"));
      try {
        await using server = new LifeProcess({ listen: ["127.0.0.1:0"], threads: 2 }, { env: { TMPDIR } });
        await server.running();
        expect(readdirSync(TMPDIR)).toEqual([]);
        server.signal("SIGKILL");
        await server.exited;
        expect(readdirSync(TMPDIR)).toEqual([]);
      } finally {
        rmSync(TMPDIR, { recursive: true });
      }
    },
  );

  test.runIf(process.platform === "linux")("where there is no room for a report, that is told", async () => {
    await using server = new LifeProcess({ ...LISTEN, threads: 2 }, { env: { TMPDIR: "/no/such/folder" } });
    const address = await server.running();
    expect(server.stderr).toContain("out of memory will be guessed");
    void get(address, "/abort").catch(() => undefined);
    expect((await server.until(ended))[0]).toMatchObject({ signal: "SIGABRT" });
    await server.until(ready, 3);
  });

  test("one whose event loop is blocked for too long", async () => {
    const { server, address } = await running({ watchdog_seconds: 1 });
    await using _ = server;
    const blocked = get(address, "/block?ms=600000");
    blocked.catch(() => undefined);
    const [end] = await server.until(ended);
    expect(end).toMatchObject({
      cause: "unresponsive",
      message: expect.stringMatching(/blocked for \d+ ms/) as string,
    });
    await expect(blocked).rejects.toThrow(/ECONNRESET|socket hang up/);
    await server.until(ready, 3);
    expect((await servingPids(address, 2)).size).toBe(2);
  });

  test("one that is blocked before it has said that it is there, and is tried again", async () => {
    const blockIf = join(folder, "blocked");
    const { server, address } = await running({ watchdog_seconds: 1, blockIf });
    await using _ = server;
    const { pid } = await get(address, "/pid");
    writeFileSync(blockIf, "");
    process.kill(pid, "SIGKILL");
    const blocked = ({ cause }: Told): boolean => cause === "unresponsive";
    const [first] = await server.until(blocked);
    expect(first).toMatchObject({
      livedMs: 0,
      message: expect.stringMatching(/^it showed no sign of life for \d+ ms and has not come to run\(\)/) as string,
    });
    await server.logged("a worker is replaced after a delay");
    rmSync(blockIf);
    await server.until(ready, 3);
    expect((await servingPids(address, 2)).size).toBe(2);
  });

  test("one that is blocked when the server starts: the server ends, and says so", async () => {
    const settings = { watchdog_seconds: 1, grace_period_seconds: 0, graceful_shutdown_timeout_seconds: 0 };
    await using server = new LifeProcess({ ...LISTEN, threads: 2, ...settings, blockIf: folder });
    expect(await server.exited).toBe(1);
    expect(server.stderr).toMatch(/worker \d could not start: it showed no sign of life/);
  });

  test("one whose program ends before it runs: it is said where to look, and is tried again", async () => {
    const endIf = join(folder, "ends");
    const { server, address } = await running({ endIf });
    await using _ = server;
    const { pid } = await get(address, "/pid");
    writeFileSync(endIf, "");
    process.kill(pid, "SIGKILL");
    const [end] = await server.until(({ cause }) => cause === "could-not-start", 2);
    expect(end).toMatchObject({ exitCode: 1, message: "it ended before run(); standard error says why" });
    rmSync(endIf);
    await server.until(ready, 3);
    expect((await servingPids(address, 2)).size).toBe(2);
  });

  test("all of them at once: those who connect meanwhile wait, and are answered", async () => {
    const { server, address } = await running({});
    await using _ = server;
    for (const pid of await servingPids(address, 2)) process.kill(pid, "SIGKILL");
    await server.until(ended, 2);
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(address, "/")));
    expect(answers.map(({ body }) => body)).toEqual(Array(20).fill("ok"));
  });

  // Side by side: they mostly wait.
  describe("while the watchdog has a second", { concurrent: true }, () => {
    test("one that waits for much longer than the first process did is left alone while its event loop turns", async () => {
      const { server, address } = await running({ watchdog_seconds: 1, slowWorkerMs: 10_000 });
      await using _ = server;
      expect((await servingPids(address, 2)).size).toBe(2);
      expect(server.told.filter(ended)).toEqual([]);
    });

    test("one that only starts slowly, as all of them do, is left alone, however short the watchdog's time", async () => {
      const { server, address } = await running({ watchdog_seconds: 1, slowProgramMs: 1500 });
      await using _ = server;
      expect((await servingPids(address, 2)).size).toBe(2);
      expect(server.told.filter(ended)).toEqual([]);
    });
  });
});

describe("an error that nobody catches ends its worker when its other requests are answered", () => {
  test.each([
    ["/throw", "thrown for a test"],
    ["/reject", "rejected for a test"],
  ])("%s", async (path, message) => {
    const { server, address } = await running({});
    await using _ = server;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { pid } = await get(address, "/pid", agent);
    const other = new Agent({ keepAlive: true, maxSockets: 1 });
    while ((await get(address, "/pid", other)).pid !== pid) other.destroy();
    using hold = new Held();
    const held = get(address, hold.path, agent);
    await server.until(holds);
    await get(address, path, other);

    const [drains] = await server.until(draining);
    expect(drains).toMatchObject({ pid, reason: "uncaught-error", message });
    // Its successor does not wait for the one that is held.
    await server.until(ready, 3);
    expect(server.told.filter(ended)).toEqual([]);
    hold.release();
    expect(await held).toEqual({ pid, body: "released" });
    const [end] = await server.until(ended);
    expect(end).toMatchObject({ pid, cause: "uncaught-error", exitCode: 1, message });
    expect(server.log.filter(({ level, msg }) => level === 60 && /nobody caught/.test(String(msg)))).toHaveLength(1);
    agent.destroy();
    other.destroy();
  });

  test("SIGTERM to a worker: it drains, and is replaced", async () => {
    const { server, address } = await running({});
    await using _ = server;
    const agent = new Agent({ keepAlive: true });
    const { pid } = await get(address, "/pid", agent);
    using hold = new Held();
    const held = get(address, hold.path, agent);
    await server.until(holds);
    process.kill(pid, "SIGTERM");
    await server.until(ready, 3);
    hold.release();
    expect(await held).toEqual({ pid, body: "released" });
    expect((await server.until(ended))[0]).toMatchObject({ pid, cause: "signal", exitCode: 0 });
    agent.destroy();
  });
});

describe("the bus", () => {
  test("what one says, all hear, also those that come later", async () => {
    const { server, address } = await running({});
    await using _ = server;
    await get(address, "/say?what=one&as=a");
    await get(address, "/say?what=two&as=a");
    await get(address, "/say?what=three&as=b");
    const heard = async (): Promise<Set<string>> =>
      new Set((await Promise.all(Array.from({ length: 16 }, () => get(address, "/heard")))).map(({ body }) => body));
    await expect.poll(heard).toEqual(new Set(["one,two,three"]));
    const { pid } = await get(address, "/pid");
    process.kill(pid, "SIGKILL");
    await server.until(ready, 3);
    await servingPids(address, 2);
    // The first has been replaced by what was said later under the same name.
    await expect.poll(heard).toEqual(new Set(["one,two,three", "two,three"]));
  });

  test("all answer what one asks", async () => {
    const { server, address } = await running({});
    await using _ = server;
    const pids = [server.pid, ...(await servingPids(address, 2))];
    const { body } = await get(address, "/ask");
    expect(body).toBe(
      pids
        .map((pid) => `${pid}?`)
        .toSorted()
        .join(","),
    );
  });
});

describe("the end", () => {
  test("SIGTERM while workers start: all end, and it ends well, with the grace period unused", async () => {
    // Longer than any test may take.
    const grace_period_seconds = 3600;
    await using server = new LifeProcess({ ...LISTEN, threads: 2, slowStartMs: 1000, grace_period_seconds });
    await server.until(({ from, phase }) => from === server.pid && phase === "BootstrapComplete");
    await server.until(({ once }) => once !== undefined);
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(server.phases()).not.toContain("Running");
  });

  test("SIGTERM: what is in flight on any worker is answered, nobody new is let in", async () => {
    const { server, address } = await running({});
    await using _ = server;
    using hold = new Held();
    const held = Array.from({ length: 8 }, () => get(address, hold.path));
    await server.until(holds, 8);
    server.signal("SIGTERM");
    await server.until(({ from, phase }) => from === server.pid && phase === "ShutdownGracePeriod");
    // Workers are told, and accept those who had come before; then nobody is left to wait in a queue.
    const refused = (): Promise<string> => get(address, "/").then(({ body }) => body, String);
    await expect.poll(refused, { timeout: 10_000 }).toContain("ECONNREFUSED");
    hold.release();
    expect((await Promise.all(held)).map(({ body }) => body)).toEqual(Array(8).fill("released"));
    expect(await server.exited).toBe(0);
    await expect(get(address, "/")).rejects.toThrow("ECONNREFUSED");
    expect(server.told.filter(ended).map(({ cause }) => cause)).toEqual(["stopped", "stopped"]);
  });

  test("a worker that does not end is killed when its time is over", async () => {
    const { server, address } = await running({ grace_period_seconds: 1, graceful_shutdown_timeout_seconds: 0 });
    await using _ = server;
    get(address, "/block?ms=600000").catch(() => undefined);
    await server.until(({ blocks }) => blocks === true);
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(server.stderr).toContain("a worker did not end; killed it");
  });

  test("workers whose parent is killed end what is in flight, and themselves", async () => {
    const { server, address } = await running({});
    await using _ = server;
    const pids = await servingPids(address, 2);
    using hold = new Held();
    const held = get(address, hold.path);
    await server.until(holds);
    server.signal("SIGKILL");
    await server.logged("the process that has started this worker is gone");
    hold.release();
    expect((await held).body).toBe("released");
    await server.exited;
    const over = server.told.filter((told) => told.over).map(({ from }) => from);
    expect(new Set(over)).toEqual(pids);
  });
});
