import { expect, test } from "vitest";
import { humanLog } from "./human-log.ts";

const RECORD = { level: 30, time: new Date(2026, 10, 27, 1, 2, 3, 4).getTime(), name: "core", msg: "stopping" };

function text(fields: object, options?: Parameters<typeof humanLog>[0]): string {
  return humanLog(options)(`${JSON.stringify({ ...RECORD, ...fields })}\n`);
}

test("time, level, package, message and fields, on one line", () => {
  expect(text({})).toBe("[01:02:03.004] INFO: core: stopping\n");
  expect(text({ level: 40, signal: "SIGTERM", n: 1 })).toBe(
    '[01:02:03.004] WARN: core: stopping {"signal":"SIGTERM","n":1}\n',
  );
  expect(text({ level: 35 })).toContain("LEVEL 35: core");
});

test("an error's message; its stack from level error on", () => {
  const err = { message: "boom", stack: "Error: boom\n    at here" };
  expect(text({ level: 40, err })).toBe('[01:02:03.004] WARN: core: stopping {"error":"boom"}\n');
  expect(text({ level: 50, err })).toBe("[01:02:03.004] ERROR: core: stopping\n    Error: boom\n        at here\n");
});

test("nothing that a terminal would obey", () => {
  expect(text({ target: "\u001B[2J\u009B2J\r\n\u202E" })).toContain(String.raw`\u001b[2J\x9b2J\r\n\u202e`);
  expect(text({ level: 50, err: { message: "", stack: "Error: \u001B[2J" } })).not.toContain("\u001B");
});

test("colours, and a text of one's own", () => {
  expect(text({}, { colors: true })).toContain("\u001B[32mINFO\u001B[39;49m");
  const own = { text: ({ msg }: { msg: string }) => (msg === "stopping" ? "the end" : undefined) };
  expect(text({}, own)).toBe("[01:02:03.004] INFO: the end\n");
  expect(text({ msg: "x" }, own)).toBe("[01:02:03.004] INFO: core: x\n");
});

test("what is no record passes as it is", () => {
  expect(humanLog()("plain\n")).toBe("plain\n");
});
