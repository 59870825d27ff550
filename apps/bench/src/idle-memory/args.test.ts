import { expect, test } from "vitest";
import { parseIdleMemoryArgs } from "./args.ts";

test("the defaults hold 8,000 connections with three proxies", () => {
  expect(parseIdleMemoryArgs([])).toEqual({
    connections: 8000,
    rounds: 3,
    only: ["nginx", "sluice", "node:http+undici"],
    writeReadme: false,
    help: false,
  });
});

test("reads every option", () => {
  expect(parseIdleMemoryArgs(["--connections", "100", "--rounds", "1", "--only", "nginx", "--write-readme"])).toEqual({
    connections: 100,
    rounds: 1,
    only: ["nginx"],
    writeReadme: true,
    help: false,
  });
});

test.each([
  [["--connections", "0"], "--connections wants"],
  [["--rounds", "few"], "--rounds wants"],
  [["--only", ","], "--only wants"],
  [["--seconds", "3"], "--seconds"],
])("refuses %j", (args, message) => {
  expect(() => parseIdleMemoryArgs(args)).toThrow(message);
});
