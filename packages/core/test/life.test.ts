import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ExecutionPhase } from "../src/index.ts";
import { get, Held, LifeProcess } from "./life-process.ts";

// Processes take their time to start where others work as well.
vi.setConfig({ testTimeout: 60_000 });

const LISTEN = { listen: ["127.0.0.1:0"] };

let folder: string;
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), "sluice-life-"))));
afterAll(() => rmSync(folder, { recursive: true }));

const START: ExecutionPhase[] = ["Bootstrap", "BootstrapComplete", "Running"];

describe("phases, in order", () => {
  test.each<[string, NodeJS.Signals, ExecutionPhase[]]>([
    ["fast", "SIGINT", ["ShutdownStarted", "ShutdownRuntimes", "Terminated"]],
    [
      "graceful",
      "SIGTERM",
      ["GracefulTerminate", "ShutdownStarted", "ShutdownGracePeriod", "ShutdownRuntimes", "Terminated"],
    ],
  ])("%s: %s", async (_, signal, end) => {
    await using server = new LifeProcess(LISTEN);
    await server.running();
    server.signal(signal);
    expect(await server.exited).toBe(0);
    expect(server.phases()).toEqual([...START, ...end]);
  });

  test.each([1, 2])("the signal's listeners are there before Running is told, with %i processes", async (threads) => {
    await using server = new LifeProcess({ ...LISTEN, threads });
    await server.until(({ from, phase }) => from === server.pid && phase === "Running");
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
  });

  test("SIGTERM while services start: those that have not begun do not, and it ends well", async () => {
    await using server = new LifeProcess({ ...LISTEN, slowStartMs: 1000 });
    await server.until(({ once }) => once !== undefined);
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(server.phases()).not.toContain("Running");
    expect(server.told.filter(({ addresses }) => addresses !== undefined)).toEqual([]);
  });
});

test("an error that nobody catches ends a server without workers with exit code 1, when what is in flight is answered", async () => {
  await using server = new LifeProcess(LISTEN);
  const address = await server.running();
  using hold = new Held();
  const held = get(address, hold.path);
  await server.until(({ holds }) => holds === true);
  await get(address, "/throw");
  await server.until(({ phase }) => phase === "ShutdownGracePeriod");
  hold.release();
  expect((await held).body).toBe("released");
  expect(await server.exited).toBe(1);
  expect(server.log.filter(({ level }) => level === 60)).toMatchObject([
    { msg: "an error that nobody caught; draining", err: { message: "thrown for a test" } },
  ]);
});

/** The old and the new process meet also where others work as well. */
const PATIENT = { upgrade_sock_connect_accept_max_retries: 60 };

