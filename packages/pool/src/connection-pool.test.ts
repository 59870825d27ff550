import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ConnectionPool } from "./connection-pool.ts";
import type { CloseReason, IdleState, PoolableConnection } from "./poolable-connection.ts";

class FakeConnection implements PoolableConnection {
  readonly name: string;
  state: IdleState = "usable";
  readonly closedFor: CloseReason[] = [];
  onClose: () => void = () => undefined;

  constructor(name: string) {
    this.name = name;
  }

  closeIdle(reason: CloseReason): void {
    this.closedFor.push(reason);
    this.onClose();
  }

  idleState(): IdleState {
    return this.state;
  }
}

const connection = (name = "c"): FakeConnection => new FakeConnection(name);

function poolOf(maxIdle?: number): ConnectionPool<FakeConnection> {
  return new ConnectionPool(maxIdle === undefined ? {} : { maxIdle });
}

function connections(count: number): FakeConnection[] {
  return Array.from({ length: count }, (_, index) => connection(`c${index}`));
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("get and put", () => {
  test("hands out by key, and each connection once", () => {
    const pool = poolOf(3);
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    expect([pool.put("101", a), pool.put("102", b), pool.put("101", c)]).toEqual([true, true, true]);
    expect(pool.get("102")).toBe(b);
    expect(new Set([pool.get("101"), pool.get("101")])).toEqual(new Set([a, c]));
    expect(pool.get("101")).toBeUndefined();
    expect(pool.get("102")).toBeUndefined();
  });

  test("the connection stored last comes first, where Pingora takes the one stored first", () => {
    const pool = poolOf();
    const stored = connections(20);
    for (const one of stored) pool.put("k", one);
    expect(stored.map(() => pool.get("k"))).toEqual(stored.toReversed());
  });

  test("a connection can come back, under the same key or another", () => {
    const pool = poolOf();
    const one = connection();
    for (const key of ["a", "a", "b"]) {
      pool.put(key, one);
      expect(pool.get(key)).toBe(one);
    }
    expect(one.closedFor).toEqual([]);
  });

  test("keys that differ only a little stay apart", () => {
    const pool = poolOf();
    pool.put("__proto__", connection("odd"));
    pool.put("", connection("empty"));
    expect(pool.get("constructor")).toBeUndefined();
    expect(pool.get("__proto__")?.name).toBe("odd");
    expect(pool.get("")?.name).toBe("empty");
  });

  test("storing a connection twice is refused, and the pool stays as it was", () => {
    const pool = poolOf();
    const one = connection();
    pool.put("a", one);
    expect(() => pool.put("b", one)).toThrow(TypeError);
    expect(() => pool.put("b", one)).toThrow("in the pool already (a)");
    expect([pool.idleCount, pool.idleCountOf("a"), pool.idleCountOf("b")]).toEqual([1, 1, 0]);
    expect(one.closedFor).toEqual([]);
  });

  test.each([-1, Number.NaN])("an idle limit of %s is refused before the connection is taken", (idleMs) => {
    const pool = poolOf();
    const one = connection();
    expect(() => pool.put("k", one, idleMs)).toThrow(RangeError);
    expect([pool.idleCount, one.closedFor.length]).toEqual([0, 0]);
  });
});

describe("remove", () => {
  test("forgets one connection of a key and leaves the other", () => {
    const pool = poolOf(3);
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("101", a);
    pool.put("102", b);
    pool.put("101", c);
    expect(pool.remove(a, "closed")).toBe(true);
    expect(pool.remove(a, "closed")).toBe(false);
    expect(pool.get("101")).toBe(c);
    expect(pool.get("101")).toBeUndefined();
    expect(a.closedFor).toEqual([]);
  });

  test.each([0, 1, 2])("from place %i of three, the others keep their order", (place) => {
    const pool = poolOf();
    const stored = connections(3);
    for (const one of stored) pool.put("k", one);
    pool.remove(stored[place] as FakeConnection, "closed");
    const rest = stored.filter((_, index) => index !== place);
    expect(pool.idleCountOf("k")).toBe(2);
    expect([pool.get("k"), pool.get("k"), pool.get("k")]).toEqual([...rest.toReversed(), undefined]);
  });

  test("counts data that came while idle, but not of a connection in use", () => {
    const pool = poolOf();
    const one = connection();
    pool.put("k", one);
    expect(pool.remove(one, "unexpected-data")).toBe(true);
    expect(pool.remove(one, "unexpected-data")).toBe(false);
    expect(pool.remove(connection(), "unexpected-data")).toBe(false);
    expect(pool.unexpectedData).toMatchObject({ idle: 1, release: 0, pickup: 0, total: 1 });
  });
});

describe("the limit", () => {
  test("one more than the limit closes the one stored longest ago, of whatever key", () => {
    const pool = poolOf(2);
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("101", a);
    pool.put("102", b);
    pool.put("101", c);
    expect([a, b, c].map((one) => one.closedFor)).toEqual([["evicted"], [], []]);
    expect(pool.idleCount).toBe(2);
    expect(pool.get("101")).toBe(c);
    expect(pool.get("101")).toBeUndefined();
  });

  test("a connection that was taken out no longer counts", () => {
    const pool = poolOf(2);
    const [a, b, c, d] = connections(4) as [FakeConnection, FakeConnection, FakeConnection, FakeConnection];
    pool.put("a", a);
    pool.put("b", b);
    pool.get("a");
    pool.put("c", c);
    pool.put("d", d);
    expect([a, b, c, d].map((one) => one.closedFor)).toEqual([[], ["evicted"], [], []]);
  });

  test("using a connection again makes it the newest", () => {
    const pool = poolOf(2);
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("a", a);
    pool.put("b", b);
    pool.put("a", pool.get("a") as FakeConnection);
    pool.put("c", c);
    expect([a, b, c].map((one) => one.closedFor)).toEqual([[], ["evicted"], []]);
  });

  test("a limit of 0 stores nothing and closes what it is given", () => {
    const pool = poolOf(0);
    const one = connection();
    expect(pool.put("k", one)).toBe(false);
    expect(one.closedFor).toEqual(["disabled"]);
    expect(pool.get("k")).toBeUndefined();
    expect([pool.idleCount, pool.keyCount, pool.idleCountOf("k"), pool.remove(one, "closed")]).toEqual([
      0,
      0,
      0,
      false,
    ]);
  });

  test("is 128 unless given", () => {
    const pool = poolOf();
    const stored = connections(130);
    for (const one of stored) pool.put(one.name, one);
    expect(pool.idleCount).toBe(128);
    expect(stored.filter((one) => one.closedFor.length > 0).map((one) => one.name)).toEqual(["c0", "c1"]);
  });

  test.each([-1, 1.5, Number.NaN, Infinity, "12" as unknown as number])("maxIdle %s is refused", (maxIdle) => {
    expect(() => poolOf(maxIdle)).toThrow(/maxIdle: expected an integer of 0/);
  });
});

describe("empty keys", () => {
  test("leave nothing behind, by whichever way they became empty", () => {
    const pool = poolOf(2);
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("101", a);
    expect(pool.keyCount).toBe(1);
    pool.remove(a, "closed");
    expect(pool.keyCount).toBe(0);

    pool.put("101", a);
    pool.put("101", b);
    pool.get("101");
    expect(pool.keyCount).toBe(1);
    pool.get("101");
    expect(pool.keyCount).toBe(0);

    pool.put("202", a, 1000);
    pool.put("101", b);
    vi.advanceTimersByTime(1100);
    expect([pool.keyCount, pool.idleCountOf("101")]).toEqual([1, 1]);
    pool.put("303", c);
    pool.put("404", a);
    expect([pool.keyCount, pool.idleCountOf("101")]).toEqual([2, 0]);
    pool.put("101", b);
    expect(pool.get("101")).toBe(b);
  });

  test("many distinct keys do not pile up", () => {
    const pool = poolOf(10);
    for (let index = 0; index < 10_000; index += 1) pool.put(`k${index}`, connection());
    expect([pool.keyCount, pool.idleCount]).toEqual([10, 10]);
  });
});

describe("idle limits", () => {
  test("a limit of 0 closes at once: pooling is off for this peer", () => {
    const pool = poolOf();
    const one = connection();
    expect(pool.put("k", one, 0)).toBe(false);
    expect(one.closedFor).toEqual(["disabled"]);
    expect([pool.idleCount, vi.getTimerCount()]).toEqual([0, 0]);
  });

  test("the shortest limit closes first, whatever the order of storing", () => {
    const pool = poolOf();
    const [a, b, c] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("k", c, 3000);
    pool.put("k", a, 1000);
    pool.put("k", b, 2000);
    const closed: string[] = [];
    for (const one of [a, b, c]) one.onClose = () => closed.push(one.name);
    for (const expected of [["c0"], ["c0", "c1"], ["c0", "c1", "c2"]]) {
      vi.advanceTimersByTime(1000);
      expect(closed).toEqual(expected);
    }
    expect(a.closedFor).toEqual(["idle-timeout"]);
    expect([pool.idleCount, vi.getTimerCount()]).toEqual([0, 0]);
  });

  test("a connection past its limit is not handed out, even before the timer fired", () => {
    const pool = poolOf();
    const [old, young] = connections(2) as [FakeConnection, FakeConnection];
    pool.put("k", young, 5000);
    pool.put("k", old, 1000);
    const now = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 1000);
    expect(pool.get("k")).toBe(young);
    expect([old.closedFor, young.closedFor]).toEqual([["idle-timeout"], []]);
    now.mockRestore();
  });

  test("one millisecond before its limit it is handed out, and nothing closes it later", () => {
    const pool = poolOf();
    const one = connection();
    pool.put("k", one, 1000);
    vi.advanceTimersByTime(999);
    expect(pool.get("k")).toBe(one);
    vi.advanceTimersByTime(10_000);
    expect(one.closedFor).toEqual([]);
  });

  test("a connection stored anew waits from then on", () => {
    const pool = poolOf();
    const one = connection();
    pool.put("k", one, 1000);
    vi.advanceTimersByTime(600);
    pool.put("k", pool.get("k") as FakeConnection, 1000);
    vi.advanceTimersByTime(900);
    expect(one.closedFor).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(one.closedFor).toEqual(["idle-timeout"]);
  });

  test("without limits there is no timer; with many there is one, which use does not touch", () => {
    const pool = poolOf();
    pool.put("k", connection());
    pool.put("k", connection(), Infinity);
    expect(vi.getTimerCount()).toBe(0);
    const set = vi.spyOn(globalThis, "setTimeout");
    const clear = vi.spyOn(globalThis, "clearTimeout");
    pool.put("k", connection(), 60_000);
    const armed = [set.mock.calls.length, clear.mock.calls.length];
    for (let round = 0; round < 1000; round += 1) {
      vi.advanceTimersByTime(1);
      pool.put("k", pool.get("k") as FakeConnection, 60_000);
    }
    expect([set.mock.calls.length, clear.mock.calls.length]).toEqual(armed);
    expect(vi.getTimerCount()).toBe(1);
    set.mockRestore();
    clear.mockRestore();
  });

  test("many limits close together are one sweep", () => {
    const pool = poolOf(1000);
    const stored = connections(1000);
    stored.forEach((one, index) => pool.put("k", one, 1000 + index / 100));
    const set = vi.spyOn(globalThis, "setTimeout");
    vi.advanceTimersByTime(1020);
    expect(stored.every((one) => one.closedFor[0] === "idle-timeout")).toBe(true);
    expect(set.mock.calls.length).toBeLessThanOrEqual(2);
    set.mockRestore();
  });

  test("a limit longer than any timer is waited for all the same", () => {
    const pool = poolOf();
    const one = connection();
    pool.put("k", one, 2 ** 31 + 5000);
    vi.advanceTimersByTime(2 ** 31);
    expect(one.closedFor).toEqual([]);
    vi.advanceTimersByTime(5100);
    expect(one.closedFor).toEqual(["idle-timeout"]);
  });

  test("the timer does not keep the process alive", () => {
    vi.useRealTimers();
    const set = vi.spyOn(globalThis, "setTimeout");
    const pool = poolOf();
    pool.put("k", connection(), 1000);
    const timer = set.mock.results[0]?.value as NodeJS.Timeout | undefined;
    expect(timer?.hasRef()).toBe(false);
    pool.close();
    set.mockRestore();
  });
});

