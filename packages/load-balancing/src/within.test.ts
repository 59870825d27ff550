import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { within } from "./within.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("passes the outcome on and leaves no timer and no listener behind", async () => {
  const outer = new AbortController();
  const removed = vi.spyOn(outer.signal, "removeEventListener");
  await expect(within(1000, "it", outer.signal, () => Promise.resolve(1))).resolves.toBe(1);
  await expect(within(1000, "it", outer.signal, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await vi.waitFor(() => expect(removed).toHaveBeenCalledTimes(2));
  expect(vi.getTimerCount()).toBe(0);
});

test("work that throws before it returns a promise rejects", async () => {
  const outcome = within(1000, "it", undefined, () => {
    throw new Error("at once");
  });
  await expect(outcome).rejects.toThrow("at once");
});

test("work that never settles is given up, and told so", async () => {
  let told: AbortSignal | undefined;
  const outcome = within(1000, "health check of a:80", undefined, (signal) => {
    told = signal;
    return new Promise(() => undefined);
  });
  const message = outcome.catch((error: unknown) => (error as Error).message);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await message).toBe("health check of a:80 took longer than 1000 ms");
  expect(told?.aborted).toBe(true);
});

test("an outer signal ends it with its reason, also one that was aborted before", async () => {
  const outer = new AbortController();
  const outcome = within(1000, "it", outer.signal, () => new Promise(() => undefined));
  outer.abort(new Error("shutdown"));
  await expect(outcome).rejects.toThrow("shutdown");
  const work = vi.fn<() => Promise<void>>();
  await expect(within(1000, "it", outer.signal, work)).rejects.toThrow("shutdown");
  expect(work).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

test("work whose end had come while this process stood still is not late", async () => {
  vi.useRealTimers();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const outcome = within(20, "it", undefined, async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    return "connected";
  });
  await Promise.resolve();
  const until = performance.now() + 60;
  while (performance.now() < until);
  expect(await outcome).toBe("connected");
  server.close();
});
