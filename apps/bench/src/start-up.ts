// Time from the start of the bundled gateway to its first served request: `npm run bundle`, then
// `node apps/bench/src/start-up.ts [--starts 15]`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { freePort } from "./free-port.ts";

const GATEWAY = fileURLToPath(new URL("../../gateway/dist/main.js", import.meta.url));
/** Between two attempts to be served. */
const POLL_MS = 2;

const { values } = parseArgs({ options: { starts: { type: "string", default: "15" } } });
if (!existsSync(GATEWAY)) throw new Error(`${GATEWAY} is not there: npm run bundle makes it`);

const origin = createServer((_request, response) => response.end("ok")).listen(0, "127.0.0.1");
await once(origin, "listening");
const folder = await mkdtemp(path.join(tmpdir(), "start-up-"));
const times: number[] = [];
try {
  for (let start = 0; start < Number(values.starts); start++) times.push(await measure());
} finally {
  origin.close();
  await rm(folder, { recursive: true });
}
times.sort((one, other) => one - other);
const [least, middle, most] = [times[0], times[times.length >> 1], times.at(-1)].map((ms) => ms!.toFixed(0));
console.log(`${times.length} starts: median ${middle} ms to the first served request, ${least} to ${most} ms`);

async function measure(): Promise<number> {
  const port = await freePort();
  const conf = path.join(folder, `${port}.yaml`);
  await writeFile(
    conf,
    `listeners: [{ address: "127.0.0.1:${port}" }]
upstreams: { a: { servers: ["127.0.0.1:${(origin.address() as AddressInfo).port}"] } }
routes: [{ upstream: a }]
`,
  );
  const startedAtMs = performance.now();
  const gateway = spawn(process.execPath, [GATEWAY, "-c", conf], { stdio: "ignore" });
  const ended = once(gateway, "exit");
  try {
    while (!(await served(port))) {
      if (gateway.exitCode !== null) throw new Error(`the gateway ended with exit code ${gateway.exitCode}`);
      await sleep(POLL_MS);
    }
    return performance.now() - startedAtMs;
  } finally {
    gateway.kill("SIGTERM");
    await ended;
  }
}

function served(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, agent: false }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode === 200));
    }).on("error", () => resolve(false));
  });
}
