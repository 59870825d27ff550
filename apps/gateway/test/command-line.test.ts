import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
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
