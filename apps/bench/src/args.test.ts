import { expect, test } from "vitest";
import { parseBenchArgs } from "./args.ts";

test("the defaults are the whole benchmark", () => {
  expect(parseBenchArgs([])).toEqual({
    rounds: 3,
    seconds: 5,
    sizes: [13, 1024, 65_536, 1_048_576],
    only: undefined,
    writeReadme: false,
    help: false,
  });
});

test("reads every option, and each word of a list once", () => {
  const args = [
    "--rounds",
    "5",
    "--seconds",
    "2",
    "--sizes",
    "1k,13",
    "--only",
    "nginx, node:http+undici,nginx",
    "--write-readme",
  ];
  expect(parseBenchArgs(args)).toEqual({
    rounds: 5,
    seconds: 2,
    sizes: [1024, 13],
    only: ["nginx", "node:http+undici"],
    writeReadme: true,
    help: false,
  });
});

test.each([
  [["--rounds", "0"], "--rounds wants"],
  [["--seconds", "1.5"], "--seconds wants"],
  [["--rounds", "many"], "--rounds wants"],
  [["--sizes", "big"], "not a body size"],
  [["--only", ","], "--only wants"],
  [["--quick"], "--quick"],
])("refuses %j", (args, message) => {
  expect(() => parseBenchArgs(args)).toThrow(message);
});