describe("liveness", () => {
  test.each([
    ["closed", 0],
    ["unexpected-data", 1],
  ] as const)("a connection that is %s when put is closed and not stored", (state, counted) => {
    const pool = poolOf();
    const one = connection();
    one.state = state;
    expect(pool.put("k", one)).toBe(false);
    expect(one.closedFor).toEqual([state]);
    expect(pool.idleCount).toBe(0);
    expect(pool.unexpectedData).toMatchObject({ idle: 0, release: counted, pickup: 0, total: counted });
  });

  test("unexpected data counts also where nothing is pooled", () => {
    const pool = poolOf(0);
    const one = connection();
    one.state = "unexpected-data";
    pool.put("k", one);
    expect(one.closedFor).toEqual(["unexpected-data"]);
    expect(pool.unexpectedData.release).toBe(1);
  });

  test("dead and chatty connections are skipped, closed and counted at pick-up, down to a usable one", () => {
    const pool = poolOf();
    const [good, dead, chatty] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    for (const one of [good, dead, chatty]) pool.put("k", one);
    dead.state = "closed";
    chatty.state = "unexpected-data";
    expect(pool.get("k")).toBe(good);
    expect([good.closedFor, dead.closedFor, chatty.closedFor]).toEqual([[], ["closed"], ["unexpected-data"]]);
    expect(pool.unexpectedData).toMatchObject({ idle: 0, release: 0, pickup: 1, total: 1 });
    expect(pool.idleCount).toBe(0);
  });

  test("only dead ones are as good as none", () => {
    const pool = poolOf();
    const stored = connections(5);
    for (const one of stored) pool.put("k", one);
    for (const one of stored) one.state = "closed";
    expect(pool.get("k")).toBeUndefined();
    expect([pool.idleCount, pool.keyCount]).toEqual([0, 0]);
  });
});