describe("SIGQUIT", () => {
  test("without anything that could hand over, it goes on", async () => {
    await using server = new LifeProcess(LISTEN);
    const address = await server.running();
    server.signal("SIGQUIT");
    await server.logged("nothing was given to the server that could hand over");
    expect((await get(address, "/")).body).toBe("ok");
  });

  test("a hand-over that fails: it goes on", async () => {
    await using server = new LifeProcess({ ...LISTEN, handover: "fails" });
    const address = await server.running();
    server.signal("SIGQUIT");
    await server.logged("could not hand over the listening sockets; goes on");
    // What is told comes another way than the log.
    await server.until(({ phase }) => phase === "Running", 2);
    expect(server.phases()).toEqual([...START, "GracefulUpgradeTransferringFds", "Running"]);
    expect(server.told.filter(({ channel }) => channel === "sluice:server:handover")).toMatchObject([
      { outcome: "failed", message: "for a test" },
    ]);
    expect((await get(address, "/")).body).toBe("ok");
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
  });

  test.each([1, 2])(
    "with %i processes: the old one stops when the new one serves, and what is in flight is answered",
    async (threads) => {
      const upgrade_sock = path.join(folder, `upgrade-${threads}.sock`);
      await using old = new LifeProcess({ ...LISTEN, threads, handover: "order", upgrade_sock, ...PATIENT });
      const address = await old.running();
      using hold = new Held();
      const held = get(address, hold.path);
      await old.until(({ holds }) => holds === true);
      await using next = new LifeProcess({
        listen: [address],
        threads,
        handover: "order",
        upgrade: true,
        upgrade_sock,
        ...PATIENT,
      });
      await next.logged("waiting for the listening sockets");
      old.signal("SIGQUIT");
      await next.running();
      hold.release();
      expect((await held).body).toBe("released");
      expect(await old.exited).toBe(0);
      expect(old.phases()).toEqual([
        ...START,
        "GracefulUpgradeTransferringFds",
        "ShutdownStarted",
        "ShutdownGracePeriod",
        "ShutdownRuntimes",
        "Terminated",
      ]);
      expect((await get(address, "/")).body).toBe("ok");
    },
  );

  test("while it waits for the next one, SIGTERM ends it as ever", async () => {
    await using server = new LifeProcess({ ...LISTEN, handover: "waits" });
    await server.running();
    server.signal("SIGQUIT");
    await server.until(({ phase }) => phase === "GracefulUpgradeTransferringFds");
    server.signal("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(server.stderr).not.toContain("could not hand over");
  });

  test("a new one that cannot start: the old one goes on", async () => {
    const upgrade_sock = path.join(folder, "upgrade-failing.sock");
    await using old = new LifeProcess({ ...LISTEN, handover: "order", upgrade_sock, ...PATIENT });
    const address = await old.running();
    await using next = new LifeProcess({
      listen: [address],
      handover: "order",
      upgrade: true,
      upgrade_sock,
      ...PATIENT,
      failIn: "no",
    });
    await next.logged("waiting for the listening sockets");
    old.signal("SIGQUIT");
    expect(await next.exited).toBe(1);
    await old.logged("could not hand over the listening sockets; goes on");
    expect((await get(address, "/")).body).toBe("ok");
  });
});

test("--upgrade without anything that could take over: it ends, and says what it needs", async () => {
  await using server = new LifeProcess({ ...LISTEN, upgrade: true });
  expect(await server.exited).toBe(1);
  expect(server.stderr).toContain("nothing was given to the server that could take over sockets");
});

test("--upgrade, and it is told to end before anybody comes: it ends well", async () => {
  const upgrade_sock = path.join(folder, "told.sock");
  await using server = new LifeProcess({ ...LISTEN, upgrade: true, handover: "order", upgrade_sock, ...PATIENT });
  await server.logged("waiting for the listening sockets");
  server.signal("SIGTERM");
  expect(await server.exited).toBe(0);
  expect(server.phases().at(-1)).toBe("Terminated");
});

test("--upgrade, and nobody comes: it ends", async () => {
  const settings = { ...LISTEN, upgrade: true, handover: "order", upgrade_sock_connect_accept_max_retries: 0 };
  await using server = new LifeProcess({ ...settings, upgrade_sock: path.join(folder, "nobody.sock") });
  expect(await server.exited).toBe(1);
  expect(server.stderr).toContain("nobody came");
});

describe("SIGHUP", () => {
  test("without anything to reload, it goes on", async () => {
    await using server = new LifeProcess(LISTEN);
    const address = await server.running();
    server.signal("SIGHUP");
    await server.logged("told to reload, but nothing here can be");
    expect((await get(address, "/")).body).toBe("ok");
  });

  test.each([1, 2])("with %i processes: what is new counts in all, what is bad in none", async (threads) => {
    const reload = path.join(folder, `word-${threads}`);
    writeFileSync(reload, "second");
    await using server = new LifeProcess({ ...LISTEN, threads, reload });
    const address = await server.running();
    const words = async (): Promise<Set<string>> =>
      new Set((await Promise.all(Array.from({ length: 12 }, () => get(address, "/word")))).map(({ body }) => body));
    expect(await words()).toEqual(new Set(["first"]));
    server.signal("SIGHUP");
    await server.logged('"reloaded"');
    expect(await words()).toEqual(new Set(["second"]));
    writeFileSync(reload, "bad");
    server.signal("SIGHUP");
    await server.logged("a bad word");
    expect(await words()).toEqual(new Set(["second"]));
  });

  test("a worker that comes later has it, too", async () => {
    const reload = path.join(folder, "word-later");
    writeFileSync(reload, "second");
    await using server = new LifeProcess({ ...LISTEN, threads: 2, reload });
    const address = await server.running();
    server.signal("SIGHUP");
    await server.logged('"reloaded"');
    for (const pid of new Set(server.told.flatMap(({ addresses, from }) => (addresses === undefined ? [] : [from])))) {
      process.kill(pid, "SIGKILL");
    }
    const answers = await Promise.all(Array.from({ length: 12 }, () => get(address, "/word")));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["second"]));
  });
});
