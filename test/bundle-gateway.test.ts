import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { bundleGateway } from "../scripts/bundle/bundle-gateway.ts";

test("the bundled gateway serves, with workers, and hands over to the next, where no package is installed", async () => {
  const folder = await bundled();
  const compiled = await compiledIn(folder);
  expect(compiled).toHaveLength(1);
  const socketPath = await configure(folder);
  const first = start(folder);
  await first.says('"msg":"listening"');
  expect(await bodyFrom(socketPath)).toBe("from the origin");
  // Sockets are handed over by calls of the system, for which a library is loaded.
  const second = start(folder, "--upgrade");
  await second.says("waiting for the listening sockets");
  first.gateway.kill("SIGQUIT");
  await second.says('"msg":"listening"');
  expect(await first.closed).toEqual([0, null]);
  expect(await bodyFrom(socketPath)).toBe("from the origin");
  second.gateway.kill("SIGTERM");
  expect(await second.closed).toEqual([0, null]);
  // All could use what had been compiled: else it would have been replaced when they ended.
  expect(await compiledIn(folder)).toEqual(compiled);
});

test("what was compiled of another text is not used", async () => {
  const folder = await bundled();
  const program = path.join(folder, "gateway.js");
  const text = await readFile(program, "latin1");
  // Of the same length, by which the engine would not tell them apart.
  await writeFile(program, text.replaceAll("An HTTP proxy run from", "An http proxy run from"));
  const { stdout } = await promisify(execFile)(process.execPath, [path.join(folder, "main.js"), "--help"]);
  expect(stdout).toContain("An http proxy run from");
});

test("what a run compiled that served nothing is not kept, as by another Node.js than that of the bundle", async () => {
  const folder = await bundled();
  const [[name]] = (await compiledIn(folder)) as [[string, number]];
  await rm(path.join(folder, "compiled", name));
  const socketPath = await configure(folder);
  for (const option of ["--help", "-t"]) {
    await promisify(execFile)(process.execPath, ["main.js", "-c", "gateway.yaml", option], { cwd: folder });
  }
  const idle = start(folder);
  await idle.says('"msg":"listening"');
  idle.gateway.kill("SIGTERM");
  expect(await idle.closed).toEqual([0, null]);
  expect(await compiledIn(folder)).toEqual([]);
  const serving = start(folder);
  await serving.says('"msg":"listening"');
  expect(await bodyFrom(socketPath)).toBe("from the origin");
  serving.gateway.kill("SIGTERM");
  expect(await serving.closed).toEqual([0, null]);
  expect(await compiledIn(folder)).toEqual([[name, expect.any(Number)]]);
});

/** A folder with the bundle. */
async function bundled(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "gateway-bundle-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await bundleGateway(folder);
  return folder;
}

/** Writes a configuration with two workers, and starts its origin. Gives the path that it listens on. */
async function configure(folder: string): Promise<string> {
  const origin = createServer((_request, response) => response.end("from the origin")).listen(0, "127.0.0.1");
  onTestFinished(() => void origin.close());
  await once(origin, "listening");
  const socketPath = path.join(folder, "gateway.sock");
  await writeFile(
    path.join(folder, "gateway.yaml"),
    `threads: 2
upgrade_sock: ${path.join(folder, "upgrade.sock")}
listeners: [{ address: "unix:${socketPath}" }]
upstreams: { a: { servers: ["127.0.0.1:${(origin.address() as AddressInfo).port}"] } }
routes: [{ upstream: a }]
`,
  );
  return socketPath;
}

/** The files that keep it, and which ones they are. */
async function compiledIn(folder: string): Promise<[string, number][]> {
  const compiled = path.join(folder, "compiled");
  const names = (await readdir(compiled)).filter((one) => one.startsWith("gateway-"));
  return Promise.all(names.map(async (name) => [name, (await stat(path.join(compiled, name))).ino]));
}

interface Started {
  readonly gateway: ChildProcess;
  readonly closed: Promise<unknown[]>;
  /** Waits for a text in its log. */
  says(text: string): Promise<void>;
}

/** Starts the bundle that is in `folder`. */
function start(folder: string, ...args: string[]): Started {
  // It brings a cache of its own.
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const gateway = spawn(process.execPath, ["main.js", "-c", "gateway.yaml", ...args], {
    cwd: folder,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void gateway.kill("SIGKILL"));
  let stderr = "";
  gateway.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const says = async (text: string): Promise<void> => expect.poll(() => stderr, { timeout: 15_000 }).toContain(text);
  return { gateway, closed: once(gateway, "close"), says };
}

function bodyFrom(socketPath: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: "/" }, (response) => response.setEncoding("utf8").on("data", resolve)).on("error", reject);
  });
}
