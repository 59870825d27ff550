import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoadBalancer, tcpHealthCheck, type DiscoveryResult } from "@sluice/load-balancing";
import { captureLogs, type LogLine } from "./captured-logs.ts";
import { TcpServer } from "./tcp-server.ts";

let lines: LogLine[];

beforeEach(() => {
  lines = captureLogs();
});

const never = new AbortController().signal;

test("a backend that dies is left out within an interval, and comes back when it does", async () => {
  await using one = await TcpServer.listen();
  await using two = await TcpServer.listen();
  let changed = Promise.withResolvers<string>();
  const balancer = LoadBalancer.from([one.address, two.address], {
    healthCheck: tcpHealthCheck({
      onChange: (backend, healthy) => changed.resolve(`${backend.address.text} ${healthy}`),
    }),
    healthCheckIntervalMs: 500,
  });
  const service = balancer.service("origins");
  expect(service.name).toBe("BG origins");
  await service.start();
  const picks = (): Set<string> => new Set([0, 1, 2, 3].map(() => balancer.select().address.text));
  expect(picks()).toEqual(new Set([one.address, two.address]));

  const killed = performance.now();
  await two.stop();
  expect(await changed.promise).toBe(`${two.address} false`);
  // The interval and some time for the check.
  expect(performance.now() - killed).toBeLessThan(900);
  expect(picks()).toEqual(new Set([one.address]));

  changed = Promise.withResolvers();
  await two.start();
  expect(await changed.promise).toBe(`${two.address} true`);
  expect(picks()).toEqual(new Set([one.address, two.address]));
  await service.stop(never);
});

test("is ready only after the first round of checks", async () => {
  const outcome = Promise.withResolvers<void>();
  const balancer = LoadBalancer.from(["a:1"], { healthCheck: { check: () => outcome.promise } });
  let ready = false;
  const service = balancer.service();
  expect(service.name).toBe("BG load balancer");
  const started = service.start().then(() => {
    ready = true;
  });
  await new Promise(setImmediate);
  expect(ready).toBe(false);
  outcome.reject(new Error("refused"));
  await started;
  expect(balancer.trySelect()).toBeUndefined();
  await service.stop(never);
});

test("a discovery that fails at start is logged, and the service is ready all the same", async () => {
  const balancer = new LoadBalancer({ discovery: { discover: () => Promise.reject(new Error("DNS is down")) } });
  const service = balancer.service();
  await service.start();
  expect(lines.map(({ msg, err }) => [msg, err?.message])).toEqual([
    ["discovery failed; the backends stay as they are", "DNS is down"],
  ]);
  await service.stop(never);
});

test.each([
  ["waits", () => Promise.resolve()],
  ["is in a check", () => new Promise<void>(() => undefined)],
])("stops at once while it %s, without a complaint", async (_, check) => {
  const balancer = LoadBalancer.from(["a:1"], { healthCheck: { check }, healthCheckIntervalMs: 3_600_000 });
  const service = balancer.service();
  const started = service.start();
  await new Promise(setImmediate);
  await service.stop(never);
  await started;
  expect(balancer.isHealthy(balancer.select())).toBe(true);
  expect(lines).toEqual([]);
});

describe("intervals", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  test("discovery and checks run at their own, and not without", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const discover = vi.fn<() => Promise<DiscoveryResult>>(() => Promise.resolve({ backends: ["a:1"] }));
    const check = vi.fn<() => Promise<void>>(() => Promise.resolve());
    const counts = (): number[] => [discover.mock.calls.length, check.mock.calls.length];
    const both = new LoadBalancer({
      discovery: { discover },
      updateIntervalMs: 3000,
      healthCheck: { check },
      healthCheckIntervalMs: 1000,
    }).service();
    await both.start();
    expect(counts()).toEqual([1, 1]);
    await vi.advanceTimersByTimeAsync(990);
    expect(counts()).toEqual([1, 1]);
    await vi.advanceTimersByTimeAsync(20);
    expect(counts()).toEqual([1, 2]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(counts()).toEqual([2, 4]);
    await both.stop(never);
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(counts()).toEqual([2, 4]);

    await new LoadBalancer({ discovery: { discover }, healthCheck: { check } }).service().start();
    expect(counts()).toEqual([3, 5]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("are shortened by up to a tenth, at random", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999);
    const check = vi.fn<() => Promise<void>>(() => Promise.resolve());
    const service = LoadBalancer.from(["a:1"], { healthCheck: { check }, healthCheckIntervalMs: 1000 }).service();
    await service.start();
    await vi.advanceTimersByTimeAsync(890);
    expect(check).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(20);
    expect(check).toHaveBeenCalledTimes(2);
    await service.stop(never);
  });

  test("a discovery that fails is logged, the old backends stay, and the next one counts", async () => {
    const discover = vi
      .fn<() => Promise<DiscoveryResult>>()
      .mockResolvedValueOnce({ backends: ["a:1"] })
      .mockRejectedValueOnce(new Error("DNS is down"))
      .mockResolvedValue({ backends: ["b:1"] });
    const balancer = new LoadBalancer({ discovery: { discover }, updateIntervalMs: 1000 });
    const service = balancer.service();
    await service.start();
    await vi.advanceTimersByTimeAsync(1001);
    expect(lines.map(({ msg }) => msg)).toEqual(["discovery failed; the backends stay as they are"]);
    expect(balancer.select().address.text).toBe("a:1");
    await vi.advanceTimersByTimeAsync(1001);
    expect(balancer.select().address.text).toBe("b:1");
    await service.stop(never);
  });
});
