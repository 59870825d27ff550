import { once } from "node:events";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { fixedPort } from "./support/fixed-port.ts";
import { Generations, type GenerationOptions } from "./support/generations.ts";
import { Load } from "./support/load.ts";
import { isGood, pageCalls } from "./support/page-load.ts";
import { Program } from "./support/program.ts";
import { until } from "./support/wait.ts";

// Several processes start in each.
vi.setConfig({ testTimeout: 120_000 });

// It only answers, and no test asks who has asked it before.
let origin: Program;
beforeAll(async () => void (origin = await Program.start("origin.ts", { port: 0, tag: "origin" })));
afterAll(() => origin[Symbol.asyncDispose]());

const start = (options: GenerationOptions = {}): Promise<Generations> => Generations.start({ ...options, origin });

describe.each([1, 2])("with threads: %i", (threads) => {
  const conf = { threads };

  test("sockets of every form go to the next server, as they are", async () => {
    const file = "unix:FOLDER/app.sock";
    const addresses = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0", file, "127.0.0.1:0"];
    await using generations = await start({ conf, addresses });
    const bound = generations.current.addresses;
    const socketFile = bound[4]!.slice("unix:".length);
    const { ino } = statSync(socketFile);
    expect(await servers(bound)).toEqual(addresses.map(() => "generation 1"));

    for (const name of ["generation 2", "generation 3"]) {
      const old = generations.current;
      const next = await generations.upgrade();
      expect(next.addresses).toEqual(bound);
      expect(await old.exited).toBe(0);
      // The file is the same, and was not removed by the one that had bound it.
      expect(statSync(socketFile).ino).toBe(ino);
      expect(await servers(bound)).toEqual(addresses.map(() => name));
    }
    generations.current.signal("SIGTERM");
    expect(await generations.current.exited).toBe(0);
    expect(existsSync(socketFile)).toBe(false);
  });

  test("an address that is new is bound, one that is gone is closed", async () => {
    const ports = [await fixedPort(), await fixedPort(), await fixedPort()] as const;
    const [kept, gone, added] = ports.map((port) => `127.0.0.1:${port}`) as [string, string, string];
    await using generations = await start({ conf, addresses: [kept, gone, "unix:FOLDER/gone.sock"] });
    const socketFile = path.join(generations.folder, "gone.sock");
    const old = generations.current;
    const next = await generations.upgrade({ addresses: [kept, added, "unix:FOLDER/added.sock"] });
    expect(await old.exited).toBe(0);
    expect(await servers(next.addresses)).toEqual(["generation 2", "generation 2", "generation 2"]);
    await expect(serverAt(gone)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(existsSync(socketFile)).toBe(false);
  });
});

describe("a hand-over that fails leaves the old server serving", () => {
  test("the new one cannot bind what it wants in addition; then one that can takes over", async () => {
    const file = "unix:FOLDER/app.sock";
    await using generations = await start({ addresses: ["127.0.0.1:0", file] });
    const [address, socket] = generations.current.addresses as [string, string];
    const old = generations.current;
    await using taken = await inUse();
    const failing = generations.spawn(true, { addresses: ["127.0.0.1:0", file, taken.address] });
    generations.forget(failing);
    old.signal("SIGQUIT");
    expect(await failing.exited).not.toBe(0);
    expect(failing.stderr).toContain(`cannot listen on ${taken.address}`);
    await old.reaches("Running", 2);
    expect(lineOf(old, "could not hand over the listening sockets; goes on")).toMatchObject({
      err: { message: /the new process refused: .*cannot listen on/ },
    });
    expect(await servers([address, socket])).toEqual(["generation 1", "generation 1"]);

    await generations.upgrade();
    expect(await old.exited).toBe(0);
    expect(await servers([address, socket])).toEqual(["generation 2", "generation 2"]);
  });

  test("the new one dies before it serves", async () => {
    await using generations = await start();
    const old = generations.current;
    const dying = generations.spawn(true, { waits: true });
    generations.forget(dying);
    old.signal("SIGQUIT");
    await until(() => lineOf(dying, "took over listening sockets") !== undefined);
    // It has the socket, and nobody accepts on it there.
    expect(await serverAt(old.addresses[0]!)).toBe("generation 1");
    dying.signal("SIGKILL");
    await old.reaches("Running", 2);
    expect(lineOf(old, "could not hand over the listening sockets; goes on")).toMatchObject({
      err: { message: /the other process went away before the new process to serve/ },
    });
    expect(await serverAt(old.addresses[0]!)).toBe("generation 1");
  });

  test("the new one takes too long: it hears that it is not wanted any more, and ends when its clients are answered", async () => {
    await using generations = await start({ conf: { daemon_ready_timeout_seconds: 1 } });
    const old = generations.current;
    const late = generations.spawn(true, { waits: true });
    generations.forget(late);
    const load = new Load({ port: generations.port, clients: 8, next: pageCalls(), once: true });
    old.signal("SIGQUIT");
    await old.reaches("Running", 2);
    late.signal("SIGUSR2");
    expect(await late.exited).not.toBe(0);
    expect(late.stderr).toMatch(/the old process goes on serving: .*waited \d+ ms for the new process to serve/);
    await load.stop();
    expect(load.outcomes.filter((outcome) => !isGood(outcome))).toEqual([]);
    expect(await serverAt(old.addresses[0]!)).toBe("generation 1");
  });

  test.each([1, 2])("the new one, with threads: %i, fails when it has clients: they are answered", async (threads) => {
    await using generations = await start({ conf: { threads } });
    const old = generations.current;
    const load = new Load({ port: generations.port, clients: 8, next: pageCalls(), once: true });
    for (let round = 0; round < 2 / threads; round++) {
      const failing = generations.spawn(true, { fails: true });
      generations.forget(failing);
      old.signal("SIGQUIT");
      expect(await failing.exited).not.toBe(0);
      expect(failing.stderr).toContain("for a test");
      await old.reaches("Running", round + 2);
    }
    await load.stop();
    expect(load.outcomes.filter((outcome) => !isGood(outcome))).toEqual([]);
  });

  test("nobody waits: SIGQUIT alone ends nothing", async () => {
    await using generations = await start({ conf: { upgrade_sock_connect_accept_max_retries: 0 } });
    const old = generations.current;
    old.signal("SIGQUIT");
    await old.reaches("Running", 2);
    expect(lineOf(old, "could not hand over the listening sockets; goes on")).toMatchObject({
      err: { message: /connect: ENOENT/ },
    });
    expect(await serverAt(old.addresses[0]!)).toBe("generation 1");
  });

  test("nobody hands over: the new one ends, and says what was missing", async () => {
    await using generations = await start();
    const conf = {
      upgrade_sock: path.join(generations.folder, "other.sock"),
      upgrade_sock_connect_accept_max_retries: 0,
    };
    const waiting = generations.spawn(true, { conf });
    expect(await waiting.exited).not.toBe(0);
    expect(waiting.stderr).toMatch(/waiting at .*other\.sock for the process to take over from: waited \d+ ms/);
    expect(existsSync(conf.upgrade_sock)).toBe(false);
    expect(await serverAt(generations.all[0]!.addresses[0]!)).toBe("generation 1");
  });

  test("a file that is no socket is in the way", async () => {
    await using generations = await start();
    writeFileSync(path.join(generations.folder, "upgrade.sock"), "");
    const next = generations.spawn(true);
    expect(await next.exited).not.toBe(0);
    expect(next.stderr).toContain("a file that is no socket is in the way");
  });
});

test.runIf(process.getuid!() === 0)(
  "a server that has given up root is replaced by one that is started as root, and gives it up (when the tests run as root)",
  async () => {
    await using generations = await start({ conf: { user: "nobody" } });
    // Where a server of another account can reach the socket.
    chmodSync(generations.folder, 0o711);
    const old = generations.current;
    const next = await generations.upgrade();
    expect(await old.exited).toBe(0);
    expect(readFileSync(`/proc/${next.pid}/status`, "utf8")).toMatch(/^Uid:\t65534\t65534/m);
    expect(await serverAt(next.addresses[0]!)).toBe("generation 2");
  },
);

test("connections that nobody had accepted yet are the next server's", async () => {
  await using generations = await start();
  const old = generations.current;
  const next = generations.spawn(true);
  await until(() => existsSync(path.join(generations.folder, "upgrade.sock")));
  // The old one accepts nothing any more; what comes now waits in the socket's queue.
  old.signal("SIGSTOP");
  const answers = Array.from({ length: 50 }, () => serverAt(old.addresses[0]!));
  old.signal("SIGQUIT");
  old.signal("SIGCONT");
  await next.reaches("Running");
  const served = await Promise.all(answers);
  expect(served.filter((name) => name !== "generation 1" && name !== "generation 2")).toEqual([]);
  expect(await old.exited).toBe(0);
});

/** Who answers at each. */
async function servers(addresses: readonly string[]): Promise<string[]> {
  return await Promise.all(addresses.map(serverAt));
}

/** Who answers there. Rejects when nobody does. */
async function serverAt(address: string): Promise<string> {
  const socket = connect(whereOf(address));
  socket.write("GET /page?seed=0&size=10 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  return /^X-Served-By: (.*)$/im.exec(await text(socket))![1]!;
}

function whereOf(address: string): { path: string } | { host: string; port: number } {
  if (address.startsWith("unix:")) return { path: address.slice("unix:".length) };
  const [, host, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(address)!;
  return { host: host!.replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^::$/, "::1"), port: Number(port) };
}

async function inUse(): Promise<{ address: string } & AsyncDisposable> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

/** The line of a log with this message. */
function lineOf({ log }: { log: Record<string, unknown>[] }, message: string): Record<string, unknown> | undefined {
  return log.find(({ msg }) => msg === message);
}
