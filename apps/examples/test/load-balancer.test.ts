import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("../src/load-balancer.ts", import.meta.url));
const children: ChildProcess[] = [];
const origins: Server[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const origin of origins.splice(0)) origin.close().closeAllConnections();
});

test("spreads requests over its backends, and goes on when one of them dies", async () => {
  const [first, second] = [await startOrigin("one"), await startOrigin("two")];
  const { url, child } = await startProgram([address(first), address(second)]);

  const before = await Promise.all(Array.from({ length: 10 }, () => ask(url)));
  expect(before.filter((answer) => answer === "one from 127.0.0.1")).toHaveLength(5);
  expect(before.filter((answer) => answer === "two from 127.0.0.1")).toHaveLength(5);

  second.close().closeAllConnections();
  await once(second, "close");
  for (let turn = 0; turn < 10; turn++) expect(await ask(url)).toBe("one from 127.0.0.1");

  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

test("without addresses it says how it is used", async () => {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  expect(await once(child, "exit")).toEqual([2, null]);
  expect(said).toMatch(/^usage: /);
});

async function startOrigin(name: string): Promise<Server> {
  const origin = createServer((request, response) => {
    const client = String(request.headers["x-forwarded-for"]).replace(/:\d+$/, "");
    response.end(`${name} from ${client}`);
  });
  origins.push(origin);
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  return origin;
}

function address(origin: Server): string {
  return `127.0.0.1:${(origin.address() as AddressInfo).port}`;
}

async function startProgram(upstreams: string[]): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [PROGRAM, "127.0.0.1:0", ...upstreams], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const listening = /listening on (\S+)/.exec(line.toString());
  expect(listening).not.toBeNull();
  return { url: `http://${listening![1]}/`, child };
}

async function ask(url: string): Promise<string> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  return response.text();
}
