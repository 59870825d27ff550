import { execFile } from "node:child_process";
import { channel } from "node:diagnostics_channel";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { testWith } from "../../../../test/programs.ts";
import { serviceManager } from "../../test/support/service-manager.ts";
import { listenFds } from "./listen-fds.ts";
import { notifySystemd } from "./notify.ts";
import { reportToSystemd } from "./report-to-systemd.ts";
import { startWatchdog, watchdogIntervalMs } from "./watchdog.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sluice-systemd-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("telling systemd", () => {
  test.each([
    [{ ready: true }, "READY=1"],
    [
      { ready: true, status: "serving\non 2 addresses", mainPid: 4711 },
      "READY=1\nMAINPID=4711\nSTATUS=serving on 2 addresses",
    ],
    [{ stopping: true }, "STOPPING=1"],
    [{ watchdog: true as const }, "WATCHDOG=1"],
    [{ watchdog: "trigger" as const, errno: 5 }, "WATCHDOG=trigger\nERRNO=5"],
    [{ extendTimeoutUs: 1000 }, "EXTEND_TIMEOUT_USEC=1000"],
  ])("%j", (state, text) => {
    const address = path.join(folder, "notify");
    const heard = serviceManager(address);
    expect(notifySystemd(state, { NOTIFY_SOCKET: address })).toBe(true);
    expect(heard()).toBe(text);
  });

  test("of a reload, with the time on the clock that systemd reads", () => {
    const address = `@sluice-test-${process.pid}`;
    const heard = serviceManager(address);
    const beforeUs = process.hrtime.bigint() / 1000n;
    notifySystemd({ reloading: true }, { NOTIFY_SOCKET: address });
    const [first, second] = heard()!.split("\n") as [string, string];
    expect(first).toBe("RELOADING=1");
    const atUs = BigInt(second.replace("MONOTONIC_USEC=", ""));
    expect(atUs).toBeGreaterThanOrEqual(beforeUs);
    expect(atUs).toBeLessThanOrEqual(process.hrtime.bigint() / 1000n);
  });

  test("when it does not want to know, nothing is done", () => {
    expect(notifySystemd({ ready: true }, {})).toBe(false);
    expect(notifySystemd({ ready: true }, { NOTIFY_SOCKET: "" })).toBe(false);
    expect(notifySystemd({}, { NOTIFY_SOCKET: "/nowhere" })).toBe(false);
  });

  test("when it cannot be told, the error says what and where", () => {
    const state = { ready: true };
    expect(() => notifySystemd(state, { NOTIFY_SOCKET: "/nowhere/at/all" })).toThrow(
      "telling systemd READY=1 at /nowhere/at/all: sendto: ENOENT (no such file or directory)",
    );
    expect(() => notifySystemd(state, { NOTIFY_SOCKET: "vsock:2:1234" })).toThrow(
      /expected a path or an abstract @name/,
    );
  });
});

describe("the watchdog", () => {
  test.each([
    [{}, undefined],
    [{ WATCHDOG_USEC: "3000000" }, 3000],
    [{ WATCHDOG_USEC: "3000000", WATCHDOG_PID: String(process.pid) }, 3000],
    [{ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "1" }, undefined],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "soon" }, undefined],
  ])("%j asks for a sign each %s ms", (env, expected) => {
    expect(watchdogIntervalMs(env)).toBe(expected);
  });

  test("gets a sign twice as often as it asks, until it is stopped or the answer is no", () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const address = path.join(folder, "notify");
    const heard = serviceManager(address);
    let alive = true;
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: "2000000" };
    const watchdog = startWatchdog(unexpected, () => alive, env)!;
    expect([heard(), heard()]).toEqual(["WATCHDOG=1", undefined]);
    vi.advanceTimersByTime(2000);
    expect([heard(), heard(), heard()]).toEqual(["WATCHDOG=1", "WATCHDOG=1", undefined]);
    alive = false;
    vi.advanceTimersByTime(2000);
    expect(heard()).toBeUndefined();
    alive = true;
    watchdog.stop();
    vi.advanceTimersByTime(5000);
    expect(heard()).toBeUndefined();
  });

  test("that does not hear is told of once, until it has heard again", () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const errors: unknown[] = [];
    const address = path.join(folder, "notify-later");
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: "2000000" };
    const watchdog = startWatchdog((error) => void errors.push(error), undefined, env);
    onTestFinished(() => watchdog?.stop());
    vi.advanceTimersByTime(3000);
    expect(errors).toEqual([expect.objectContaining({ code: "ENOENT" })]);
    const heard = serviceManager(address);
    vi.advanceTimersByTime(1000);
    expect(heard()).toBe("WATCHDOG=1");
    rmSync(address);
    vi.advanceTimersByTime(3000);
    expect(errors).toHaveLength(2);
    expect(startWatchdog(unexpected, undefined, {})).toBeUndefined();
  });
});

