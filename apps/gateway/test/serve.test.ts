import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";
import { Origin } from "./origin.ts";

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gateway-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Running extends AsyncDisposable {
  gateway: GatewayProcess;
  /** Where it listens. */
  where: string;
}

/** A gateway on a Unix socket, with `conf` added to its listener; ready to be called. */
async function start(conf: string): Promise<Running> {
  const base = path.join(folder, String(count++));
  await writeFile(`${base}.yaml`, `listeners: [{ address: "unix:${base}.sock" }]\n${conf}`);
  const gateway = new GatewayProcess(["-c", `${base}.yaml`]);
  await gateway.until(() => exists(`${base}.sock`));
  return { gateway, where: `unix:${base}.sock`, [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose]() };
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

function named(name: string): Promise<Origin> {
  return Origin.start((request, response) => response.end(`${name} ${request.url}`));
}

test("requests go where host and path say; what no route takes is 404", async () => {
  await using one = await named("one");
  await using two = await named("two");
  await using running = await start(`
upstreams:
  one: { servers: ["${one.address}"] }
  two: { servers: ["${two.address}"] }
routes:
  - { host: example.org, upstream: one }
  - { host: example.org, path_prefix: /two, upstream: two }
  - { host: "*.example.org", upstream: two }
`);
  const { where, gateway } = running;
  expect(await call(where, "/x?y", { host: "example.org" })).toEqual({ status: 200, body: "one /x?y" });
  expect(await call(where, "/two/x", { host: "example.org:80" })).toEqual({ status: 200, body: "two /two/x" });
  expect(await call(where, "/", { host: "a.example.org" })).toEqual({ status: 200, body: "two /" });
  expect(await call(where, "/", { host: "other.net" })).toEqual({ status: 404, body: "no route\n" });

  await gateway.until(() => gateway.requests.length === 4);
  expect(gateway.requests[0]).toMatchObject({
    level: 30,
    name: "gateway",
    method: "GET",
    target: "/x?y",
    status: 200,
    bytes: 8,
    upstream: one.address,
    reused: false,
  });
  expect(gateway.requests[0]!["duration_ms"]).toBeGreaterThan(0);
  expect(gateway.requests[0]).not.toHaveProperty("error");
  expect(gateway.requests[0]).not.toHaveProperty("ended");
  expect(gateway.requests[3]).toMatchObject({ status: 404, bytes: 9 });
  expect(gateway.requests[3]).not.toHaveProperty("upstream");
});

test("a server that refuses is passed over, also for a POST", async () => {
  await using gone = await named("gone");
  await using there = await Origin.start((request, response) => request.pipe(response));
  await gone[Symbol.asyncDispose]();
  await using running = await start(`
upstreams:
  api: { servers: ["${gone.address}", "${there.address}"] }
routes: [{ upstream: api }]
`);
  for (let round = 0; round < 4; round++) {
    const answer = await call(running.where, "/", { method: "POST", body: "payload" });
    expect(answer).toEqual({ status: 200, body: "payload" });
  }
});

test("a server that refuses, and no other: 502, and the log says why", async () => {
  await using gone = await named("gone");
  await gone[Symbol.asyncDispose]();
  await using running = await start(`
upstreams:
  api: { servers: ["${gone.address}"] }
routes: [{ upstream: api }]
`);
  expect((await call(running.where, "/")).status).toBe(502);
  await running.gateway.until(() => running.gateway.requests.length === 1);
  expect(running.gateway.requests[0]).toMatchObject({
    status: 502,
    upstream: gone.address,
    error: expect.stringContaining("ConnectRefused") as string,
  });
});

test("a client that leaves before its answer is counted as 499", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  await using silent = await Origin.start(() => resolve());
  await using running = await start(`
upstreams:
  api: { servers: ["${silent.address}"] }
routes: [{ upstream: api }]
`);
  const client = connect(running.where.slice("unix:".length));
  client.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  await asked;
  client.destroy();
  await running.gateway.until(() => running.gateway.requests.length === 1);
  expect(running.gateway.requests[0]).toMatchObject({ status: 499, bytes: 0, ended: "client-left" });
});

test("weights share requests in proportion", async () => {
  await using light = await named("light");
  await using heavy = await named("heavy");
  await using running = await start(`
upstreams:
  api: { servers: ["${light.address}", { address: "${heavy.address}", weight: 3 }] }
routes: [{ upstream: api }]
`);
  const bodies: string[] = [];
  for (let round = 0; round < 8; round++) bodies.push((await call(running.where, "/")).body);
  expect(bodies.toSorted()).toEqual([...Array(6).fill("heavy /"), ...Array(2).fill("light /")]);
});

test("a health check takes a dead server out, and in again", async () => {
  await using one = await named("one");
  await using two = await named("two");
  await using running = await start(`
max_retries: 1
upstreams:
  api:
    servers: ["${one.address}", "${two.address}"]
    health_check: { type: tcp, interval_ms: 50, connect_ms: 500 }
routes: [{ upstream: api }]
`);
  await two[Symbol.asyncDispose]();
  const onlyOne = async (): Promise<boolean> => {
    const answers = [await call(running.where, "/"), await call(running.where, "/"), await call(running.where, "/")];
    return answers.every(({ body }) => body === "one /");
  };
  await running.gateway.until(onlyOne);
  expect(running.gateway.stderr).toContain(two.address);
});

describe("a signal ends it with exit 0", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("%s", async (signal) => {
    await using running = await start('upstreams: { a: { servers: ["127.0.0.1:1"] } }\nroutes: [{ upstream: a }]\n');
    running.gateway.signal(signal);
    expect(await running.gateway.exited).toBe(0);
  });

  test("SIGTERM waits for the request in flight", async () => {
    await using slow = await Origin.start((_request, response) => void setTimeout(() => response.end("done"), 500));
    await using running = await start(
      `upstreams: { a: { servers: ["${slow.address}"] } }\nroutes: [{ upstream: a }]\n`,
    );
    const answer = call(running.where, "/");
    await new Promise((resolve) => setTimeout(resolve, 100));
    running.gateway.signal("SIGTERM");
    expect(await answer).toEqual({ status: 200, body: "done" });
    expect(await running.gateway.exited).toBe(0);
  });
});
