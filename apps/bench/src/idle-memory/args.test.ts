import { expect, test } from "vitest";
import { parseIdleMemoryArgs } from "./args.ts";

test("the defaults hold 8,000 connections with three proxies", () => {
  expect(parseIdleMemoryArgs([])).toEqual({
    protocol: "h1",
    connections: 8000,
    rounds: 3,
    only: ["nginx", "sluice", "sluice-io-uring", "node:http+undici"],
    writeReadme: false,
    help: false,
  });
});

test("with another protocol all take part", () => {
  expect(parseIdleMemoryArgs(["--protocol", "h2"])).toMatchObject({ protocol: "h2", only: undefined });
});

test("reads every option", () => {
  const args = ["--protocol", "tls", "--connections", "100", "--rounds", "1", "--only", "nginx", "--write-readme"];
  expect(parseIdleMemoryArgs(args)).toEqual({
    protocol: "tls",
    connections: 100,
    rounds: 1,
    only: ["nginx"],
    writeReadme: true,
    help: false,
  });
});

test.each([
  [["--protocol", "h2-both"], '--protocol knows h1, tls, h2, h2-tls, not "h2-both"'],
  [["--connections", "0"], "--connections wants"],
  [["--rounds", "few"], "--rounds wants"],
  [["--only", ","], "--only wants"],
  [["--seconds", "3"], "--seconds"],
])("refuses %j", (args, message) => {
  expect(() => parseIdleMemoryArgs(args)).toThrow(message);
});
