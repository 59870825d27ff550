import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { get, LifeProcess } from "./life-process.ts";

// Processes take their time to start where others work as well; those of two tests at a time, where tests are concurrent.
vi.setConfig({ testTimeout: 60_000, maxConcurrency: 2 });

/** Only root can become somebody else. */
const IS_ROOT = process.geteuid?.() === 0;

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-daemon-"));
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Place {
  readonly address: string;
  readonly pid_file: string;
  readonly error_log: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A folder of its own, which `nobody` may write to, and a daemon's settings that stay in it. */
function place(): Place {
  const own = path.join(folder, String(count++));
  mkdirSync(own);
  if (IS_ROOT) chownSync(own, ...account("nobody"));
  const address = `unix:${own}/web.sock`;
  const pid_file = path.join(own, "server.pid");
  const error_log = path.join(own, "error.log");
  const upgrade_sock = path.join(own, "upgrade.sock");
  return {
    address,
    pid_file,
    error_log,
    settings: { daemon: true, listen: [address], pid_file, error_log, upgrade_sock },
  };
}

function account(name: string): [uid: number, gid: number] {
  return [idOf("-u", name), idOf("-g", name)];
}

function idOf(option: string, name: string): number {
  return Number(execFileSync("id", [option, name]));
}

/** The daemon's process number. */
function pidOf({ pid_file }: Place): number {
  return Number(readFileSync(pid_file, "utf8"));
}

/** A line of `/proc/PID/status`, without its name. */
function status(pid: number, name: string): string[] {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)![1]!.trim().split(/\s+/);
}

/** Starts a daemon, runs `check` with its number once the starting process has ended well, and ends it. */
async function withDaemon(at: Place, more: object, check: (pid: number) => Promise<void> | void): Promise<void> {
  await using starter = new LifeProcess({ ...at.settings, ...more });
  try {
    expect([await starter.exited, starter.stderr]).toEqual([0, expect.any(String)]);
    await check(pidOf(at));
  } finally {
    if (existsSync(at.pid_file)) process.kill(pidOf(at), "SIGKILL");
  }
}

async function untilGone(pid: number): Promise<void> {
  // One whose parent does not care stays as a zombie.
  await expect
    .poll(() => existsSync(`/proc/${pid}`) && status(pid, "State")[0] !== "Z", { timeout: 10_000 })
    .toBe(false);
}

test("runs in the background, in a session and a folder of its own; ends at SIGTERM and leaves nothing", async () => {
  const at = place();
  await withDaemon(at, {}, async (pid) => {
    expect(readFileSync(at.pid_file, "utf8")).toBe(`${pid}\n`);
    await expect
      .poll(() =>
        get(at.address, "/pid").then(
          ({ body }) => body,
          () => "",
        ),
      )
      .toBe(String(pid));
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
    expect(status(pid, "Umask")).toEqual(["0007"]);
    expect(Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[3])).toBe(pid);
    expect(readlinkSync(`/proc/${pid}/fd/0`)).toBe("/dev/null");
    expect(readlinkSync(`/proc/${pid}/fd/1`)).toBe("/dev/null");
    expect(readlinkSync(`/proc/${pid}/fd/2`)).toBe(at.error_log);
    await get(at.address, "/complain");
    expect(readFileSync(at.error_log, "utf8")).toContain("a complaint\n");
    process.kill(pid, "SIGTERM");
    await untilGone(pid);
    expect(existsSync(at.pid_file)).toBe(false);
    expect(existsSync(at.address.slice(5))).toBe(false);
  });
});

test("the folder that is configured, and paths relative to it", async () => {
  const at = place();
  const working_directory = path.dirname(at.pid_file);
  await withDaemon(at, { working_directory, pid_file: "server.pid" }, (pid) => {
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(working_directory);
  });
});

test("its workers serve, and end with it", async () => {
  const at = place();
  await withDaemon(at, { threads: 2, daemon_wait_for_ready: true }, async (pid) => {
    const { pid: worker } = await get(at.address, "/");
    expect(worker).not.toBe(pid);
    process.kill(pid, "SIGTERM");
    await untilGone(pid);
    await untilGone(worker);
    expect(existsSync(at.address.slice(5))).toBe(false);
  });
});

test("what was in the pid file is not taken for this server's number", async () => {
  const at = place();
  writeFileSync(at.pid_file, "4242\n");
  await withDaemon(at, {}, (pid) => {
    expect(pid).not.toBe(4242);
    expect(readFileSync(`${at.pid_file}.old`, "utf8")).toBe("4242\n");
  });
});

