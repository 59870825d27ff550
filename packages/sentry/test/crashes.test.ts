import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SentryServer, type SentryEvent } from "./support/sentry-server.ts";

// Each test starts a process, or several.
vi.setConfig({ testTimeout: 60_000 });

const PROGRAM = fileURLToPath(new URL("./crash-program.ts", import.meta.url));
/** Long enough for any machine: what is tested is not how long it takes. */
const FLUSH_MS = 30_000;

let sentry: SentryServer;

beforeEach(async () => {
  sentry = await SentryServer.start();
});

afterEach(() => sentry[Symbol.asyncDispose]());

/** Its exit code, and its signal. */
async function run(end: string, flushMs = FLUSH_MS): Promise<[code: number | null, signal: string | null]> {
  // Whoever the environment names as a proxy gets nothing.
  const env = { ...process.env, http_proxy: "http://127.0.0.1:9", SENTRY_DSN: "http://other@127.0.0.1:9/1" };
  const child = spawn(process.execPath, [PROGRAM, end, sentry.dsn, String(flushMs)], { env, stdio: "ignore" });
  return (await once(child, "exit")) as [number | null, string | null];
}

const summary = ({ level, tags, exception }: SentryEvent): unknown[] => [
  level,
  tags!["kind"],
  tags!["origin"],
  exception!.values.at(-1)!.value,
];

test.each([
  ["throws", 1, "uncaughtException"],
  ["rejects", 1, "unhandledRejection"],
  ["throws, and drains", 7, "uncaughtException"],
])("a process that %s reports it once, before it ends", async (end, code, origin) => {
  expect(await run(end)).toEqual([code, null]);
  expect(sentry.events.map(summary)).toEqual([["fatal", "uncaught", origin, "oops"]]);
  const [{ exception }] = sentry.events as [SentryEvent];
  expect(exception!.values[0]!.mechanism).toMatchObject({ type: "sluice.uncaught", handled: false });
  expect(exception!.values[0]!.stacktrace!.frames.at(-1)!.filename).toContain("crash-program.ts");
});

test.each(["ends", "stops"])("a process that %s does so when what it reported is sent", async (end) => {
  expect(await run(end)).toEqual([0, null]);
  expect(sentry.events.map(summary)).toEqual([["error", "captured", undefined, "oops"]]);
});

test("a process does not wait longer for a server that does not answer than was said", async () => {
  sentry.answer = () => undefined;
  expect(await run("throws", 200)).toEqual([1, null]);
  expect(await run("ends", 200)).toEqual([0, null]);
  expect(await run("stops", 200)).toEqual([0, null]);
});

test("workers that crash are told by themselves, and by who has started them", async () => {
  expect(await run("forks")).toEqual([0, null]);
  const told = sentry.events.map((event) => [event.tags!["kind"], event.exception!.values[0]!.value]);
  expect(told.toSorted(([, a], [, b]) => (a! < b! ? -1 : 1))).toEqual([
    ["uncaught", "oops"],
    ["worker-ended", "worker 1 ended: killed by SIGKILL"],
    ["worker-ended", "worker 2 ended: exit code 1"],
  ]);
  expect(new Set(sentry.events.map(({ tags }) => tags!["pid"])).size).toBe(2);
});

test("a process that goes into the background reports before and after", async () => {
  expect(await run("daemonises")).toEqual([0, null]);
  await sentry.event(2);
  expect(sentry.events.map(summary)).toEqual([
    ["error", "captured", undefined, "in the foreground"],
    ["fatal", "uncaught", "uncaughtException", "oops"],
  ]);
  const [before, after] = sentry.events.map(({ tags }) => tags!["pid"]);
  expect(before).not.toBe(after);
});
