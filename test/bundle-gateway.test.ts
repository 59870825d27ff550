import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { bundleGateway } from "../scripts/bundle-gateway.ts";

test("the bundled gateway serves, with workers, where no package is installed", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "gateway-bundle-"));
  await bundleGateway(folder);
  const origin = createServer((_request, response) => response.end("from the origin")).listen(0, "127.0.0.1");
  await once(origin, "listening");
  const socketPath = path.join(folder, "gateway.sock");
  await writeFile(
    path.join(folder, "gateway.yaml"),
    `threads: 2
listeners: [{ address: "unix:${socketPath}" }]
upstreams: { a: { servers: ["127.0.0.1:${(origin.address() as AddressInfo).port}"] } }
routes: [{ upstream: a }]
`,
  );
  // It brings a cache of its own.
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const gateway = spawn(process.execPath, ["main.js", "-c", "gateway.yaml"], {
    cwd: folder,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  gateway.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  try {
    await expect.poll(() => stderr, { timeout: 15_000 }).toContain('"msg":"listening"');
    const body = await new Promise((resolve, reject) => {
      get({ socketPath, path: "/" }, (response) => response.setEncoding("utf8").on("data", resolve)).on(
        "error",
        reject,
      );
    });
    expect(body).toBe("from the origin");
    gateway.kill("SIGTERM");
    expect(await once(gateway, "close")).toEqual([0, null]);
  } finally {
    gateway.kill("SIGKILL");
    origin.close();
    await rm(folder, { recursive: true });
  }
});
