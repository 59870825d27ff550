import { describe, expect, test } from "vitest";
import { shown } from "../config/shown.ts";
import { CompressionDictionary } from "./compression-dictionary.ts";
import { CompressionSettings, type CompressionOptions } from "./compression-settings.ts";

describe("levels", () => {
  test("one for all, or one each; 0 is off", () => {
    const settings = new CompressionSettings().setLevel(6).setLevel("zstd", 19).setLevel("br", 0);
    expect((["gzip", "br", "zstd", "dcz"] as const).map((name) => settings.level(name))).toEqual([6, 0, 19, 6]);
    expect(settings.compressing).toBe(true);
    expect(settings.setLevel(0).enabled).toBe(false);
  });

  test.each([
    ["gzip", 9],
    ["br", 11],
    ["zstd", 22],
    ["dcz", 22],
  ] as const)("%s goes from 0 to %i", (algorithm, max) => {
    const settings = new CompressionSettings().setLevel(algorithm, max);
    expect(settings.level(algorithm)).toBe(max);
    for (const level of [max + 1, -1, 1.5, Number.NaN, undefined as never, "6" as never]) {
      expect(() => settings.setLevel(algorithm, level)).toThrow(
        new RangeError(
          `compression: level of ${algorithm}: expected an integer from 0 (off) to ${max}, got ${shown(level)}`,
        ),
      );
    }
    expect(settings.level(algorithm)).toBe(max);
  });

  test("one for all is one that all have", () => {
    expect(() => new CompressionSettings().setLevel(10)).toThrow(
      "level: expected an integer from 0 (off) to 9, got 10",
    );
  });

  test("an unknown algorithm is refused", () => {
    expect(() => new CompressionSettings().setLevel("brotli" as never, 5)).toThrow(
      new TypeError('compression: expected one of gzip, br, zstd, dcz, got "brotli"'),
    );
  });
});

test("switches are for all or for one", () => {
  const settings = new CompressionSettings().setDecompression(true).setDecompression("br", false);
  expect((["gzip", "br", "zstd"] as const).map((name) => settings.decompresses(name))).toEqual([true, false, true]);
  settings.setPreserveEtag("gzip", true);
  expect([settings.preservesEtag("gzip"), settings.preservesEtag("br")]).toEqual([true, false]);
  expect(() => settings.setDecompression("dcz" as never, true)).toThrow('expected one of gzip, br, zstd, got "dcz"');
  expect(() => settings.setDecompression("gzip", "yes" as never)).toThrow('expected true or false, got "yes"');
  expect(() => settings.setPreserveEtag(1 as never)).toThrow("preserveEtag: expected true or false, got 1");
});

test("options set the same", () => {
  const settings = new CompressionSettings({
    level: { gzip: 5, br: 4 },
    decompression: { gzip: true },
    preserveEtag: true,
    maxDecompressedBytes: Number.POSITIVE_INFINITY,
    flushAfterMs: 0,
  });
  expect([settings.level("gzip"), settings.level("br"), settings.level("zstd")]).toEqual([5, 4, 0]);
  expect(settings.decompresses("gzip")).toBe(true);
  expect(settings.preservesEtag("dcz")).toBe(true);
  expect(settings).toMatchObject({ maxDecompressedBytes: Infinity, maxDecompressionRatio: 1000, flushAfterMs: 0 });
});

test.each([
  [{ levels: 6 }, "unknown option levels; did you mean level?"],
  [{ level: { gzip: 10 } }, "level of gzip: expected an integer from 0 (off) to 9, got 10"],
  [{ level: { deflate: 1 } }, 'expected one of gzip, br, zstd, dcz, got "deflate"'],
  [{ decompression: "yes" }, "expected one of gzip, br, zstd"],
  [{ maxDecompressedBytes: 0 }, "maxDecompressedBytes: expected a number of at least 1, got 0"],
  [{ maxDecompressionRatio: Number.NaN }, "maxDecompressionRatio: expected a number of at least 1, got NaN"],
  [{ flushAfterMs: -1 }, "flushAfterMs: expected a number of at least 0, got -1"],
] as [CompressionOptions, string][])("refuses %o", (options, message) => {
  expect(() => new CompressionSettings(options)).toThrow(message);
});

test("cannot be changed once the final head has come, until another response is waited for", () => {
  const settings = new CompressionSettings({ level: 6 });
  settings.lock(true);
  const changes = [
    () => settings.setLevel(5),
    () => settings.setDecompression(true),
    () => settings.setPreserveEtag(true),
    () => settings.setDictionary(undefined),
  ];
  for (const change of changes) expect(change).toThrow("compression: set too late: the final head of the response");
  settings.lock(false);
  for (const change of changes) expect(change).not.toThrow();
});

describe("a dictionary", () => {
  test("is named by its hash", () => {
    const { name, hash } = new CompressionDictionary(Buffer.from("abc"));
    expect(Buffer.from(hash).toString("hex")).toMatch(/^ba7816bf8f01cfea/);
    expect(name).toBe(":ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
  });

  test("must be raw bytes", () => {
    expect(() => new CompressionDictionary(new Uint8Array(0))).toThrow("expected the bytes of the dictionary");
    expect(() => new CompressionDictionary("abc" as never)).toThrow(TypeError);
    expect(() => new CompressionDictionary(Buffer.from("37a430ec00000000", "hex"))).toThrow("Zstandard's own format");
    expect(() => new CompressionSettings().setDictionary(Buffer.from("abc") as never)).toThrow(
      "dictionary: expected a CompressionDictionary, got a Buffer",
    );
  });
});
