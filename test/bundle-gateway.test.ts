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
  const folder = await mkdtemp(path.join(tmpdir(), "gateway-bundle-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await bundleGateway(folder);
  const compiled = await compiledIn(folder);
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
  const folder = await mkdtemp(path.join(tmpdir(), "gateway-bundle-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await bundleGateway(folder);
  const program = path.join(folder, "gateway.js");
  const text = await readFile(program, "latin1");
  // Of the same length, by which the engine would not tell them apart.
  await writeFile(program, text.replaceAll("An HTTP proxy run from", "An http proxy run from"));
  const { stdout } = await promisify(execFile)(process.execPath, [path.join(folder, "main.js"), "--help"]);
  expect(stdout).toContain("An http proxy run from");
});

/** The file that keeps it, and which one it is. */
async function compiledIn(folder: string): Promise<[string, number]> {
  const [name, ...others] = (await readdir(path.join(folder, "compiled"))).filter((one) => one.startsWith("gateway-"));
  expect(others).toEqual([]);
  return [name!, (await stat(path.join(folder, "compiled", name!))).ino];
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
