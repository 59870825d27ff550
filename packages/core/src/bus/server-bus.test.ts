import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { configureLogs } from "../log/logger.ts";
import { busQuestion, busTopic } from "./bus-topic.ts";
import { ServerBus, type BusPeer } from "./server-bus.ts";

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  configureLogs({ levels: "error", destination: { write: (line) => void lines.push(line) } });
});
afterEach(() => configureLogs());

/** A primary with workers, each of which knows only the primary, as processes do. */
function server(workers: number): { primary: ServerBus; workers: ServerBus[]; end: (worker: number) => void } {
  const primary = new ServerBus();
  const ends: (() => void)[] = [];
  const all = Array.from({ length: workers }, () => {
    const worker = new ServerBus();
    const toPrimary: BusPeer = { send: (message) => primary.receive(structuredClone(message), toWorker) };
    const toWorker: BusPeer = { send: (message) => worker.receive(structuredClone(message), toPrimary) };
    worker.restore(primary.retained);
    ends.push(primary.connect(toWorker));
    worker.connect(toPrimary);
    return worker;
  });
  return { primary, workers: all, end: (worker) => ends[worker]!() };
}

const purges = busTopic<{ key: string }>("test:purge");
const load = busQuestion<{ of: string }, number>("test:load");

/** What each process hears. */
function hearing(processes: readonly ServerBus[]): string[][] {
  return processes.map((process) => {
    const heard: string[] = [];
    process.subscribe(purges, ({ key }) => heard.push(key));
    return heard;
  });
}

test("one process alone hears itself, before publish returns", () => {
  const bus = new ServerBus();
  const [heard] = hearing([bus]);
  bus.publish(purges, { key: "a" });
  expect(heard).toEqual(["a"]);
});

describe("what one says, all hear, once", () => {
  test.each([
    ["the primary", 0],
    ["a worker", 2],
  ])("%s", (_, who) => {
    const { primary, workers } = server(3);
    const all = [primary, ...workers];
    const heard = hearing(all);
    all[who]!.publish(purges, { key: "a" });
    all[who]!.publish(purges, { key: "b" });
    expect(heard).toEqual(all.map(() => ["a", "b"]));
  });
});

test("who no longer listens hears nothing, and who throws keeps nobody else from hearing", () => {
  const bus = new ServerBus();
  const stop = bus.subscribe(purges, () => {
    throw new Error("no");
  });
  const [heard] = hearing([bus]);
  bus.publish(purges, { key: "a" });
  stop();
  bus.publish(purges, { key: "b" });
  expect(heard).toEqual(["a", "b"]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("test:purge");
});

test("what is retained is heard by those who come later, each the newest of its name", () => {
  const { primary, workers } = server(1);
  workers[0]!.publish(purges, { key: "old" }, { retainAs: "x" });
  primary.publish(purges, { key: "other" }, { retainAs: "y" });
  primary.publish(purges, { key: "gone" });
  primary.publish(purges, { key: "new" }, { retainAs: "x" });
  const late = new ServerBus();
  const [before] = hearing([late]);
  late.restore(primary.retained);
  const [after] = hearing([late]);
  expect([before, after]).toEqual([
    ["other", "new"],
    ["other", "new"],
  ]);
});

describe("asking", () => {
  test.each([
    ["the primary", 0],
    ["a worker", 1],
  ])("%s gets the answers of all, its own included", async (_, who) => {
    const { primary, workers } = server(2);
    const all = [primary, ...workers];
    for (const [index, bus] of all.entries()) bus.answer(load, ({ of }) => index + of.length);
    expect((await all[who]!.ask(load, { of: "four" })).toSorted((one, other) => one - other)).toEqual([4, 5, 6]);
  });

  test("who has nothing to say, fails or is gone is left out", async () => {
    const { primary, workers, end } = server(4);
    workers[0]!.answer(load, () => 1);
    workers[1]!.answer(load, () => {
      throw new Error("no");
    });
    workers[3]!.answer(load, () => new Promise<number>(() => undefined));
    const answers = primary.ask(load, { of: "" }, { timeoutMs: 60_000 });
    await new Promise((resolve) => setImmediate(resolve));
    end(3);
    expect(await answers).toEqual([1]);
    expect(lines).toHaveLength(1);
  });

  test("who is slow is not waited for longer than was said", async () => {
    const { primary, workers } = server(2);
    workers[0]!.answer(load, () => 1);
    workers[1]!.answer(load, () => new Promise<number>(() => undefined));
    expect(await primary.ask(load, { of: "" }, { timeoutMs: 10 })).toEqual([1]);
  });
});
