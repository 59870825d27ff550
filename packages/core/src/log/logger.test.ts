import { ProxyError } from "@sluice/error";
import { beforeEach, expect, test } from "vitest";
import { configureLogs, logger } from "./logger.ts";

let lines: Record<string, unknown>[];
const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };

beforeEach(() => {
  lines = [];
  configureLogs({ levels: "info", destination });
});

test("one JSON line a call, with the package's name, the level, the fields and the message", () => {
  logger("proxy").warn({ peer: "a:80" }, "connect failed");
  expect(lines).toMatchObject([{ name: "proxy", level: 40, peer: "a:80", msg: "connect failed" }]);
});

test("every level", () => {
  configureLogs({ levels: "trace", destination });
  const log = logger("proxy");
  for (const level of ["trace", "debug", "info", "warn", "error", "fatal"] as const) log[level]({}, level);
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
    [10, "trace"],
    [20, "debug"],
    [30, "info"],
    [40, "warn"],
    [50, "error"],
    [60, "fatal"],
  ]);
});

test("an error of others is printed with type, message and stack", () => {
  logger("proxy").error({ err: new TypeError("no function") }, "failed");
  expect(lines[0]!["err"]).toMatchObject({
    type: "TypeError",
    message: "no function",
    stack: expect.stringContaining("logger.test.ts") as string,
  });
});

test("an error of ours is printed with its whole chain; the stack only where the fault is in code", () => {
  const cause = new Error("refused");
  logger("proxy").error({ err: ProxyError.upstream("ConnectRefused", "connecting to a:80", cause) }, "failed");
  logger("proxy").error({ err: ProxyError.internal("InternalError", "in a hook", cause) }, "failed");
  const message = "Upstream ConnectRefused context: connecting to a:80 cause: refused";
  expect(lines[0]!["err"]).toEqual({ type: "ConnectRefused", source: "upstream", message });
  expect(lines[1]!["err"]).toMatchObject({ type: "InternalError", stack: cause.stack });
});

test("below the level nothing is written, and it can be asked for", () => {
  const log = logger("proxy");
  log.debug({}, "no");
  expect(lines).toEqual([]);
  expect([log.isLevelEnabled("debug"), log.isLevelEnabled("info")]).toEqual([false, true]);
});

test("a package may have its own level", () => {
  configureLogs({ levels: "error,proxy=debug,cache=silent", destination });
  for (const name of ["proxy", "cache", "core"]) {
    logger(name).debug({}, "debug");
    logger(name).error({}, "error");
  }
  expect(lines.map(({ name, msg }) => `${String(name)} ${String(msg)}`)).toEqual([
    "proxy debug",
    "proxy error",
    "core error",
  ]);
});

test("loggers handed out before follow a new configuration", () => {
  const log = logger("proxy");
  log.info({}, "first");
  configureLogs({ levels: "warn", destination });
  log.info({}, "second");
  log.warn({}, "third");
  expect(lines.map(({ msg }) => msg)).toEqual(["first", "third"]);
});

test("the same name gives the same logger", () => {
  expect(logger("proxy")).toBe(logger("proxy"));
  expect(logger("proxy")).not.toBe(logger("cache"));
});

test("levels that cannot be read are refused, and the old ones stay", () => {
  expect(() => configureLogs({ levels: "loud", destination })).toThrow(RangeError);
  logger("proxy").info({}, "still here");
  expect(lines).toHaveLength(1);
});

test("SLUICE_LOG decides where no levels are given", () => {
  process.env["SLUICE_LOG"] = "error";
  try {
    configureLogs({ destination });
  } finally {
    delete process.env["SLUICE_LOG"];
  }
  logger("proxy").warn({}, "no");
  logger("proxy").error({}, "yes");
  expect(lines.map(({ msg }) => msg)).toEqual(["yes"]);
});
