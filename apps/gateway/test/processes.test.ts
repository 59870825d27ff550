import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { request, Agent } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { selfSignedCertificate } from "@sluice/tls-openssl";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { Origin } from "./origin.ts";

// Each starts several processes.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gateway-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function confFile(name: string, origin: Origin, more: string): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `listeners: [{ address: "unix:${folder}/${name}.sock" }]
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
access_log: { path: "${folder}/${name}.access", format: json }
request_id: true
${more}`,
  );
  return file;
}

interface Line {
  target: string;
  status: number;
  requestId: string;
}

function accessLines(name: string): Line[] {
  const file = `${folder}/${name}.access`;
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Line);
}

test("threads: 2: both workers serve, with one access log; killed one by one, only what was in flight on them fails", async () => {
  await using origin = await Origin.start((_request, response) => void setTimeout(() => response.end("ok"), 2));
  const file = await confFile("two", origin, "threads: 2\n");
  await using gateway = new GatewayProcess(["-c", file], { SLUICE_LOG: "info,core=debug,gateway=info" });
  // Each service says so, too, at another level.
  const listening = /"level":30[^\n]*"msg":"listening"/g;
  await gateway.until(() => listening.test(gateway.stderr));
  expect(gateway.stderr.match(listening)).toHaveLength(1);
  const workers = (): number[] =>
    [...gateway.stderr.matchAll(/"worker":\d+,"pid":(\d+),.*"a worker is ready"/g)].map(([, pid]) => Number(pid));

  // Each client has one request at a time.
  const CLIENTS = 8;
  let asked = 0;
  let failed = 0;
  const over = new AbortController();
  const load = Array.from({ length: CLIENTS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!over.signal.aborted) {
      asked++;
      await ask(`${folder}/two.sock`, agent).catch(() => failed++);
    }
    agent.destroy();
  });
  for (let round = 1; round <= 4; round++) {
    await gateway.until(() => asked > round * 150 && workers().length === 1 + round);
    process.kill(workers()[round - 1]!, "SIGKILL");
  }
  await gateway.until(() => workers().length === 6 && asked > 1000);
  over.abort();
  await Promise.all(load);
  expect(failed).toBeLessThanOrEqual(4 * CLIENTS);
  gateway.signal("SIGTERM");
  expect(await gateway.exited).toBe(0);
  // What the killed ones had not written yet is lost, and nothing else.
  expect(new Set(accessLines("two").map(({ requestId }) => requestId)).size).toBe(accessLines("two").length);
}, 120_000);

test("a worker that replaces another begins with the configuration of the server, also when the file is being edited", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const file = await confFile("edited", origin, "threads: 2\n");
  await using gateway = new GatewayProcess(["-c", file], { SLUICE_LOG: "core=debug" });
  const ready = (): string[] =>
    [...gateway.stderr.matchAll(/"worker":\d+,"pid":(\d+),.*"a worker is ready"/g)].map(([, pid]) => pid!);
  await gateway.until(() => ready().length === 2);
  await writeFile(file, "threads: 2\nlisteners: [");
  for (const pid of ready()) process.kill(Number(pid), "SIGKILL");
  await gateway.until(() => ready().length === 4);
  expect(await call(`unix:${folder}/edited.sock`, "/")).toEqual({ status: 200, body: "ok" });
});

test("-d: in the background, until SIGTERM; relative paths of --conf, ca_file and certificates are found by its workers, and at a reload", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const pidFile = `${folder}/daemon.pid`;
  const near = (name: string): string => path.relative(".", `${folder}/${name}`);
  const { cert, key } = selfSignedCertificate({ names: ["a.test"] });
  await writeFile(`${folder}/daemon.pem`, `${key}${cert}`);
  const tls = `tls: { certificates: [{ cert: "${near("daemon.pem")}", key: "${near("daemon.pem")}" }] }`;
  const more = `pid_file: ${pidFile}\nerror_log: ${folder}/daemon.log\ndaemon_wait_for_ready: true\nthreads: 2\nca_file: ${near("daemon.pem")}\n`;
  const file = await confFile("daemon", origin, more);
  const text = readFileSync(file, "utf8");
  await writeFile(file, text.replace("}]", `}, { address: "unix:${folder}/daemon-tls.sock", ${tls} }]`));
  await using starter = new GatewayProcess(["-d", "-c", path.relative(".", file)]);
  expect(await starter.exited).toBe(0);
  const pid = Number(readFileSync(pidFile, "utf8"));
  try {
    expect(await call(`unix:${folder}/daemon.sock`, "/x")).toEqual({ status: 200, body: "ok" });
    const daemonLog = (): string => readFileSync(`${folder}/daemon.log`, "utf8");
    process.kill(pid, "SIGHUP");
    await expect.poll(daemonLog, { timeout: 10_000 }).toContain('"msg":"reloaded"');
    process.kill(pid, "SIGTERM");
    await expect.poll(() => existsSync(pidFile), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => accessLines("daemon")).toMatchObject([{ target: "/x", status: 200 }]);
    expect(daemonLog()).toContain('"msg":"listening"');
  } finally {
    if (existsSync(pidFile)) process.kill(pid, "SIGKILL");
  }
});

test("-d, and the address is taken: exit code 1, and the reason", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const file = await confFile("taken", origin, `pid_file: ${folder}/taken.pid\n`);
  await using first = new GatewayProcess(["-c", file]);
  await first.until(() => first.stderr.includes('"msg":"listening"'));
  await using second = new GatewayProcess(["-d", "-c", file]);
  expect(await second.exited).toBe(1);
  expect(second.stderr).toContain(`cannot listen on unix:${folder}/taken.sock`);
});

test("-u, and nobody hands over: exit code 1, and what was waited for", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const more = `upgrade_sock: ${folder}/nobody.sock\nupgrade_sock_connect_accept_max_retries: 0\n`;
  await using gateway = new GatewayProcess(["-u", "-c", await confFile("upgrade", origin, more)]);
  expect(await gateway.exited).toBe(1);
  expect(gateway.stderr).toMatch(/^gateway: waiting at .*nobody.sock for the process to take over from: waited/m);
});

test("-u -d: one in the background takes over from the one that runs, and is replaced itself", async () => {
  await using origin = await Origin.start((_request, response) => response.end("ok"));
  const pidFile = `${folder}/next.pid`;
  const more = `upgrade_sock: ${folder}/next-upgrade.sock\npid_file: ${pidFile}\nerror_log: ${folder}/next.log\ndaemon_wait_for_ready: true\nupgrade_sock_connect_accept_max_retries: 60\n`;
  const file = await confFile("next", origin, more);
  await using first = new GatewayProcess(["-c", file]);
  await first.until(() => first.stderr.includes('"msg":"listening"'));
  await using second = new GatewayProcess(["-u", "-d", "-c", file]);
  // It ends when the daemon waits for the sockets.
  expect(await second.exited).toBe(0);
  const pid = Number(readFileSync(pidFile, "utf8"));
  try {
    first.signal("SIGQUIT");
    expect(await first.exited).toBe(0);
    expect(await call(`unix:${folder}/next.sock`, "/x")).toEqual({ status: 200, body: "ok" });

    await using third = new GatewayProcess(["-u", "-c", file]);
    process.kill(pid, "SIGQUIT");
    await third.until(() => third.stderr.includes('"msg":"listening"'));
    await expect.poll(() => existsSync(pidFile), { timeout: 10_000 }).toBe(false);
    expect(await call(`unix:${folder}/next.sock`, "/x")).toEqual({ status: 200, body: "ok" });
    third.signal("SIGTERM");
    expect(await third.exited).toBe(0);
    expect(existsSync(`${folder}/next.sock`)).toBe(false);
  } finally {
    if (existsSync(pidFile)) process.kill(pid, "SIGKILL");
  }
}, 40_000);

function ask(socketPath: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: "/", agent }, (response) => {
      response
        .resume()
        .on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))));
      response.on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}

test.runIf(process.platform === "linux")(
  "a service manager that cannot be told: it serves, and a line says so",
  async () => {
    await using origin = await Origin.start((_request, response) => response.end("ok"));
    const file = await confFile("notify", origin, "");
    await using gateway = new GatewayProcess(["-c", file], { NOTIFY_SOCKET: "/no/such/socket" });
    await gateway.until(() => gateway.stderr.includes('"msg":"listening"'));
    expect(await call(`unix:${folder}/notify.sock`, "/")).toMatchObject({ status: 200 });
    gateway.signal("SIGTERM");
    expect(await gateway.exited).toBe(0);
    const lines = gateway.stderr.trim().split("\n");
    expect(lines.filter((line) => !line.startsWith("{"))).toEqual([]);
    const told = lines.filter((line) => line.includes('"msg":"systemd could not be told"'));
    expect(told.map((line) => (JSON.parse(line) as { err: { message: string } }).err.message)).toEqual([
      expect.stringContaining("READY=1"),
      expect.stringContaining("STOPPING=1"),
    ]);
  },
);

// Whoever may write anything can open any log.
test.runIf(process.platform === "linux" && process.geteuid?.() === 0)(
  "a worker that replaces another serves, also when it may not open the access log any more; a reload tries again",
  async () => {
    await using origin = await Origin.start((_request, response) => response.end("ok"));
    await chmod(folder, 0o755);
    const file = await confFile("moved", origin, "threads: 2\nuser: nobody\n");
    const log = `${folder}/moved.access`;
    const own = async (): Promise<void> => {
      await writeFile(log, "");
      await chmod(log, 0o666);
    };
    await own();
    await using gateway = new GatewayProcess(["-c", file], { SLUICE_LOG: "info,core=debug,gateway=info" });
    await gateway.until(() => /"level":30[^\n]*"msg":"listening"/.test(gateway.stderr));
    const workers = (): number[] =>
      [...gateway.stderr.matchAll(/"pid":(\d+),.*"a worker is ready"/g)].map(([, pid]) => Number(pid));
    await rename(log, `${log}.1`);
    process.kill(workers()[0]!, "SIGKILL");
    await gateway.until(() => workers().length === 3);
    expect(gateway.stderr).toContain('"msg":"serves without an access log; a reload tries again"');
    process.kill(workers()[1]!, "SIGKILL");
    await gateway.until(() => workers().length === 4);
    expect(await call(`unix:${folder}/moved.sock`, "/unlogged")).toMatchObject({ status: 200 });
    await own();
    gateway.signal("SIGHUP");
    await gateway.until(() => gateway.stderr.includes('"msg":"reloaded"'));
    for (let n = 0; n < 8; n++) await call(`unix:${folder}/moved.sock`, "/logged");
    await expect.poll(() => accessLines("moved").length, { timeout: 10_000 }).toBe(8);
  },
);