describe("an account", () => {
  test.runIf(IS_ROOT)(
    "the daemon becomes who it is to be, with the groups of that account, once a low port is bound",
    async () => {
      const at = place();
      const low = await freeLowPort();
      const [uid, gid] = account("nobody");
      const groups = execFileSync("id", ["-G", "nobody"], { encoding: "utf8" }).trim().split(" ");
      const who = [uid, uid, uid, uid].map(String);
      await withDaemon(at, { user: "nobody", listen: [at.address, low], daemon_wait_for_ready: true }, async (pid) => {
        expect(status(pid, "Uid")).toEqual(who);
        expect(status(pid, "Gid")).toEqual([gid, gid, gid, gid].map(String));
        expect(status(pid, "Groups")).toEqual(groups);
        expect((await get(low, "/pid")).body).toBe(String(pid));
        process.kill(pid, "SIGTERM");
        await untilGone(pid);
        expect(existsSync(at.pid_file)).toBe(false);
      });
    },
  );

  test.runIf(IS_ROOT)("so do its workers, also those that come later; and a group may be another", async () => {
    const at = place();
    const low = await freeLowPort();
    const [uid] = account("nobody");
    const gid = Number(execFileSync("getent", ["group", "daemon"], { encoding: "utf8" }).split(":")[2]);
    const more = { user: "nobody", group: "daemon", threads: 2, listen: [low], daemon_wait_for_ready: true };
    await withDaemon(at, more, async (primary) => {
      await get(low, "/log?n=1");
      expect(readFileSync(at.error_log, "utf8")).toContain('"n":1,"msg":"logged"');
      const { pid: first } = await get(low, "/pid");
      process.kill(first, "SIGKILL");
      await untilGone(first);
      const pids = new Set(await Promise.all(Array.from({ length: 8 }, async () => (await get(low, "/pid")).pid)));
      for (const pid of [primary, ...pids]) {
        expect(status(pid, "Uid")[0]).toBe(String(uid));
        expect(status(pid, "Gid")[0]).toBe(String(gid));
      }
    });
  });

  test.runIf(IS_ROOT)("in the foreground, too", async () => {
    const at = place();
    await using server = new LifeProcess({ listen: [at.address], user: "nobody" });
    await server.running();
    expect(status(server.pid, "Uid")[0]).toBe(String(account("nobody")[0]));
  });

  test("one that the system does not know: exit code 1, and it says so", async () => {
    await using starter = new LifeProcess({ ...place().settings, user: "no-such-user" });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain('user: the system knows no account "no-such-user"');
  });
});

// Side by side, for they mostly wait, the longest first. Polling needs the `expect` of its own test then.
describe("waiting until it is ready", { concurrent: true }, () => {
  test.runIf(IS_ROOT)(
    "of one that may not signal who waits: it gives up after daemon_notify_timeout_seconds",
    async ({ expect: own }) => {
      const at = place();
      const more = {
        user: "nobody",
        daemon_wait_for_ready: true,
        daemon_notify_timeout_seconds: 1,
        daemon_ready_timeout_seconds: 10,
      };
      // The starting process stays root.
      const staysRoot = "data:text/javascript,if (!process.env.SLUICE_ROLE) process.setuid = () => undefined;";
      await using starter = new LifeProcess({ ...at.settings, ...more }, { execArgv: ["--import", staysRoot] });
      const log = (): string => (existsSync(at.error_log) ? readFileSync(at.error_log, "utf8") : "");
      await own.poll(log, { timeout: 9000 }).toContain("could not tell the starting process that the daemon is ready");
      expect(log()).toContain("EPERM");
      expect(await starter.exited).toBe(1);
      expect(starter.stderr).toContain("it was not ready within 10 s, and goes on");
      process.kill(pidOf(at), "SIGKILL");
    },
  );

  test.each([
    ["the same account", {}],
    ["another account", { user: "nobody" }],
  ])("%s", async (_, more) => {
    if ("user" in more && !IS_ROOT) return;
    const at = place();
    await withDaemon(at, { ...more, slowStartMs: 1000, daemon_wait_for_ready: true }, async (pid) => {
      // Without waiting: it must be there.
      expect((await get(at.address, "/pid")).body).toBe(String(pid));
    });
  });

  test("in vain: exit code 1, and the daemon goes on", async ({ expect: own }) => {
    const at = place();
    const more = { slowStartMs: 3000, daemon_wait_for_ready: true, daemon_ready_timeout_seconds: 1 };
    await using starter = new LifeProcess({ ...at.settings, ...more });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("it was not ready within 1 s, and goes on");
    await own.poll(() => existsSync(at.pid_file) && pidOf(at) > 0, { timeout: 10_000 }).toBe(true);
    const pid = pidOf(at);
    await own
      .poll(
        () =>
          get(at.address, "/pid").then(
            ({ body }) => body,
            () => "",
          ),
        { timeout: 10_000 },
      )
      .toBe(String(pid));
    process.kill(pid, "SIGKILL");
  });

  test("of one that dies: exit code 1", async ({ expect: own }) => {
    const at = place();
    await using starter = new LifeProcess({ ...at.settings, slowStartMs: 60_000, daemon_wait_for_ready: true });
    await own.poll(() => existsSync(at.pid_file) && pidOf(at) > 0, { timeout: 10_000 }).toBe(true);
    process.kill(pidOf(at), "SIGKILL");
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("it ended (SIGKILL) before it was ready");
  });
});

