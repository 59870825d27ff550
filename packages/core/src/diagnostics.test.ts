import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connectionChannels, eventChannel, observe, tlsChannels, upstreamChannels } from "./diagnostics.ts";
import { configureLogs } from "./log/logger.ts";

let lines: { level: number; msg: string; channel?: string; err?: { message: string } }[];
const stops: (() => void)[] = [];

beforeEach(() => {
  lines = [];
  configureLogs({
    levels: "info",
    destination: { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  });
});

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

const chat = eventChannel<{ said: string }>("sluice:test:chat");

/** Listens until the end of the test. */
function listen(listener: (message: { said: string }) => void): () => void {
  const stop = observe(chat, listener);
  stops.push(stop);
  return stop;
}

test("the names of the channels are a promise", () => {
  const names = [connectionChannels, tlsChannels, upstreamChannels].flatMap((group) =>
    Object.values(group).map(({ name }) => name),
  );
  expect(names).toEqual([
    "sluice:connection:accepted",
    "sluice:connection:closed",
    "sluice:connection:rejected",
    "sluice:tls:handshake-failed",
    "sluice:tls:reloaded",
    "sluice:upstream:connect-start",
    "sluice:upstream:connected",
    "sluice:upstream:connect-failed",
    "sluice:upstream:pooled",
    "sluice:upstream:closed",
  ]);
});

test("one who listens to Node's own module hears the same", () => {
  const heard: unknown[] = [];
  const listener = (message: unknown, name: unknown): void => void heard.push(name, message);
  subscribe(chat.name, listener);
  chat.publish({ said: "hello" });
  unsubscribe(chat.name, listener);
  expect(heard).toEqual(["sluice:test:chat", { said: "hello" }]);
});

test("one who listens to Node's own module and throws: Node calls it uncaught, but only after all have heard", async () => {
  const heard: string[] = [];
  const failing = (): void => {
    throw new Error("no room");
  };
  subscribe(chat.name, failing);
  listen(({ said }) => heard.push(said));
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const uncaught = new Promise((resolve) => process.once("uncaughtException", resolve));
  chat.publish({ said: "one" });
  expect(heard).toEqual(["one"]);
  expect(await uncaught).toMatchObject({ message: "no room" });
  for (const other of others) process.on("uncaughtException", other);
  unsubscribe(chat.name, failing);
});

describe("observe", () => {
  test("hears every message until it is stopped, and only then somebody listens", () => {
    const heard: string[] = [];
    expect(chat.hasSubscribers).toBe(false);
    const stop = listen(({ said }) => heard.push(said));
    expect(chat.hasSubscribers).toBe(true);
    chat.publish({ said: "one" });
    chat.publish({ said: "two" });
    stop();
    chat.publish({ said: "three" });
    expect(heard).toEqual(["one", "two"]);
    expect(chat.hasSubscribers).toBe(false);
  });

  test("the same listener may listen twice, and stop once", () => {
    const heard: string[] = [];
    const listener = ({ said }: { said: string }): void => void heard.push(said);
    const stop = listen(listener);
    listen(listener);
    chat.publish({ said: "a" });
    stop();
    chat.publish({ said: "b" });
    expect(heard).toEqual(["a", "a", "b"]);
  });

  test.for<[how: string, fail: () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("no room");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no room"))],
  ])("a listener that %s is logged; the others hear the message, and nobody is disturbed", async ([, fail]) => {
    const uncaught = vi.fn<() => void>();
    process.on("uncaughtException", uncaught).on("unhandledRejection", uncaught);
    const heard: string[] = [];
    listen(() => fail() as void);
    listen(({ said }) => heard.push(said));
    chat.publish({ said: "one" });
    await new Promise((resolve) => setImmediate(resolve));
    process.off("uncaughtException", uncaught).off("unhandledRejection", uncaught);
    expect(heard).toEqual(["one"]);
    expect(uncaught).not.toHaveBeenCalled();
    expect(lines).toMatchObject([
      { level: 50, msg: "a listener of a channel failed", channel: "sluice:test:chat", err: { message: "no room" } },
    ]);
  });
});