describe("close", () => {
  test("closes all idle connections and the timer, and whatever is put later", () => {
    const pool = poolOf();
    const stored = connections(3);
    for (const one of stored) pool.put(one.name, one, 1000);
    pool.close();
    expect(stored.map((one) => one.closedFor)).toEqual([["pool-closed"], ["pool-closed"], ["pool-closed"]]);
    expect([pool.idleCount, pool.keyCount, vi.getTimerCount()]).toEqual([0, 0, 0]);
    const late = connection();
    expect(pool.put("k", late, 1000)).toBe(false);
    expect(late.closedFor).toEqual(["pool-closed"]);
    expect(pool.get("k")).toBeUndefined();
    pool.close();
    expect(stored[0]?.closedFor).toHaveLength(1);
  });
});

describe("a close that calls back", () => {
  test("removing itself is harmless in every way out", () => {
    const pool = poolOf(2);
    const stored = connections(5);
    const removed: boolean[] = [];
    for (const one of stored) one.onClose = () => removed.push(pool.remove(one, "closed"));
    for (const one of stored) pool.put("k", one, 1000);
    vi.advanceTimersByTime(1100);
    pool.put("k", stored[0] as FakeConnection);
    pool.close();
    expect(removed).toEqual([false, false, false, false, false, false]);
    expect([pool.idleCount, pool.keyCount]).toEqual([0, 0]);
  });

  test("taking others along during a sweep closes each at most once", () => {
    const pool = poolOf();
    const [a, b] = connections(2) as [FakeConnection, FakeConnection];
    pool.put("k", a, 1000);
    pool.put("k", b, 1000);
    a.onClose = () => pool.remove(b, "closed");
    vi.advanceTimersByTime(1100);
    expect([a.closedFor, b.closedFor]).toEqual([["idle-timeout"], []]);
    expect(pool.idleCount).toBe(0);
  });
});