describe("a daemon that cannot start: exit code 1, the reason is told to who waits, and the server before keeps its pid file", () => {
  test("an address in use", async () => {
    const at = place();
    await withDaemon(at, { daemon_wait_for_ready: true }, async (pid) => {
      await using second = new LifeProcess({ ...at.settings, threads: 2 });
      expect(await second.exited).toBe(1);
      expect(second.stderr).toContain(`cannot listen on ${at.address} (another process listens there`);
      expect(pidOf(at)).toBe(pid);
      expect((await get(at.address, "/pid")).body).toBe(String(pid));
    });
  });

  test("a service that fails", async () => {
    const at = place();
    await using starter = new LifeProcess({
      ...at.settings,
      failIn: "the database is away",
      daemon_wait_for_ready: true,
    });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("the database is away");
    expect(existsSync(at.pid_file)).toBe(false);
  });

  test("a folder that is not there", async () => {
    await using starter = new LifeProcess({ ...place().settings, working_directory: "/no/such/folder" });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("ENOENT");
    expect(starter.stderr).toContain("/no/such/folder");
  });

  test("sockets of a service manager, which are for the process that it has started", async () => {
    await using starter = new LifeProcess({ ...place().settings, inherited: { "127.0.0.1:80": 3 } });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("daemon: the sockets of the service manager (127.0.0.1:80) are for this process");
  });

  test("a log that cannot be opened", async () => {
    const at = place();
    await using starter = new LifeProcess({ ...at.settings, error_log: "/no/such/folder/error.log" });
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain("error_log: cannot open /no/such/folder/error.log");
  });

  test.skipIf(process.platform === "win32")("a log that is a pipe which nobody reads", async () => {
    const at = place();
    execFileSync("mkfifo", [at.error_log]);
    await using starter = new LifeProcess(at.settings);
    expect(await starter.exited).toBe(1);
    expect(starter.stderr).toContain(`error_log: cannot open ${at.error_log}`);
  });
});

test("the next server is told to be ready when it waits for the sockets, so that the one before may be signalled", async () => {
  const at = place();
  const shared = {
    threads: 1,
    handover: "order",
    daemon_wait_for_ready: true,
    upgrade_sock_connect_accept_max_retries: 20,
  };
  await withDaemon({ ...at }, { ...shared, listen: ["127.0.0.1:0"] }, async (old) => {
    await using next = new LifeProcess({ ...at.settings, ...shared, listen: ["127.0.0.1:0"], upgrade: true });
    expect(await next.exited).toBe(0);
    const pid = pidOf(at);
    expect(pid).not.toBe(old);
    expect(readFileSync(`${at.pid_file}.old`, "utf8")).toBe(`${old}\n`);
    process.kill(old, "SIGQUIT");
    await untilGone(old);
    // Its end has not removed the file of the one that goes on.
    expect(pidOf(at)).toBe(pid);
    expect(existsSync(`${at.pid_file}.old`)).toBe(false);
  });
});

describe("the next server, when it does not take over: the one before has its pid file again, under its own name", () => {
  const waiting = { handover: "order", listen: ["127.0.0.1:0"] };
  test.each([
    ["for nobody came", 0, undefined],
    ["for it was told to end", 60, "SIGTERM"],
  ] as const)("%s", async (_, upgrade_sock_connect_accept_max_retries, signal) => {
    const at = place();
    await withDaemon(at, waiting, async (old) => {
      const more = { ...waiting, upgrade: true, upgrade_sock_connect_accept_max_retries };
      await using next = new LifeProcess({ ...at.settings, ...more });
      // Who has started it may have heard that it waits, or already that it ended.
      await next.exited;
      const pid = existsSync(at.pid_file) ? pidOf(at) : old;
      if (signal !== undefined) process.kill(pid, signal);
      if (pid !== old) await untilGone(pid);
      expect(pidOf(at)).toBe(old);
      process.kill(old, "SIGTERM");
      await untilGone(old);
      expect([existsSync(at.pid_file), existsSync(`${at.pid_file}.old`)]).toEqual([false, false]);
    });
  });
});

