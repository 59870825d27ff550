import { expect, test } from "vitest";
import { isSettled, residentKb, settledResidentKb } from "./resident-memory.ts";

test("reads the resident memory, and not its peak", () => {
  expect(residentKb("Name:\tnode\nVmHWM:\t  130000 kB\nVmRSS:\t  123456 kB\nRssAnon:\t 90000 kB\n")).toBe(123_456);
  expect(() => residentKb("Name:\tkworker\nState:\tI (idle)\n")).toThrow("no VmRSS");
});

test("memory is settled when six readings agree within 0.5 %", () => {
  expect(isSettled([100_000, 100_000, 100_000, 100_000, 100_000])).toBe(false);
  expect(isSettled([100_000, 100_100, 100_200, 100_300, 100_400, 100_500])).toBe(true);
  expect(isSettled([100_000, 100_100, 100_200, 100_300, 100_400, 101_000])).toBe(false);
  expect(isSettled([50_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000])).toBe(true);
});

test("a process that is gone has no memory", async () => {
  await expect(settledResidentKb(2 ** 30, new AbortController().signal)).rejects.toThrow("is gone");
});
