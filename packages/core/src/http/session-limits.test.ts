import { expect, test } from "vitest";
import { DEFAULT_SESSION_LIMITS, SessionLimits, type SessionLimitValues } from "./session-limits.ts";

const NAMES = Object.keys(DEFAULT_SESSION_LIMITS) as (keyof SessionLimitValues)[];
const SERVICE: SessionLimitValues = {
  bodyMs: 1,
  writeMs: 2,
  minSendBytesPerSecond: 3,
  keepAliveMs: 4,
  earlyResponse: "drain",
  drainMs: 5,
  maxDrainBytes: 6,
  interim: "drop",
  halfClose: "waits",
};

const valuesOf = (limits: SessionLimits): SessionLimitValues =>
  Object.fromEntries(NAMES.map((name) => [name, limits[name]])) as unknown as SessionLimitValues;

test("are what the service says, until one is set, and then that one is another", () => {
  const limits = new SessionLimits(SERVICE);
  expect(valuesOf(limits)).toEqual(SERVICE);
  for (const name of NAMES) {
    const own = new SessionLimits(SERVICE);
    Object.assign(own, { [name]: DEFAULT_SESSION_LIMITS[name] });
    expect(valuesOf(own), name).toEqual({ ...SERVICE, [name]: DEFAULT_SESSION_LIMITS[name] });
  }
  expect(valuesOf(limits)).toEqual(SERVICE);
});

test("have defaults without a service", () => {
  expect(valuesOf(new SessionLimits())).toEqual(DEFAULT_SESSION_LIMITS);
});

test("keepAliveMs 0 of a service is for ever, which is not the 0 of one exchange", () => {
  const limits = new SessionLimits({ ...SERVICE, keepAliveMs: 0 });
  expect(limits.keepAliveMs).toBe(Number.POSITIVE_INFINITY);
  limits.keepAliveMs = 0;
  expect(limits.keepAliveMs).toBe(0);
});

test.each([
  ["bodyMs", -1, "bodyMs: expected a number of at least 0, got -1"],
  ["writeMs", Number.NaN, "writeMs: expected a number of at least 0, got NaN"],
  ["minSendBytesPerSecond", "5", 'minSendBytesPerSecond: expected a number of at least 0, got "5"'],
  [
    "minSendBytesPerSecond",
    Number.POSITIVE_INFINITY,
    "minSendBytesPerSecond: expected a number of at least 0, got Infinity",
  ],
  ["earlyResponse", "keep", 'earlyResponse: expected close or drain, got "keep"'],
  ["interim", undefined, "interim: expected pass or drop, got undefined"],
  ["halfClose", true, "halfClose: expected leaves or waits, got true"],
])("%s cannot be %s", (name, value, message) => {
  const limits = new SessionLimits(SERVICE);
  expect(() => Object.assign(limits, { [name]: value })).toThrow(new RangeError(message));
  expect(valuesOf(limits)).toEqual(SERVICE);
});

test("a misspelt limit is no limit", () => {
  expect(() => Object.assign(new SessionLimits(), { bodyMS: 5 })).toThrow(TypeError);
});