describe("a server's life, as systemd hears it", () => {
  /** Passes through `phases`; what was told at each. */
  function told(phases: readonly string[], more: NodeJS.ProcessEnv = {}): string[] {
    const address = path.join(folder, "notify");
    const heard = serviceManager(address);
    let listener: ((phase: string) => void) | undefined;
    const server = { onPhase: (given: (phase: string) => void) => ((listener = given), () => undefined) };
    reportToSystemd(server, { onError: unexpected, env: { NOTIFY_SOCKET: address, ...more } });
    return phases.map((phase) => {
      listener!(phase);
      return [heard(), heard()].filter((text) => text !== undefined).join(" | ");
    });
  }
  const ready = `READY=1\nMAINPID=${process.pid}\nSTATUS=serving`;
  const stopping = "STOPPING=1\nSTATUS=finishing what is in flight";

  test("ready, then stopping", () => {
    const phases = ["Bootstrap", "BootstrapComplete", "Running", "GracefulTerminate", "ShutdownStarted", "Terminated"];
    expect(told(phases)).toEqual(["", "", ready, "", stopping, ""]);
  });

  test("one that has handed over stops in silence, for the service goes on", () => {
    const phases = ["Bootstrap", "Running", "GracefulUpgradeTransferringFds", "ShutdownStarted"];
    expect(told(phases)).toEqual(["", ready, "", ""]);
  });

  test("one whose hand-over failed goes on, and says so when it stops later", () => {
    const phases = ["Bootstrap", "Running", "GracefulUpgradeTransferringFds", "Running", "ShutdownStarted"];
    expect(told(phases)).toEqual(["", ready, "", "", stopping]);
  });

  test("a worker says nothing", () => {
    expect(told(["Running", "ShutdownStarted"])).toEqual(["", ""]);
  });

  test("the watchdog is answered from when it is ready until it stops", () => {
    const env = { WATCHDOG_USEC: "60000000" };
    expect(told(["Bootstrap", "Running", "ShutdownStarted"], env)).toEqual(["", `${ready} | WATCHDOG=1`, stopping]);
  });

  test("a reload begins and ends, whatever comes of it; not while it starts or stops", () => {
    const address = path.join(folder, "notify");
    const heard = serviceManager(address);
    let enter: ((phase: string) => void) | undefined;
    const server = { onPhase: (given: (phase: string) => void) => ((enter = given), () => undefined) };
    reportToSystemd(server, { onError: unexpected, env: { NOTIFY_SOCKET: address } });
    const reload = (outcome: "applied" | "refused"): (string | undefined)[] => {
      channel("sluice:server:reload-start").publish({ atMs: 0 });
      const begun = heard()?.replace(/\d+$/, "µs");
      channel("sluice:server:reload").publish({ outcome });
      return [begun, heard()];
    };
    enter!("Bootstrap");
    expect(reload("applied")).toEqual([undefined, undefined]);
    enter!("Running");
    expect(heard()).toBe(ready);
    expect(reload("applied")).toEqual(["RELOADING=1\nMONOTONIC_USEC=µs", "READY=1\nSTATUS=serving"]);
    const refused = "READY=1\nSTATUS=serving; the last reload was refused, the log says why";
    expect(reload("refused")).toEqual(["RELOADING=1\nMONOTONIC_USEC=µs", refused]);
    enter!("ShutdownStarted");
    expect(heard()).toBe(stopping);
    expect(reload("applied")).toEqual([undefined, undefined]);
  });

  test("that it cannot be told is told, and nothing else happens", () => {
    const errors: unknown[] = [];
    let listener: ((phase: string) => void) | undefined;
    const env = { NOTIFY_SOCKET: "/nowhere/at/all" };
    reportToSystemd(
      { onPhase: (given) => ((listener = given), () => undefined) },
      { onError: (error) => void errors.push(error), env },
    );
    for (const phase of ["Bootstrap", "Running", "ShutdownStarted"]) listener!(phase);
    expect(errors).toEqual([expect.objectContaining({ code: "ENOENT" }), expect.objectContaining({ code: "ENOENT" })]);
  });
});

