import { beforeEach, expect, test } from "vitest";
import { configureLogs } from "../log/logger.ts";
import { turn } from "../testing/index.ts";
import { backgroundService } from "./background-service.ts";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "info", destination: { write: (line) => void lines.push(line) } });
});

const patient = (): AbortSignal => new AbortController().signal;
const until = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

test("has started when the task says it is ready, and not before", async () => {
  let ready!: () => void;
  const service = backgroundService("probe", { run: (shutdown, isReady) => ((ready = isReady), until(shutdown)) });
  let started = false;
  const start = service.start().then(() => (started = true));
  await turn();
  expect(started).toBe(false);
  ready();
  await start;
  await service.stop(patient());
  expect(service.name).toBe("BG probe");
});

test("a task that ends counts as ready", async () => {
  const service = backgroundService("once", { run: () => Promise.resolve() });
  await expect(service.start()).resolves.toBeUndefined();
  await service.stop(patient());
});

test("a task that fails counts as ready, and is logged with its name", async () => {
  const service = backgroundService("bad", { run: () => Promise.reject(new Error("no such host")) });
  await service.start();
  expect(lines.join("")).toContain("no such host");
  expect(lines.join("")).toContain("BG bad");
  await service.stop(patient());
});

test("a task that throws at once is treated as one that fails", async () => {
  const service = backgroundService("bad", {
    run: () => {
      throw new Error("no such host");
    },
  });
  await service.start();
  expect(lines.join("")).toContain("no such host");
  await service.stop(patient());
});

test("stop tells the task and waits until it ends", async () => {
  const end = Promise.withResolvers<void>();
  let told = false;
  const service = backgroundService("slow", {
    run: async (shutdown, ready) => {
      ready();
      await until(shutdown);
      told = true;
      await end.promise;
    },
  });
  await service.start();
  let stopped = false;
  const stop = service.stop(patient()).then(() => (stopped = true));
  await turn();
  expect([told, stopped]).toEqual([true, false]);
  end.resolve();
  await stop;
});

test("stop waits no longer once it is forced", async () => {
  const service = backgroundService("stuck", {
    run: (_, ready) => {
      ready();
      return new Promise(() => undefined);
    },
  });
  await service.start();
  const force = new AbortController();
  const stop = service.stop(force.signal);
  force.abort();
  await expect(stop).resolves.toBeUndefined();
  await expect(service.stop(AbortSignal.abort())).resolves.toBeUndefined();
});

test("what a task rejects with because of the shutdown is no news", async () => {
  const service = backgroundService("aborting", {
    run: async (shutdown, ready) => {
      ready();
      await until(shutdown);
      throw new Error("aborted");
    },
  });
  await service.start();
  await service.stop(patient());
  expect(lines).toEqual([]);
});