test.runIf(IS_ROOT)("a log that its account may not open again: that is told, and it goes on", async () => {
  const at = place();
  const logs = path.join(path.dirname(at.pid_file), "logs");
  mkdirSync(logs);
  const error_log = path.join(logs, "error.log");
  await withDaemon(at, { user: "nobody", error_log, threads: 2, daemon_wait_for_ready: true }, async (pid) => {
    renameSync(error_log, `${error_log}.1`);
    process.kill(pid, "SIGUSR1");
    const told = /"the log cannot be opened again; goes on with the file it had"/g;
    // The process that was signalled, and both workers.
    await expect.poll(() => readFileSync(`${error_log}.1`, "utf8").match(told)?.length, { timeout: 10_000 }).toBe(3);
    await get(at.address, "/log?n=7");
    const log = (): string => readFileSync(`${error_log}.1`, "utf8");
    expect(log()).toContain('"n":7');
    expect(log()).not.toContain("nobody caught");
    // One that replaces another can open it no more than they could.
    const { pid: worker } = await get(at.address, "/pid");
    process.kill(worker, "SIGKILL");
    await expect.poll(log, { timeout: 20_000 }).toContain('"the log cannot be opened; goes on with standard error"');
    await expect.poll(() => log().match(/"a worker is ready"/g)?.length, { timeout: 20_000 }).toBe(3);
    process.kill(pid, "SIGTERM");
    await untilGone(pid);
  });
});

/** For longer: `SLUICE_ROTATIONS=100`. */
const ROTATIONS = Number(process.env["SLUICE_ROTATIONS"] ?? 5);

describe(`${ROTATIONS} rotations of logs, under load: no line is lost and none is there twice`, () => {
  test.each<[string, number, "log" | "file"]>([
    ["error_log, one process", 1, "log"],
    ["error_log, two workers", 2, "log"],
    ["a file for many lines, two workers", 2, "file"],
  ])(
    "%s",
    async (_, threads, kind) => {
      const at = place();
      const logFile = path.join(path.dirname(at.pid_file), "many.log");
      await withDaemon(
        at,
        { threads, daemon_wait_for_ready: true, ...(kind === "file" && { logFile }) },
        async (pid) => {
          const rotated = kind === "log" ? at.error_log : logFile;
          const agent = new Agent({ keepAlive: true, maxSockets: 8 });
          let asked = 0;
          const over = new AbortController();
          const ask = async (): Promise<void> => {
            while (!over.signal.aborted) await get(at.address, `/${kind}?n=${asked++}`, agent);
          };
          const load = Array.from({ length: 8 }, ask);
          for (let turn = 1; turn <= ROTATIONS; turn++) {
            await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(turn * 200);
            renameSync(rotated, `${rotated}.${turn}`);
            process.kill(pid, "SIGUSR1");
            await expect.poll(() => existsSync(rotated)).toBe(true);
          }
          // Each worker opens its file when it hears of the signal, which may be a moment after the first has.
          const rotatedAt = asked;
          await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(rotatedAt + 400);
          over.abort();
          await Promise.all(load);
          agent.destroy();
          process.kill(pid, "SIGTERM");
          await untilGone(pid);
          const turns = Array.from({ length: ROTATIONS }, (_turn, index) => index + 1);
          const text =
            turns.map((turn) => readFileSync(`${rotated}.${turn}`, "utf8")).join("") + readFileSync(rotated, "utf8");
          const numbers =
            kind === "log"
              ? [...text.matchAll(/"name":"life","n":(\d+)/g)].map(([, n]) => Number(n))
              : text.trim().split("\n").map(Number);
          // And what came last is in the file that has the name now.
          expect(readFileSync(rotated, "utf8")).toMatch(new RegExp(`\\b${asked - 1}\\b`));
          expect(numbers.toSorted((one, other) => one - other)).toEqual(
            Array.from({ length: asked }, (_n, index) => index),
          );
        },
      );
    },
    40_000 + ROTATIONS * 2000,
  );
});

async function freeLowPort(): Promise<string> {
  for (let port = 700; port < 1000; port++) {
    const taken = await get(`127.0.0.1:${port}`, "/").then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== "ECONNREFUSED",
    );
    if (!taken) return `127.0.0.1:${port}`;
  }
  throw new Error("no free port below 1024");
}
