import { ProxyError } from "@sluice/error";
import { describe, expect, test, vi } from "vitest";
import { captureLogs } from "../test/captured-logs.ts";
import { Backend, type BackendInput } from "./backend.ts";
import { staticDiscovery, type DiscoveryResult } from "./discovery.ts";
import type { HealthCheck } from "./health-check.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { roundRobin } from "./round-robin.ts";
import { tcpHealthCheck } from "./tcp-health-check.ts";

/** A check that fails for the addresses in `down`. */
function checkAgainst(down: ReadonlySet<string>, more: Partial<HealthCheck> = {}): HealthCheck {
  return {
    check: ({ address }) => (down.has(address.text) ? Promise.reject(new Error("refused")) : Promise.resolve()),
    ...more,
  };
}

function texts(backends: readonly Backend[]): string[] {
  return backends.map((backend) => backend.address.text);
}

function picks(balancer: LoadBalancer, count: number): string[] {
  return Array.from({ length: count }, () => balancer.select().address.text);
}

function acceptNone(): boolean {
  return false;
}

function object(weight: number, zone: string): BackendInput {
  return { address: "b:1", weight, ext: { zone } };
}

function tally(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

/** What `select` throws. */
function failure(balancer: LoadBalancer, options?: Parameters<LoadBalancer["select"]>[1]): ProxyError {
  try {
    balancer.select("", options);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error("a backend was selected");
}

/** A balancer whose discovery answers with what `result` holds at the time. */
function discovering(initial: DiscoveryResult | Error, healthCheck?: HealthCheck) {
  const source = { result: initial };
  const balancer = new LoadBalancer({
    discovery: {
      discover: () => (source.result instanceof Error ? Promise.reject(source.result) : Promise.resolve(source.result)),
    },
    ...(healthCheck === undefined ? {} : { healthCheck }),
  });
  const updateTo = (result: DiscoveryResult | Error): Promise<void> => {
    source.result = result;
    return balancer.update();
  };
  return { balancer, updateTo };
}

describe("from", () => {
  test("selects at once, in the order given, without a service", () => {
    const balancer = LoadBalancer.from(["1.1.1.1:80", "1.0.0.1:80"]);
    expect(texts(balancer.backends)).toEqual(["1.1.1.1:80", "1.0.0.1:80"]);
    expect(picks(balancer, 3)).toEqual(["1.1.1.1:80", "1.0.0.1:80", "1.1.1.1:80"]);
  });

  test("weights give shares", () => {
    const balancer = LoadBalancer.from([{ address: "a:1", weight: 8 }, "b:1", "c:1"], { selection: roundRobin });
    expect(tally(picks(balancer, 1000))).toEqual({ "a:1": 800, "b:1": 100, "c:1": 100 });
  });

  test("data of the user comes back with the backend", () => {
    const balancer = LoadBalancer.from([{ address: "a:1", ext: { zone: 7 } }]);
    expect(balancer.select().ext).toEqual({ zone: 7 });
  });

  test.each<[string, BackendInput[], RegExp]>([
    ["a duplicate", ["a:1", "a:1"], /a:1 is listed twice/],
    ["a weight of 0", [{ address: "a:1", weight: 0 }], /weight/],
    ["no address", ["nowhere"], /invalid address/],
    ["weights without a common measure", ["a:1", { address: "b:1", weight: 10_000 }], /weights add up to/],
  ])("%s is refused at once", (_, list, message) => {
    expect(() => LoadBalancer.from(list)).toThrow(message);
  });

  test("options out of range are refused by name", () => {
    const healthCheck = tcpHealthCheck();
    const discovery = staticDiscovery([]);
    expect(() => LoadBalancer.from([], { healthCheckIntervalMs: 1000 })).toThrow(/without healthCheck/);
    expect(() => LoadBalancer.from([], { healthCheck, healthCheckIntervalMs: 0 })).toThrow(/^healthCheckIntervalMs: /);
    expect(() => new LoadBalancer({ discovery, updateIntervalMs: -1 })).toThrow(/^updateIntervalMs: /);
    expect(() => new LoadBalancer({ discovery, discoveryTimeoutMs: 2 ** 31 })).toThrow(/^discoveryTimeoutMs: /);
    expect(() => LoadBalancer.from([], { healthCheck: { ...healthCheck, consecutiveFailure: 0 } })).toThrow(
      /consecutiveFailure: expected a positive integer, got 0/,
    );
    expect(() => tcpHealthCheck({ consecutiveSuccess: 1.5 })).toThrow(/consecutiveSuccess/);
    expect(() => tcpHealthCheck({ connectMs: 0 })).toThrow(/connectMs/);
  });
});

describe("selection", () => {
  test("skips what is not ready and spreads its share over the others", async () => {
    captureLogs();
    const balancer = LoadBalancer.from(["a:1", "b:1", "c:1", "d:1"], { healthCheck: checkAgainst(new Set(["b:1"])) });
    await balancer.checkHealth();
    expect(tally(picks(balancer, 1200))).toEqual({ "a:1": 400, "c:1": 400, "d:1": 400 });
  });

  test("finds the only one that is ready among many", async () => {
    const list = Array.from({ length: 300 }, (_, index) => `b${index}:1`);
    const down = new Set(list.filter((address) => address !== "b299:1"));
    captureLogs();
    const balancer = LoadBalancer.from(list, { healthCheck: checkAgainst(down) });
    await balancer.checkHealth();
    expect(new Set(picks(balancer, 600))).toEqual(new Set(["b299:1"]));
  });

  test("accept has the last word, and sees each backend once", () => {
    const balancer = LoadBalancer.from(["a:1", "b:1", "c:1"]);
    balancer.setEnabled(balancer.backends[1] as Backend, false);
    const seen: [string, boolean][] = [];
    const accept = (backend: Backend, ready: boolean): boolean => {
      seen.push([backend.address.text, ready]);
      return backend.address.text === "c:1";
    };
    expect(balancer.select("", { accept }).address.text).toBe("c:1");
    expect(seen).toEqual([
      ["a:1", true],
      ["b:1", false],
      ["c:1", true],
    ]);
    expect(balancer.select("", { accept: (_, ready) => !ready }).address.text).toBe("b:1");
    expect(balancer.trySelect("", { accept: () => false })).toBeUndefined();
  });

  test("maxIterations counts the backends looked at", () => {
    const balancer = LoadBalancer.from(["a:1", "b:1", "c:1"]);
    const accept = vi.fn<() => boolean>(() => false);
    for (const [maxIterations, looks] of [
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
      [256, 3],
    ] as const) {
      accept.mockClear();
      expect(balancer.trySelect("", { accept, maxIterations })).toBeUndefined();
      expect(accept).toHaveBeenCalledTimes(looks);
    }
  });

  test("another selection gets the backends and the key", () => {
    const keys: string[] = [];
    const balancer = LoadBalancer.from(["a:1", "b:1"], {
      selection: (backends) => ({
        first: (key) => {
          keys.push(key);
          return backends.length - 1;
        },
        fallbacks: () => ({ next: () => 0 }),
      }),
    });
    expect(balancer.select("/path").address.text).toBe("b:1");
    balancer.setEnabled(balancer.backends[1] as Backend, false);
    expect(balancer.select().address.text).toBe("a:1");
    expect(keys).toEqual(["/path", ""]);
  });
});

describe("NoPeer says why", () => {
  test("and is an upstream error that is not retried", () => {
    expect(failure(LoadBalancer.from([]))).toMatchObject({ type: "NoPeer", source: "upstream", retry: false });
  });

  test("nothing discovered, not yet or with an error", async () => {
    expect(failure(LoadBalancer.from([])).context).toBe("no backends: the discovery returned an empty list");
    const { balancer, updateTo } = discovering({ backends: [] });
    expect(failure(balancer).context).toMatch(/nothing was discovered yet; add the balancer's service\(\)/);
    await expect(updateTo(new Error("DNS is down"))).rejects.toThrow("DNS is down");
    expect(failure(balancer).message).toBe(
      "Upstream NoPeer context: no backends: the discovery failed cause: DNS is down",
    );
    await updateTo({ backends: [] });
    expect(failure(balancer).message).toBe(
      "Upstream NoPeer context: no backends: the discovery returned an empty list",
    );
  });

  test("none is ready: each with its state", async () => {
    captureLogs();
    const balancer = LoadBalancer.from(["a:1", "b:1"], { healthCheck: checkAgainst(new Set(["a:1"])) });
    await balancer.checkHealth();
    balancer.setEnabled(balancer.backends[1] as Backend, false);
    expect(failure(balancer).context).toBe("none of 2 backends is ready: a:1 unhealthy: refused, b:1 disabled");
    expect(balancer.trySelect()).toBeUndefined();
  });

  test("limit reached, or accept took none", () => {
    const balancer = LoadBalancer.from(["a:1", "b:1"]);
    const accept = acceptNone;
    expect(failure(balancer, { accept, maxIterations: 1 }).context).toBe(
      "limit reached: looked at 1 of 2 backends: a:1 ready, b:1 ready",
    );
    expect(failure(balancer, { accept }).context).toBe("accept took none of 2 backends: a:1 ready, b:1 ready");
  });

  test("of many, ten are named", () => {
    const balancer = LoadBalancer.from(Array.from({ length: 12 }, (_, index) => `b${index}:1`));
    expect(failure(balancer, { accept: () => false }).context).toMatch(/b9:1 ready, 2 more$/);
  });
});

describe("enabling", () => {
  test("takes a backend out and back, without touching its health", () => {
    const balancer = LoadBalancer.from(["a:1", "b:1"]);
    const [a] = balancer.backends as [Backend, Backend];
    expect(balancer.setEnabled(a, false)).toBe(true);
    expect([balancer.ready(a), balancer.isHealthy(a)]).toEqual([false, true]);
    expect(tally(picks(balancer, 10))).toEqual({ "b:1": 10 });
    balancer.setEnabled(a, true);
    expect(tally(picks(balancer, 10))).toEqual({ "a:1": 5, "b:1": 5 });
  });

  test("a backend that is not in the set is neither ready nor can it be enabled", () => {
    const balancer = LoadBalancer.from(["a:1"]);
    const stranger = Backend.from("b:1");
    expect([balancer.setEnabled(stranger, true), balancer.ready(stranger), balancer.isHealthy(stranger)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(balancer.ready(Backend.from("a:1"))).toBe(true);
  });

  test("the discovery's flags count without any health check; left out means enabled", async () => {
    const backends = ["a:1", "b:1"];
    const { balancer, updateTo } = discovering({ backends });
    await updateTo({
      backends,
      enabled: new Map([
        ["a:1", false],
        ["z:1", false],
      ]),
    });
    expect(balancer.backends.map((backend) => balancer.ready(backend))).toEqual([false, true]);
    await updateTo({ backends });
    expect(balancer.backends.map((backend) => balancer.ready(backend))).toEqual([true, true]);
  });

  test("disabled by hand stays so through updates, and does not lift what the discovery says", async () => {
    const { balancer, updateTo } = discovering({ backends: [] });
    await updateTo({ backends: ["a:1"] });
    const [a] = balancer.backends as [Backend];
    balancer.setEnabled(a, false);
    await updateTo({ backends: ["a:1", "b:1"], enabled: new Map([["a:1", true]]) });
    expect(balancer.ready(a)).toBe(false);
    balancer.setEnabled(a, true);
    expect(balancer.ready(a)).toBe(true);
    await updateTo({ backends: ["a:1"], enabled: new Map([["a:1", false]]) });
    balancer.setEnabled(a, true);
    expect(balancer.ready(a)).toBe(false);
  });
});

describe("update", () => {
  test("replaces the set; what stays keeps its health, also with another weight", async () => {
    captureLogs();
    const { balancer, updateTo } = discovering({ backends: [] }, checkAgainst(new Set(["a:1"])));
    await updateTo({ backends: ["a:1", "b:1"] });
    await balancer.checkHealth();
    const before = balancer.backends;
    await updateTo({ backends: [{ address: "a:1", weight: 5 }, "c:1"] });
    expect(balancer.backends.map((backend) => [backend.address.text, balancer.isHealthy(backend)])).toEqual([
      ["a:1", false],
      ["c:1", true],
    ]);
    expect(texts(before)).toEqual(["a:1", "b:1"]);
    expect(balancer.select().address.text).toBe("c:1");
    await updateTo({ backends: ["c:1"] });
    await updateTo({ backends: ["a:1"] });
    expect(balancer.isHealthy(balancer.backends[0] as Backend)).toBe(true);
  });

  test("builds a selector only if backends, order, weights or data changed", async () => {
    const selection = vi.fn<typeof roundRobin>(roundRobin);
    let result: DiscoveryResult = { backends: [] };
    const balancer = new LoadBalancer({ selection, discovery: { discover: () => Promise.resolve(result) } });
    const builds = async (backends: BackendInput[]): Promise<number> => {
      selection.mockClear();
      result = { backends };
      await balancer.update();
      return selection.mock.calls.length;
    };
    expect(await builds([])).toBe(0);
    expect(await builds(["a:1", object(1, "x")])).toBe(1);
    const [, b] = balancer.backends;
    picks(balancer, 1);
    expect(await builds(["a:1", object(1, "x")])).toBe(0);
    expect(balancer.backends[1]).toBe(b);
    expect(picks(balancer, 1)).toEqual(["b:1"]);
    expect(await builds(["a:1", object(1, "y")])).toBe(1);
    expect(balancer.backends[1]?.ext).toEqual({ zone: "y" });
    expect(await builds(["a:1", object(2, "y")])).toBe(1);
    expect(await builds([object(2, "y"), "a:1"])).toBe(1);
    expect(await builds([object(2, "y")])).toBe(1);
  });

  test("a failed discovery, an invalid backend or a refused set leaves everything as it was", async () => {
    const { balancer, updateTo } = discovering({ backends: [] });
    await updateTo({ backends: ["a:1"] });
    await expect(updateTo(new Error("DNS is down"))).rejects.toThrow("DNS is down");
    await expect(updateTo({ backends: ["b:1", "nowhere"] })).rejects.toThrow("invalid address");
    const uneven = { backends: ["a:1", { address: "b:1", weight: 10_000 }], enabled: new Map([["a:1", false]]) };
    await expect(updateTo(uneven)).rejects.toThrow("weights add up");
    expect(texts(balancer.backends)).toEqual(["a:1"]);
    expect(picks(balancer, 1)).toEqual(["a:1"]);
  });

  test("of two backends with one address the first counts, and a warning says so once", async () => {
    const lines = captureLogs();
    const { balancer, updateTo } = discovering({ backends: [] });
    const backends = ["a:1", { address: "a:1", weight: 9 }, "b:1"];
    await updateTo({ backends });
    await updateTo({ backends });
    expect(balancer.backends.map((backend) => backend.weight)).toEqual([1, 1]);
    expect(lines.map(({ msg, backend }) => [msg, backend])).toEqual([
      ["discovery names a backend twice; the first counts", "a:1"],
    ]);
  });

  test("updates wait for each other, so that an old answer does not win", async () => {
    const answers: ((result: DiscoveryResult) => void)[] = [];
    const balancer = new LoadBalancer({
      discovery: { discover: () => new Promise((resolve) => answers.push(resolve)) },
    });
    const first = balancer.update();
    const second = balancer.update();
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    answers[0]?.({ backends: ["old:1"] });
    await first;
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    answers[1]?.({ backends: ["new:1"] });
    await second;
    expect(texts(balancer.backends)).toEqual(["new:1"]);
  });

  test("a discovery that hangs fails, and the next one can run", async () => {
    const discovery = {
      discover: vi
        .fn<() => Promise<DiscoveryResult>>()
        .mockReturnValueOnce(new Promise(() => undefined))
        .mockResolvedValue({ backends: ["a:1"] }),
    };
    const balancer = new LoadBalancer({ discovery, discoveryTimeoutMs: 5 });
    await expect(balancer.update()).rejects.toThrow("discovery took longer than 5 ms");
    await balancer.update();
    expect(texts(balancer.backends)).toEqual(["a:1"]);
  });
});

describe("a round of checks", () => {
  test("tells a change once: after the state, before the log", async () => {
    const lines = captureLogs();
    const down = new Set(["a:1"]);
    const told: unknown[] = [];
    const balancer: LoadBalancer = LoadBalancer.from(["a:1", "b:1"], {
      healthCheck: checkAgainst(down, {
        onStatusChange: (backend, healthy) => {
          told.push([backend.address.text, healthy, balancer.ready(backend)]);
        },
        summary: (backend) => `server ${backend.address.text}`,
      }),
    });
    await balancer.checkHealth();
    await balancer.checkHealth();
    down.clear();
    await balancer.checkHealth();
    expect(told).toEqual([
      ["a:1", false, false],
      ["a:1", true, true],
    ]);
    expect(lines.map(({ name, level, msg, backend, err }) => [name, level, msg, backend, err?.message])).toEqual([
      ["load-balancing", 40, "backend becomes unhealthy", "server a:1", "refused"],
      ["load-balancing", 30, "backend becomes healthy", "server a:1", undefined],
    ]);
  });

  test("thresholds of the check hold", async () => {
    captureLogs();
    const down = new Set(["a:1"]);
    const healthCheck = checkAgainst(down, { consecutiveFailure: 2, consecutiveSuccess: 3 });
    const balancer = LoadBalancer.from(["a:1"], { healthCheck });
    const [a] = balancer.backends as [Backend];
    const round = async (): Promise<boolean> => {
      await balancer.checkHealth();
      return balancer.isHealthy(a);
    };
    expect([await round(), await round()]).toEqual([true, false]);
    down.clear();
    expect([await round(), await round(), await round()]).toEqual([false, false, true]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("in the callback");
      },
    ],
    ["rejects", () => Promise.reject(new Error("in the callback"))],
  ])("a callback that %s is logged and harms nothing", async (_, onStatusChange: () => void | Promise<void>) => {
    const lines = captureLogs();
    const healthCheck = checkAgainst(new Set(["a:1"]), {
      onStatusChange,
      summary: () => {
        throw new Error("in the summary");
      },
    });
    const balancer = LoadBalancer.from(["a:1", "b:1"], { healthCheck });
    await balancer.checkHealth();
    expect(balancer.backends.map((backend) => balancer.ready(backend))).toEqual([false, true]);
    expect(new Set(lines.map(({ msg }) => msg))).toEqual(
      new Set([
        "onStatusChange of the health check failed",
        "summary of the health check failed",
        "backend becomes unhealthy",
      ]),
    );
  });

  test("a callback that never settles does not hold the round up", async () => {
    captureLogs();
    const healthCheck = checkAgainst(new Set(["a:1"]), { onStatusChange: () => new Promise(() => undefined) });
    await expect(LoadBalancer.from(["a:1"], { healthCheck }).checkHealth()).resolves.toBeUndefined();
  });

  test("a check that never settles counts as failed when its time is over", async () => {
    const lines = captureLogs();
    const healthCheck: HealthCheck = { check: () => new Promise(() => undefined), timeoutMs: 5 };
    const balancer = LoadBalancer.from(["a:1"], { healthCheck });
    await balancer.checkHealth();
    expect(balancer.trySelect()).toBeUndefined();
    expect(lines[0]?.err?.message).toBe("health check of a:1 took longer than 5 ms");
  });

  test.each([
    ["at most 32", true, 32],
    ["one", false, 1],
  ])("checks %s at a time", async (_, parallelHealthChecks, expected) => {
    const warnings = vi.spyOn(process, "emitWarning");
    let running = 0;
    let most = 0;
    let checks = 0;
    const healthCheck: HealthCheck = {
      async check() {
        running += 1;
        checks += 1;
        most = Math.max(most, running);
        await Promise.resolve();
        running -= 1;
      },
    };
    const list = Array.from({ length: 100 }, (__, index) => `b${index}:1`);
    const balancer = LoadBalancer.from(list, { healthCheck, parallelHealthChecks });
    await balancer.checkHealth(new AbortController().signal);
    expect([most, checks]).toEqual([expected, 100]);
    expect(warnings).not.toHaveBeenCalled();
    warnings.mockRestore();
  });

  test("the outcome for a backend that left meanwhile, or came back anew, is dropped", async () => {
    const lines = captureLogs();
    const fail: ((error: Error) => void)[] = [];
    const healthCheck: HealthCheck = { check: () => new Promise((_, reject) => fail.push(reject)) };
    const { balancer, updateTo } = discovering({ backends: [] }, healthCheck);
    await updateTo({ backends: ["a:1"] });
    const round = balancer.checkHealth();
    await vi.waitFor(() => expect(fail).toHaveLength(1));
    await updateTo({ backends: [] });
    await updateTo({ backends: ["a:1"] });
    fail[0]?.(new Error("refused"));
    await round;
    expect(balancer.isHealthy(balancer.backends[0] as Backend)).toBe(true);
    expect(lines).toEqual([]);
  });

  test("one that was weighted anew meanwhile keeps the outcome", async () => {
    captureLogs();
    const fail: ((error: Error) => void)[] = [];
    const healthCheck: HealthCheck = { check: () => new Promise((_, reject) => fail.push(reject)) };
    const { balancer, updateTo } = discovering({ backends: [] }, healthCheck);
    await updateTo({ backends: ["a:1"] });
    const round = balancer.checkHealth();
    await vi.waitFor(() => expect(fail).toHaveLength(1));
    await updateTo({ backends: [{ address: "a:1", weight: 2 }, "b:1"] });
    fail[0]?.(new Error("refused"));
    await round;
    expect(balancer.isHealthy(balancer.backends[0] as Backend)).toBe(false);
  });

  test("without a health check there is nothing to do", async () => {
    const balancer = LoadBalancer.from(["a:1"]);
    await balancer.checkHealth();
    expect(balancer.ready(balancer.backends[0] as Backend)).toBe(true);
  });
});

describe("successorOf", () => {
  const list = ["127.0.0.1:1", "127.0.0.1:2"];

  test("servers that are in both keep their health and whether they are enabled; new ones are well", async () => {
    const healthCheck = checkAgainst(new Set(["127.0.0.1:1"]));
    const before = LoadBalancer.from([...list, "127.0.0.1:3"], { healthCheck });
    await before.checkHealth();
    before.setEnabled(before.backends[1]!, false);
    const after = LoadBalancer.from([...list, "127.0.0.1:4"], { healthCheck, successorOf: before });
    expect(after.backends.map((backend) => [after.isHealthy(backend), after.ready(backend)])).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
    // And not later once more.
    before.setEnabled(before.backends[1]!, true);
    await after.update();
    expect(after.ready(after.backends[1]!)).toBe(false);
  });

  test("without checks that could find it well again, no server is unwell", async () => {
    const before = LoadBalancer.from(list, { healthCheck: checkAgainst(new Set(list)) });
    await before.checkHealth();
    const after = LoadBalancer.from(list, { successorOf: before });
    expect(picks(after, 2)).toEqual(list);
  });
});

describe("options that cannot be", () => {
  test.each<[options: unknown, message: string]>([
    [{ healthcheck: 1 }, "LoadBalancer: unknown option healthcheck; did you mean healthCheck?"],
    [{ selection: "roundRobin" }, 'LoadBalancer: selection: expected a function, such as roundRobin, got "roundRobin"'],
    [
      { healthCheck: tcpHealthCheck },
      "healthCheck: expected an object with check(), such as tcpHealthCheck(), got a function",
    ],
    [{ name: 5 }, "LoadBalancer: name: expected a string, got 5"],
    [
      { healthCheck: { check: () => Promise.resolve(), onStatusChange: true } },
      "LoadBalancer: healthCheck: onStatusChange: expected a function, got true",
    ],
    [{ successorOf: {} }, "LoadBalancer: successorOf: expected a LoadBalancer, got an object"],
    [{ parallelHealthChecks: 4 }, "LoadBalancer: parallelHealthChecks: expected true or false, got 4"],
    [null, "LoadBalancer: expected an object of options, got null"],
  ])("%o", (options, message) => {
    const discovery = staticDiscovery(["a:1"]);
    const given = options === null ? options : { discovery, ...(options as object) };
    expect(() => new LoadBalancer(given as never)).toThrow(message);
  });

  test("a balancer without discovery, and a list that is none", () => {
    expect(() => new LoadBalancer({} as never)).toThrow("discovery: expected an object with discover()");
    expect(() => LoadBalancer.from("a:1" as never)).toThrow(
      'LoadBalancer.from: expected a list of backends, got "a:1"',
    );
    expect(() => staticDiscovery(5 as never)).toThrow("staticDiscovery: expected a list of backends, got 5");
    expect(() => LoadBalancer.from(["a:1"], null as never)).toThrow("LoadBalancer: expected an object of options");
  });

  test.each<[input: unknown, message: string]>([
    [{}, "backend: address: expected host:port"],
    [{ address: "a:1", wieght: 2 }, "backend: unknown option wieght; did you mean weight?"],
    [{ address: "a:1", weight: "2" }, 'backend a:1: weight: expected a positive integer, got "2"'],
    [null, "backend: expected an object of options, got null"],
  ])("of a backend: %o", (input, message) => {
    expect(() => LoadBalancer.from([input as never])).toThrow(message);
  });

  test.each<[options: unknown, message: string]>([
    [{ acept: () => true }, "select: unknown option acept; did you mean accept?"],
    [true, "select: expected an object of options, got true"],
    [null, "select: expected an object of options, got null"],
    [{ maxIterations: "none" }, 'select: maxIterations: expected a number of at least 0, got "none"'],
    [{ maxIterations: -1 }, "select: maxIterations: expected a number of at least 0, got -1"],
  ])("of a choice: %o", (options, message) => {
    const balancer = LoadBalancer.from(["a:1", "b:1"]);
    expect(() => balancer.select("", options as never)).toThrow(message);
    expect(() => balancer.trySelect("", options as never)).toThrow(message);
  });

  test("of a choice that finds nothing, also beside one that is right", () => {
    const balancer = LoadBalancer.from(["a:1"]);
    const options = { accept: () => false, maxIteration: 1 };
    expect(() => balancer.select("", options)).toThrow("unknown option maxIteration; did you mean maxIterations?");
  });

  test("a switch that is none", () => {
    const balancer = LoadBalancer.from(["a:1"]);
    const [backend] = balancer.backends;
    expect(() => balancer.setEnabled(backend!, "no" as never)).toThrow(
      'setEnabled: enabled: expected true or false, got "no"',
    );
    expect(balancer.ready(backend!)).toBe(true);
  });

  test.each<[options: unknown, message: string]>([
    [{ connectMS: 5 }, "tcpHealthCheck: unknown option connectMS; did you mean connectMs?"],
    [
      { connectMs: "5" },
      'tcpHealthCheck: connectMs: expected milliseconds, more than 0 and at most 2147483647, got "5"',
    ],
    [{ onChange: 5 }, "tcpHealthCheck: onChange: expected a function, got 5"],
  ])("of a check: %o", (options, message) => {
    expect(() => tcpHealthCheck(options as never)).toThrow(message);
  });
});
