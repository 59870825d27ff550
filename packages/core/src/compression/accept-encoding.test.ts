import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readAcceptEncoding } from "./accept-encoding.ts";

const codings = (...lines: string[]): readonly string[] => readAcceptEncoding(lines).codings;

describe("codings, best first", () => {
  test.each([
    ["gzip", ["gzip"]],
    ["what, br, gzip", ["br", "gzip"]],
    ["GZip, bR", ["gzip", "br"]],
    ["x-gzip", ["gzip"]],
    ["zstd, dcb, dcz, deflate, compress", ["zstd", "dcb", "dcz"]],
    // Weight goes before order.
    ["gzip;q=0.5, br;q=0.9, zstd", ["zstd", "br", "gzip"]],
    ["br;q=0.001, gzip;q=1.000", ["gzip", "br"]],
    ["gzip; q=0.5 ,\tbr ; Q=0.6", ["br", "gzip"]],
    // Refused.
    ["gzip;q=0, br", ["br"]],
    ["gzip;q=0.000", []],
    ["gzip, x-gzip;q=0", []],
    ["br;q=0.8, gzip;q=0.9, br;q=0.1", ["gzip", "br"]],
    // Any.
    ["*", ["gzip", "br", "zstd"]],
    ["br, *;q=0.1", ["br", "gzip", "zstd"]],
    ["gzip;q=0, *", ["br", "zstd"]],
    ["br;q=0.5, *;q=0", ["br"]],
    // No coding.
    ["identity", ["identity"]],
    ["identity, gzip", ["gzip", "identity"]],
    ["gzip;q=0.5, identity", ["identity", "gzip"]],
    ["gzip;q=0.5, identity;q=0.5, br;q=0.1", ["gzip", "identity", "br"]],
    ["identity;q=0, gzip", ["gzip"]],
    // Only the member that is wrong is left out.
    ["gzip;q=.5, br", ["br"]],
    ["gzip;q=0.1234, br", ["br"]],
    ["gzip;q=1.5, br", ["br"]],
    ["gzip;q=2, br", ["br"]],
    ["gzip;level=9, br", ["br"]],
    ["gzip br, zstd", ["zstd"]],
    ["gzip;q=0.5;q=1, br", ["br"]],
    [", gzip,, br,", ["gzip", "br"]],
    ["", []],
  ])("%s", (line, expected) => {
    expect(codings(line)).toEqual(expected);
  });

  test("all lines count as one list", () => {
    expect(codings("br;q=0.5", "gzip", "zstd;q=0.7")).toEqual(["gzip", "zstd", "br"]);
  });

  test("no line: nothing is accepted", () => {
    expect(readAcceptEncoding([])).toEqual({ codings: [], identityRefused: false });
  });
});

test.each([
  ["identity;q=0", true],
  ["*;q=0", true],
  ["gzip, *;q=0", true],
  ["identity;q=0.1, *;q=0", false],
  ["gzip", false],
  ["*", false],
  ["", false],
])("%s refuses a body without a coding: %s", (line, refused) => {
  expect(readAcceptEncoding([line]).identityRefused).toBe(refused);
});

test("what a client refused by name is never among the codings, whatever stands beside it", () => {
  const member = fc.tuple(
    fc.constantFrom("gzip", "br", "zstd", "x-gzip", "identity", "*", "deflate", "g zip", ""),
    fc.constantFrom("", ";q=1", ";q=0.5", "; q=0", ";q=0.000", ";q", ";x=1"),
  );
  fc.assert(
    fc.property(fc.array(member), (members) => {
      const { codings: given } = readAcceptEncoding([members.map((each) => each.join("")).join(", ")]);
      const refused = (name: string): boolean =>
        members.some(([token, weight]) => token === name && (weight === "; q=0" || weight === ";q=0.000"));
      for (const name of ["br", "zstd"] as const) expect(given.includes(name) && refused(name)).toBe(false);
      expect(given.includes("gzip") && (refused("gzip") || refused("x-gzip"))).toBe(false);
      expect(new Set(given).size).toBe(given.length);
    }),
  );
});