describe("sockets of systemd", () => {
  const own = { LISTEN_PID: String(process.pid) };
  test.each([
    ["none were passed", {}],
    ["they are another process's", { LISTEN_PID: "1", LISTEN_FDS: "1" }],
    ["their number is 0", { ...own, LISTEN_FDS: "0", LISTEN_FDNAMES: undefined }],
  ])("none when %s", (_, env) => {
    expect(listenFds(env)).toEqual([]);
  });

  test.each([
    [{ LISTEN_FDS: "many" }, 'LISTEN_FDS is "many"; expected a number up to 65536'],
    [{ LISTEN_FDS: "999999" }, 'LISTEN_FDS is "999999"; expected a number up to 65536'],
    [{ LISTEN_FDS: "2", LISTEN_FDNAMES: "one" }, "LISTEN_FDNAMES has 1 names, LISTEN_FDS says 2"],
    [{ LISTEN_FDS: "65536" }, /descriptor \d+ \(unknown\): fcntl: EBADF/],
  ])("%j is refused", (env, message) => {
    expect(() => listenFds({ ...own, ...env })).toThrow(message);
  });

  testWith(
    "systemd-socket-activate",
    "are found by name, described, and gone from the environment",
    async (programs) => {
      const free = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => free.once("listening", resolve));
      const { port } = free.address() as { port: number };
      await new Promise((resolve) => free.close(resolve));
      const unix = path.join(folder, "app.sock");
      const program = `
      const { listenFds } = await import(${JSON.stringify(path.join(import.meta.dirname, "listen-fds.ts"))});
      const { activatedSockets } = await import(${JSON.stringify(path.join(import.meta.dirname, "activated-sockets.ts"))});
      const byAddress = [...activatedSockets({ ...process.env })];
      const { readFileSync } = await import("node:fs");
      const found = listenFds().map((each) => ({
        ...each,
        closeOnExec: (parseInt(/flags:\\s*(\\d+)/.exec(readFileSync("/proc/self/fdinfo/" + each.fd, "utf8"))[1], 8) & 0o2000000) !== 0,
      }));
      console.log(JSON.stringify({ byAddress, found, again: listenFds(), left: Object.keys(process.env).filter((key) => key.startsWith("LISTEN_")) }));
      process.exit();`;
      const run = promisify(execFile)(programs["systemd-socket-activate"], [
        `--listen=127.0.0.1:${port}`,
        `--listen=${unix}`,
        "--fdname=web:app",
        process.execPath,
        "--input-type=module",
        "--eval",
        program,
      ]);
      // It starts the program at the first connection.
      await vi.waitUntil(() => connects(unix), { timeout: 10_000 });
      const { stdout } = await run;
      expect(JSON.parse(stdout)).toEqual({
        byAddress: [
          [`127.0.0.1:${port}`, 3],
          [`unix:${unix}`, 4],
        ],
        found: [
          {
            fd: 3,
            name: "web",
            closeOnExec: true,
            socket: { family: "ipv4", type: "stream", listening: true, connected: false, address: `127.0.0.1:${port}` },
          },
          {
            fd: 4,
            name: "app",
            closeOnExec: true,
            socket: { family: "unix", type: "stream", listening: true, connected: false, address: `unix:${unix}` },
          },
        ],
        again: [],
        left: [],
      });
    },
  );
});

function unexpected(error: unknown): void {
  throw error;
}

function connects(unix: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(unix, () => {
      socket.destroy();
      resolve(true);
    }).on("error", () => resolve(false));
  });
}
