import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ioUring } from "@sluice/linux";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { Origin } from "./origin.ts";

function unavailable(): boolean {
  try {
    ioUring();
    return false;
  } catch {
    return true;
  }
}

let folder: string;
let origin: Origin;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "gateway-io-uring-"));
  origin = await Origin.start((request, response) => response.end(request.url));
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test.skipIf(unavailable())("io_uring: true, in one process and in several", async () => {
  for (const threads of [1, 2]) {
    await using gateway = await GatewayProcess.start(
      folder,
      `threads: ${threads}
listeners: [{ address: 127.0.0.1:0 }]
io_uring: true
upstreams: { a: { servers: ["${origin.address}"] } }
routes: [{ upstream: a }]
`,
    );
    const url = `http://${gateway.addresses[0]!}`;
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => fetch(`${url}/${i}`)));
    for (const [i, answer] of answers.entries()) expect(await answer.text()).toBe(`/${i}`);
  }
});
