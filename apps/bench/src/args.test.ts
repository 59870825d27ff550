import { expect, test } from "vitest";
import { parseBenchArgs } from "./args.ts";

test("the defaults are the whole benchmark", () => {
  expect(parseBenchArgs([])).toEqual({
    rounds: 3,
    seconds: 5,
    protocols: ["h1"],
    workloads: undefined,
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
    "--protocols",
    "tls,h2-both,tls",
    "--workloads",
    "1k,upload,1k",
    "--only",
    "nginx, node:http+undici,nginx",
    "--write-readme",
  ];
  expect(parseBenchArgs(args)).toEqual({
    rounds: 5,
    seconds: 2,
    protocols: ["tls", "h2-both"],
    workloads: ["1k", "upload"],
    only: ["nginx", "node:http+undici"],
    writeReadme: true,
    help: false,
  });
});

test.each([
  [["--rounds", "0"], "--rounds wants"],
  [["--seconds", "1.5"], "--seconds wants"],
  [["--rounds", "many"], "--rounds wants"],
  [["--workloads", ""], "--workloads wants"],
  [["--protocols", "h1,h3"], '--protocols knows h1, tls, h2, h2-tls, h2-both, not "h3"'],
  [["--protocols", "toString"], "--protocols knows"],
  [["--only", ","], "--only wants"],
  [["--quick"], "--quick"],
])("refuses %j", (args, message) => {
  expect(() => parseBenchArgs(args)).toThrow(message);
});