test("against a simple model, a long random run agrees", () => {
  const MAX = 8;
  const pool = poolOf(MAX);
  let model: { key: string; one: FakeConnection }[] = [];
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const used = connections(30);
  const answers: [got: unknown, expected: unknown][] = [];
  for (let step = 0; step < 20_000; step += 1) {
    const key = `k${random(4)}`;
    const one = used[random(30)] as FakeConnection;
    const modelled = model.some((entry) => entry.one === one);
    const choice = random(3);
    if (choice === 0) {
      const at = model.findLastIndex((entry) => entry.key === key);
      answers.push([pool.get(key), at < 0 ? undefined : model.splice(at, 1)[0]?.one]);
    } else if (choice === 1) {
      model = model.filter((entry) => entry.one !== one);
      answers.push([pool.remove(one, "closed"), modelled]);
    } else if (!modelled) {
      answers.push([pool.put(key, one), true]);
      model.push({ key, one });
      if (model.length > MAX) model.shift();
    }
    answers.push([pool.idleCount, model.length], [pool.keyCount, new Set(model.map((entry) => entry.key)).size]);
  }
  expect(answers.filter(([got, expected]) => got !== expected)).toEqual([]);
});

describe("retire", () => {
  test("closes what is idle under that key, and what comes back to it, and nothing else", () => {
    const pool = poolOf();
    const [idle, inUse, other] = connections(3) as [FakeConnection, FakeConnection, FakeConnection];
    pool.put("gone", idle);
    pool.put("stays", other);
    pool.retire("gone");
    expect(pool.put("gone", inUse)).toBe(false);
    expect([idle.closedFor, inUse.closedFor, other.closedFor]).toEqual([["retired"], ["retired"], []]);
    expect([pool.idleCount, pool.keyCount]).toEqual([1, 1]);
  });

  test("ends when somebody asks for the key again", () => {
    const pool = poolOf();
    pool.retire("k");
    expect(pool.get("k")).toBeUndefined();
    const one = connection();
    expect(pool.put("k", one)).toBe(true);
    expect(pool.get("k")).toBe(one);
  });

  test("is remembered for the last 10,000 keys", () => {
    const pool = poolOf();
    for (let key = 0; key <= 10_000; key++) pool.retire(String(key));
    expect(pool.put("0", connection())).toBe(true);
    expect(pool.put("1", connection())).toBe(false);
  });
});

test.each<[options: unknown, message: string]>([
  [{ maxIdel: 1 }, "ConnectionPool: unknown option maxIdel; expected one of maxIdle, now"],
  [{ now: 5 }, "ConnectionPool: now: expected a function, got number"],
  [{ maxIdle: "5" }, "ConnectionPool: maxIdle: expected an integer of 0 (pool nothing) or more, got 5"],
  [null, "ConnectionPool: expected an object of options, got null"],
  [128, "ConnectionPool: expected an object of options, got 128"],
])("options that cannot be: %j", (options, message) => {
  expect(() => new ConnectionPool(options as never)).toThrow(message);
});
