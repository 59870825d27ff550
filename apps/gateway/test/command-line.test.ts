import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gateway-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function confFile(listen: string, rest = ""): Promise<string> {
  const file = path.join(folder, "gateway.yaml");
  await writeFile(
    file,
    `listeners: [{ address: "${listen}" }]\nupstreams: { api: { servers: ["127.0.0.1:1"] } }\nroutes: [{ upstream: api }]\n${rest}`,
  );
  return file;
}

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function outcome(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  await using gateway = new GatewayProcess(args, env);
  const code = await gateway.exited;
  return { code, stdout: gateway.stdout, stderr: gateway.stderr };
}

test("--help explains and ends well", async () => {
  const { code, stdout } = await outcome(["--help"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Usage: /);
});

describe("a command line that is not understood: one line, exit 2", () => {
  test.each([
    [["--daemons"], {}, "gateway: Unknown option '--daemons'; see --help\n"],
    [[], {}, "gateway: expected --conf FILE or --demo; see --help\n"],
    [["--demo", "-t"], { SLUICE_LOG: "loud" }, /^gateway: SLUICE_LOG: cannot read "loud"; expected .*\n$/],
  ])("%j %j", async (args, env, stderr) => {
    const got = await outcome(args, env);
    expect(got).toMatchObject({ code: 2, stdout: "" });
    expect(got.stderr).toMatch(stderr);
  });
});

describe("--test", () => {
  test("a valid configuration: exit 0, nothing started", async () => {
    const file = await confFile(`unix:${folder}/unused.sock`);
    expect(await outcome(["-t", "-c", file])).toEqual({ code: 0, stdout: `${file}: valid\n`, stderr: "" });
  });

  test("what is not there on this machine is named with its line; nothing is created", async () => {
    const file = await confFile(
      "127.0.0.1:0",
      `user: no-such-user
group: no-such-group
error_log: ${folder}/none/error.log
working_directory: ${folder}/none
access_log: { path: ${folder}/none/access.log }
ca_file: ${folder}/none.pem
`,
    );
    const { code, stdout, stderr } = await outcome(["-t", "-c", file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.split("\n").map((line) => line.replace(/ENOENT: .*$/, "ENOENT"))).toEqual([
      `${file}:4:7: user: the system knows no account "no-such-user"`,
      `${file}:5:8: group: the system knows no group "no-such-group"`,
      `${file}:6:12: error_log: cannot open ${folder}/none/error.log: ENOENT`,
      `${file}:7:20: working_directory: ENOENT`,
      `${file}:8:21: access_log.path: cannot open ${folder}/none/access.log: ENOENT`,
      `${file}:9:10: ca_file: cannot read ${folder}/none.pem: ENOENT`,
      "",
    ]);
  });

  test("logs that are there stay as they are, and those that are not do not come", async () => {
    const log = path.join(folder, "kept.log");
    await writeFile(log, "a line\n");
    const logs = `error_log: ${log}\naccess_log: { path: ${folder}/new.log }\n`;
    const file = await confFile("127.0.0.1:0", logs);
    expect(await outcome(["-t", "-c", file])).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(log, "utf8")).toBe("a line\n");
    expect(existsSync(`${folder}/new.log`)).toBe(false);
  });

  test("the access log of a daemon is where the daemon will be", async () => {
    const file = await confFile(
      "127.0.0.1:0",
      `access_log: { path: logs/access.log }\nworking_directory: ${folder}/there\n`,
    );
    await mkdir(`${folder}/there/logs`, { recursive: true });
    expect(await outcome(["-t", "-d", "-c", file])).toMatchObject({ code: 0, stderr: "" });
    const { code, stderr } = await outcome(["-t", "-c", file]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/:4:21: access_log\.path: cannot open logs\/access\.log: ENOENT/);
  });

  test("where a daemon could leave no pid file", async () => {
    const other = path.join(folder, "no.pid");
    await writeFile(other, "something else");
    for (const [pidFile, problem] of [
      [`${folder}/none/a.pid`, /:4:11: pid_file: ENOENT/],
      [other, /:4:11: pid_file: there is something that is no pid file; choose another path/],
    ] as const) {
      const file = await confFile("127.0.0.1:0", `pid_file: ${pidFile}\n`);
      const { code, stderr } = await outcome(["-t", "-d", "-c", file]);
      expect(code).toBe(1);
      expect(stderr).toMatch(problem);
      // Who is no daemon needs none.
      expect(await outcome(["-t", "-c", file])).toMatchObject({ code: 0, stderr: "" });
    }
    expect(await readFile(other, "utf8")).toBe("something else");
  });

  test.runIf(process.geteuid?.() === 0)("what the account of the file may not open", async () => {
    const own = await mkdtemp(path.join(tmpdir(), "gateway-account-"));
    const file = path.join(own, "gateway.yaml");
    const tls = `{ certificates: [{ cert: ${own}/a.pem, key: ${own}/a.key }] }`;
    const rest = "upstreams: { api: { servers: [127.0.0.1:1] } }\nroutes: [{ upstream: api }]\n";
    await writeFile(`${own}/a.pem`, "", { mode: 0o644 });
    await writeFile(`${own}/a.key`, "", { mode: 0o600 });
    await chmod(own, 0o755);
    await writeFile(
      file,
      `user: nobody
access_log: { path: ${own}/access.log }
listeners: [{ address: 127.0.0.1:0, tls: ${tls} }]
${rest}`,
      { mode: 0o600 },
    );
    const { code, stderr } = await outcome(["-t", "-c", file]);
    await rm(own, { recursive: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/:2:21: access_log\.path: cannot open .*: EACCES: .*\(as user nobody\)\n/);
    expect(stderr).toMatch(/:3:\d+: listeners\[0\]\.tls: cannot read .*a\.key: EACCES: .*\(as user nobody\)\n/);
  });

  test("the demo's, too", async () => {
    expect(await outcome(["--demo", "-t"])).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a configuration that is not valid: a line for each problem, exit 1", () => {
  test("keys and values", async () => {
    const file = await confFile("nowhere", "max_retrys: 2\n");
    expect(await outcome(["-c", file])).toEqual({
      code: 1,
      stdout: "",
      stderr:
        `${file}:1:24: listeners[0].address: expected host:port, [IPv6]:port or unix:/path, got "nowhere"\n` +
        `${file}:4:1: max_retrys: unknown key; did you mean max_retries?\n`,
    });
  });

  test("no YAML", async () => {
    const file = await confFile("127.0.0.1:0", "version: 'x\n");
    const { code, stderr } = await outcome(["-c", file, "-t"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^.*gateway\.yaml:5:1: a character is missing here, such as a closing quote.*\n$/);
  });

  test("an address that listens already, for metrics", async () => {
    const file = await confFile("127.0.0.1:6188", "metrics: { address: 127.0.0.1:6188 }\n");
    const { code, stderr } = await outcome(["-c", file, "-t"]);
    expect(code).toBe(1);
    expect(stderr).toBe(`${file}:4:21: metrics.address: 127.0.0.1:6188 is already the address of listeners[0]\n`);
  });

  test("no such file", async () => {
    const { code, stderr } = await outcome(["-c", `${folder}/missing.yaml`]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: `${folder}/missing.yaml: cannot read: no such file\n` });
  });
});

test.each([1, 2])(
  "an access log that cannot be opened: one line that names the key, exit 1; threads: %i",
  async (threads) => {
    const file = await confFile(
      `unix:${folder}/log.sock`,
      `access_log: { path: "${folder}/none/access.log" }\nthreads: ${threads}\n`,
    );
    const { code, stderr } = await outcome(["-c", file], { SLUICE_LOG: "silent" });
    expect(code).toBe(1);
    expect(stderr).toContain(`access_log.path: cannot open ${folder}/none/access.log: ENOENT`);
    expect(stderr).not.toMatch(/\n {4}at /);
  },
);

test("a taken port: one line that names the address and what to do, exit 1", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  try {
    const file = await confFile(`127.0.0.1:${port}`);
    const { code, stderr } = await outcome(["-c", file], { SLUICE_LOG: "warn" });
    expect(code).toBe(1);
    expect(stderr).toBe(
      `gateway: cannot listen on 127.0.0.1:${port} (another process listens there; stop it or choose another address);` +
        ` listeners are in ${file}\n`,
    );
  } finally {
    other.close();
  }
});
