import { fork, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Command, Told } from "./cluster-program.ts";
import { Scrape } from "./support/scrape.ts";

let folder: string;
let program: ChildProcess;
let told: Told[];
let wake: () => void;

// Each test starts three processes or more.
vi.setConfig({ testTimeout: 60_000 });

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "sluice-"));
  told = [];
  wake = () => undefined;
});

/** @param collectMs Long enough for all that can answer, however slow the machine. */
function startProgram(collectMs = 30_000): void {
  program = fork(new URL("./cluster-program.ts", import.meta.url), [folder, String(collectMs)]);
  program.on("message", (message: Told) => {
    told.push(message);
    wake();
  });
}

afterEach(async () => {
  const gone = new Promise((resolve) => program.once("exit", resolve));
  if (program.exitCode === null) {
    program.disconnect();
    await gone;
  }
  await rm(folder, { recursive: true });
});

async function next<Kind extends Told["told"]>(kind: Kind, worker?: number): Promise<Extract<Told, { told: Kind }>> {
  for (;;) {
    const found = told.find(
      (each) => each.told === kind && (worker === undefined || ("worker" in each && each.worker === worker)),
    );
    if (found !== undefined) return found as Extract<Told, { told: Kind }>;
    await new Promise<void>((resolve) => (wake = resolve));
  }
}

function command(what: Command): void {
  program.send(what);
}

async function startWorker(worker: number): Promise<Extract<Told, { told: "worker" }>> {
  command({ do: "fork" });
  return next("worker", worker);
}

/** One request, on a connection of its own. */
function send(socketPath: string, target = "/"): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path: target, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk)).on("end", () => resolve(text));
    });
    outgoing.on("error", reject).end();
  });
}

async function scrape(target = "/metrics"): Promise<Scrape> {
  const { address } = await next("serving");
  const response = await fetch(`http://${address}${target}`);
  return new Scrape(response, await response.text());
}

const REQUESTS = 'sluice_requests_total{protocol="HTTP/1.1",status_class="2xx"}';
const requestsOf = (worker: number): string =>
  `sluice_requests_total{protocol="HTTP/1.1",status_class="2xx",worker="${worker}"}`;
const processes = (state: string): string => `sluice_metrics_processes{state="${state}"}`;

test("the primary's endpoint has the sum of all workers, and each of them", async () => {
  startProgram();
  const [one, two] = [await startWorker(1), await startWorker(2)];
  for (const { socket } of [one, two, two]) await send(socket);
  const sum = await scrape();
  expect(sum.value(REQUESTS)).toBe(3);
  expect(sum.value("sluice_request_duration_seconds_count")).toBe(3);
  expect(sum.value(processes("answering"))).toBe(3);
  expect(sum.total("process_resident_memory_bytes")).toBeGreaterThan(3e7);
  expect(new Set(sum.names).size).toBe(sum.names.length);

  const each = await scrape("/metrics/workers");
  expect([each.value(requestsOf(1)), each.value(requestsOf(2))]).toEqual([1, 2]);
  expect(each.seriesOf("process_resident_memory_bytes")).toEqual(
    ["1", "2", "primary"].map((worker) => `process_resident_memory_bytes{worker="${worker}"}`),
  );
});

test("a worker's endpoint has the sum as well", async () => {
  startProgram();
  const [one, two] = [await startWorker(1), await startWorker(2)];
  for (const { socket } of [one, two, two]) await send(socket);
  const text = await send(one.metrics, "/metrics");
  expect(new Scrape(new Response(), text).value(REQUESTS)).toBe(3);
});

test("what a worker counted stays in the sum when it is killed, up to the last scrape, and all of it when it stops", async () => {
  startProgram();
  const [one, two] = [await startWorker(1), await startWorker(2)];
  for (const { socket } of [one, one, two]) await send(socket);
  expect((await scrape()).value(REQUESTS)).toBe(3);

  command({ do: "kill", worker: 1 });
  await next("gone", 1);
  await send(two.socket);
  command({ do: "stop", worker: 2 });
  await next("gone", 2);
  const three = await startWorker(3);
  await send(three.socket);
  expect((await scrape()).value(REQUESTS)).toBe(5);
  const each = await scrape("/metrics/workers");
  expect([1, 2, 3].map((worker) => each.value(requestsOf(worker)))).toEqual([undefined, undefined, 1]);
});

test("a worker that does not answer counts with what it said last, and is told of", async () => {
  startProgram(3000);
  const [one, two] = [await startWorker(1), await startWorker(2)];
  for (const { socket } of [one, two]) await send(socket);
  expect((await scrape()).value(REQUESTS)).toBe(2);
  command({ do: "freeze", worker: 1 });
  await send(two.socket);
  const frozen = await scrape();
  expect(frozen.value(REQUESTS)).toBe(3);
  expect([frozen.value(processes("answering")), frozen.value(processes("silent"))]).toEqual([2, 1]);
  command({ do: "thaw", worker: 1 });
  await send(one.socket);
  const thawed = await scrape();
  expect([thawed.value(REQUESTS), thawed.value(processes("silent"))]).toEqual([4, 0]);
});
