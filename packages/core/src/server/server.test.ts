import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { tcpClient, untilRefused } from "../../test/net-harness.ts";
import { configureLogs } from "../log/logger.ts";
import { backgroundService } from "../services/background-service.ts";
import { HttpService } from "../services/http-service.ts";
import type { Service } from "../services/service.ts";
import { turn } from "../testing/index.ts";
import { Server } from "./server.ts";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => void vi.useRealTimers());

/** A service that tells what is asked of it. */
function service(name: string, told: string[], parts: Partial<Service> = {}): Service {
  return {
    name,
    start: () => {
      told.push(`start ${name}`);
      return Promise.resolve();
    },
    stop: () => {
      told.push(`stop ${name}`);
      return Promise.resolve();
    },
    ...parts,
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

describe("start", () => {
  test("starts services in order, each after the one before is ready", async () => {
    const told: string[] = [];
    const ready = Promise.withResolvers<void>();
    const slow = { start: () => (told.push("start slow"), ready.promise) };
    const server = new Server().addService(service("slow", told, slow)).addService(service("b", told));
    const start = server.start();
    await turn();
    expect(told).toEqual(["start slow"]);
    ready.resolve();
    await start;
    expect(told).toEqual(["start slow", "start b"]);
  });

  test("one that cannot start: those before it are stopped, the others never start, and its error is thrown", async () => {
    const told: string[] = [];
    const bad = { start: () => Promise.reject(new Error("port in use")) };
    const server = new Server()
      .addService(service("a", told))
      .addService(service("bad", told, bad))
      .addService(service("c", told));
    await expect(server.start()).rejects.toThrow("port in use");
    expect(told).toEqual(["start a", "stop a"]);
  });

  test("called again, it is the same start", async () => {
    const told: string[] = [];
    const server = new Server().addService(service("a", told));
    await Promise.all([server.start(), server.start()]);
    expect(told).toEqual(["start a"]);
  });

  test("no service can be added afterwards", async () => {
    const server = new Server();
    await server.start();
    expect(() => server.addService(service("late", []))).toThrow(/the service late was added after/);
  });

  test("stopped meanwhile, it starts no further service", async () => {
    const told: string[] = [];
    const ready = Promise.withResolvers<void>();
    const slow = { start: () => ready.promise };
    const server = new Server().addService(service("slow", told, slow)).addService(service("b", told));
    const start = server.start();
    await turn();
    await server.stop();
    ready.resolve();
    await start;
    expect(told).toEqual(["stop slow"]);
  });
});

describe("dependencies", () => {
  test("a service starts when those that it is said to wait for are ready, whatever was added before", async () => {
    const told: string[] = [];
    const ready = Promise.withResolvers<void>();
    const slow = service("slow", told, { start: () => (told.push("start slow"), ready.promise) });
    const base = service("base", told);
    const server = new Server().addService(slow).addService(base, { after: [] });
    const api = service("api", told);
    server.addService(api, { after: [base] });
    server.addService(service("last", told));
    const start = server.start();
    await turn();
    expect(told).toEqual(["start slow", "start base", "start api"]);
    ready.resolve();
    await start;
    expect(told.at(-1)).toBe("start last");
  });

  test("may be added later, and a circle is refused by name", async () => {
    const told: string[] = [];
    const [one, two] = [service("one", told), service("two", told)];
    const server = new Server().addService(one).addService(two);
    server.addDependency(one, two);
    expect(() => server.addDependency(two, one)).toThrow("circular service dependency: two -> one -> two");
    await server.start();
    expect(told).toEqual(["start two", "start one"]);
  });

  test("a task that is not ready holds back those that wait for it; one that ends does not", async () => {
    const told: string[] = [];
    const shown = Promise.withResolvers<() => void>();
    const task = backgroundService("task", {
      run: (shutdown, ready) => {
        shown.resolve(ready);
        return aborted(shutdown);
      },
    });
    const ends = backgroundService("ends", { run: () => Promise.resolve() });
    const server = new Server().addService(ends).addService(task).addService(service("after", told));
    const start = server.start();
    const ready = await shown.promise;
    await turn();
    expect(told).toEqual([]);
    ready();
    await start;
    expect(told).toEqual(["start after"]);
    await server.stop();
  });

  test("services of which one cannot start: those that wait for it never do, and the others are stopped", async () => {
    const told: string[] = [];
    const bad = service("bad", told, { start: () => Promise.reject(new Error("no")) });
    const server = new Server().addService(service("free", told), { after: [] }).addService(bad, { after: [] });
    server.addService(service("waits", told), { after: [bad] });
    await expect(server.start()).rejects.toThrow("no");
    expect(told).toEqual(["start free", "stop free"]);
  });
});

describe("bootstrap as a service", () => {
  test("comes when those that it waits for are ready, and whatever listens comes after it", async () => {
    const told: string[] = [];
    const server = new Server();
    server.onPhase((phase) => told.push(phase));
    const web = new HttpService("web", { handleRequest: () => Promise.resolve() }).listenTcp("127.0.0.1:0");
    server.addService(web);
    server.addService(service("prepares", told), { after: [] });
    server.addDependency(
      server.bootstrapAsService(),
      ...[service("first", told), service("second", told)].map((one) => {
        server.addService(one, { after: [] });
        return one;
      }),
    );
    server.addService(service("last", told));
    const run = server.run();
    await vi.waitUntil(() => server.phase === "Running");
    expect(told.slice(0, 5).toSorted()).toEqual(
      ["start prepares", "start first", "start second", "Bootstrap", "BootstrapComplete"].toSorted(),
    );
    expect(told.indexOf("Bootstrap")).toBeGreaterThan(told.indexOf("start second"));
    expect(told.slice(5)).toEqual(["start last", "Running"]);
    expect(web.addresses[0]).toMatch(/:[1-9]\d*$/);
    await server.stop();
    await run;
  });

  test("cannot wait for what listens", async () => {
    const server = new Server();
    const web = new HttpService("web", { handleRequest: () => Promise.resolve() }).listenTcp("127.0.0.1:0");
    server.addService(web, { after: [] }).addDependency(server.bootstrapAsService(), web);
    await expect(server.run()).rejects.toThrow("circular service dependency");
  });
});

test("with workers, what runs once cannot wait for what runs in each", async () => {
  const alone = service("once", [], { oncePerServer: true });
  const each = service("each", []);
  const server = new Server({ threads: 2 }, { test: true }).addService(each).addService(alone);
  await server.run();
  server.addDependency(alone, each);
  await expect(server.run()).rejects.toThrow(
    "once runs once per server and cannot wait for each, which runs in each worker",
  );
});

test("only to be tested, it starts nothing", async () => {
  const told: string[] = [];
  const before = process.listenerCount("SIGTERM");
  const server = new Server({}, { test: true }).addService(service("a", told));
  await server.run();
  expect(told).toEqual([]);
  expect(process.listenerCount("SIGTERM")).toBe(before);
  expect(lines.join("")).toContain("the configuration is valid");
});

test.each([
  [{ user: "no-such-user" }, 'user: the system knows no account "no-such-user"'],
  [{ group: "no-such-group" }, 'group: the system knows no group "no-such-group"'],
  [{ error_log: "/no/such/folder/log" }, "error_log: cannot open /no/such/folder/log: ENOENT"],
  [{ working_directory: "/no/such/folder" }, "working_directory: ENOENT"],
])("only to be tested, it says what is not there: %j", async (conf, message) => {
  await expect(new Server(conf, { test: true }).run()).rejects.toThrow(message);
});

test("a configuration that cannot be is refused", () => {
  expect(() => new Server({ threads: 1.5 })).toThrow("configuration: threads: expected an integer from 1 to 1024");
});

describe("stop", () => {
  test("stops all services at once", async () => {
    const told: string[] = [];
    const gate = Promise.withResolvers<void>();
    const slow = { stop: () => (told.push("stop slow"), gate.promise) };
    const server = new Server().addService(service("a", told)).addService(service("slow", told, slow));
    await server.start();
    told.length = 0;
    let over = false;
    const stop = server.stop().then(() => (over = true));
    await turn();
    expect(told.toSorted()).toEqual(["stop a", "stop slow"]);
    expect(over).toBe(false);
    gate.resolve();
    await stop;
  });

  test("called again, it is the same stop", async () => {
    const told: string[] = [];
    const server = new Server().addService(service("a", told));
    await server.start();
    await Promise.all([server.stop(), server.stop()]);
    expect(told).toEqual(["start a", "stop a"]);
  });

  test("forces what is not done within the grace period", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const server = new Server({ grace_period_seconds: 10 }).addService(service("a", [], { stop: aborted }));
    await server.start();
    let over = false;
    const stop = server.stop().then(() => (over = true));
    await vi.advanceTimersByTimeAsync(9999);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await stop;
    expect(over).toBe(true);
  });

  test("a second call can shorten the grace period, and not lengthen it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    let over = false;
    const server = new Server().addService(service("a", [], { stop: aborted }));
    await server.start();
    void server.stop(10_000).then(() => (over = true));
    void server.stop(100);
    void server.stop(60_000);
    await vi.advanceTimersByTimeAsync(99);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(over).toBe(true);
  });

  test("0 forces at once", async () => {
    const server = new Server().addService(service("a", [], { stop: aborted }));
    await server.start();
    await expect(server.stop(0)).resolves.toBeUndefined();
  });

  test("a service that hangs even then is left behind, and named in the log", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const hang = { stop: () => new Promise<void>(() => undefined) };
    const server = new Server({ graceful_shutdown_timeout_seconds: 5 }).addService(service("stuck", [], hang));
    await server.start();
    let over = false;
    void server.stop(0).then(() => (over = true));
    await vi.advanceTimersByTimeAsync(4999);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(over).toBe(true);
    expect(lines.join("")).toMatch(/"service":"stuck".*a service failed to stop/s);
  });

  test("a service that fails to stop does not keep the others", async () => {
    const told: string[] = [];
    const bad = { stop: () => Promise.reject(new Error("no way")) };
    const server = new Server().addService(service("bad", told, bad)).addService(service("b", told));
    await server.start();
    await server.stop();
    expect(told).toEqual(["start bad", "start b", "stop b"]);
    expect(lines.join("")).toContain("no way");
  });

  test("no timer is left behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const server = new Server().addService(service("a", []));
    await server.start();
    await server.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("run", () => {
  test("ends when the server is stopped, and leaves no signal listener", async () => {
    const before = process.listenerCount("SIGTERM");
    const server = new Server().addService(service("a", []));
    const run = server.run();
    expect(process.listenerCount("SIGTERM")).toBe(before + 1);
    await turn();
    await server.stop();
    await run;
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });

  test("rejects when a service cannot start, and leaves no signal listener", async () => {
    const before = process.listenerCount("SIGINT");
    const bad = { start: () => Promise.reject(new Error("port in use")) };
    await expect(new Server().addService(service("bad", [], bad)).run()).rejects.toThrow("port in use");
    expect(process.listenerCount("SIGINT")).toBe(before);
  });
});

describe("reload", () => {
  test("one at a time; all that are asked for meanwhile are one", async () => {
    const server = new Server();
    const loads: (() => void)[] = [];
    const applied: number[] = [];
    server.onReload<number>({
      name: "number",
      load: () => new Promise((resolve) => loads.push(() => resolve(loads.length))),
      apply: (value) => void applied.push(value),
    });
    const first = server.reload();
    await vi.waitUntil(() => loads.length === 1);
    const others = Array.from({ length: 20 }, () => server.reload());
    expect(loads).toHaveLength(1);
    loads[0]!();
    await first;
    await vi.waitUntil(() => loads.length === 2);
    loads[1]!();
    await Promise.all(others);
    expect(applied).toEqual([1, 2]);
  });

  test("one that is refused rejects, and the next counts", async () => {
    const server = new Server();
    const values = [Promise.reject(new Error("for a test")), Promise.resolve(2)];
    const applied: number[] = [];
    server.onReload<number>({
      name: "number",
      load: () => values.shift()!,
      apply: (value) => void applied.push(value),
    });
    await expect(server.reload()).rejects.toThrow("for a test");
    await server.reload();
    expect(applied).toEqual([2]);
  });
});

describe("configuration", () => {
  test("overrides the defaults", () => {
    expect(new Server().conf.grace_period_seconds).toBe(30);
    expect(new Server({ grace_period_seconds: 5 }).conf).toMatchObject({ grace_period_seconds: 5, max_retries: 3 });
  });

  test("comes from the file that the command line names", () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-"));
    const file = join(directory, "c.yaml");
    writeFileSync(file, "grace_period_seconds: 7\n");
    for (const args of [["-c", file], [`--conf=${file}`]]) {
      expect(Server.fromArgs(args).conf.grace_period_seconds).toBe(7);
    }
    expect(Server.fromArgs([]).conf.grace_period_seconds).toBe(30);
    expect(() => Server.fromArgs(["--nonsense"])).toThrow(TypeError);
    rmSync(directory, { recursive: true });
  });
});

describe("signals", () => {
  const PROGRAM = fileURLToPath(new URL("../../test/signal-server.ts", import.meta.url));

  interface Running extends Disposable {
    child: ChildProcess;
    address: string;
    /** Resolves when the program has told `line`. */
    told(line: string): Promise<void>;
    exit: Promise<unknown[]>;
  }

  async function running(conf: object = {}): Promise<Running> {
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(conf)], { stdio: ["pipe", "pipe", "ignore"] });
    const exit = once(child, "exit");
    const output: string[] = [];
    let wake = (): void => undefined;
    createInterface({ input: child.stdout }).on("line", (line) => {
      output.push(line);
      wake();
    });
    const find = async (prefix: string): Promise<string> => {
      for (;;) {
        const line = output.find((each) => each.startsWith(prefix));
        if (line !== undefined) return line;
        await Promise.race([new Promise<void>((resolve) => (wake = resolve)), exit]);
        if (child.exitCode !== null && !output.some((each) => each.startsWith(prefix))) {
          throw new Error(`the program ended with ${child.exitCode}; it told ${output.join(", ")}`);
        }
      }
    };
    const address = (await find("listening ")).slice("listening ".length);
    return {
      child,
      address,
      exit,
      told: async (line) => void (await find(line)),
      [Symbol.dispose]: () => void child.kill("SIGKILL"),
    };
  }

  const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

  test.for(["SIGTERM", "SIGINT"] as const)(
    "%s while idle ends the process at once, with exit code 0",
    async (signal) => {
      using program = await running();
      using idle = await tcpClient(program.address);
      program.child.kill(signal);
      await idle.ended;
      expect(await program.exit).toEqual([0, null]);
      await program.told("over");
    },
  );

  test("SIGTERM lets a request in flight finish", async () => {
    using program = await running();
    using client = await tcpClient(program.address);
    client.socket.write(GET);
    await program.told("arrived");
    program.child.kill("SIGTERM");
    await program.told("stopping");
    await untilRefused(program.address);
    program.child.stdin!.write("go\n");
    expect(await client.until((text) => text.endsWith("ok"))).toContain("Connection: close");
    client.socket.end();
    expect(await program.exit).toEqual([0, null]);
  });

  test("a second signal ends what is in flight", async () => {
    using program = await running();
    using client = await tcpClient(program.address);
    client.socket.write(GET);
    await program.told("arrived");
    program.child.kill("SIGTERM");
    await program.told("stopping");
    // Signals that come together are one: a terminal's Ctrl-C may reach a program twice.
    program.child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(client.text()).toBe("");
    program.child.kill("SIGTERM");
    await client.ended;
    expect(client.text()).toBe("");
    expect(await program.exit).toEqual([0, null]);
  });

  test("SIGINT gives what is in flight a second", async () => {
    using program = await running({ grace_period_seconds: 3600 });
    using client = await tcpClient(program.address);
    client.socket.write(GET);
    await program.told("arrived");
    program.child.kill("SIGINT");
    await client.ended;
    expect(await program.exit).toEqual([0, null]);
  });

  test("without a grace period, SIGTERM ends what is in flight", async () => {
    using program = await running({ grace_period_seconds: 0 });
    using client = await tcpClient(program.address);
    client.socket.write(GET);
    await program.told("arrived");
    program.child.kill("SIGTERM");
    await client.ended;
    expect(await program.exit).toEqual([0, null]);
  });
});
